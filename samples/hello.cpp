/* hello, as a C++ class: each line is greeted. "count" is answered by a job, which counts
 * the greetings' letters on a worker; "throw" shows what becomes of an exception.
 *
 *     rpd build/samples/hello_cpp.so -l unix:/tmp/hello.sock
 *     printf 'Ada\n' | socat - UNIX-CONNECT:/tmp/hello.sock */
#include <rpd/backend.hpp>

#include <stdexcept>
#include <string>

class hello
{
  public:
    static constexpr const char *summary = "Greets each line";
    static constexpr const char *version = "0.1";
    static constexpr struct rpd_option options[] = {
        RPD_OPTION_STRING("greeting", "hello", "what comes before the name"),
        RPD_OPTIONS_END,
    };
    static constexpr struct rpd_probe probe = RPD_PROBE("Ada\n", "hello, Ada\n");

    /* One for each client. */
    struct session {
        std::string said;
    };

    /* [worker] An exception here is a load that failed. */
    explicit hello(rpd::load load) : greeting_(load.service().string("greeting"))
    {
        if (greeting_.empty())
            throw std::invalid_argument("the greeting is empty; name one");
    }

    /* [loop] An exception here ends this connection, and no other. */
    void on_data(rpd::conn conn)
    {
        while (const auto line = conn.read_line()) {
            if (*line == "throw")
                throw std::runtime_error("a client asked for it");
            if (*line == "count") {
                count(conn);
                return; /* it is paused until the job is done */
            }
            const std::string answer = greeting_ + ", " + std::string(*line) + "\n";
            conn.session<session>().said += answer;
            conn.write(answer);
        }
    }

  private:
    void count(rpd::conn conn)
    {
        conn.job([said = conn.session<session>().said] { return said.size(); }, /* [worker] */
                 [](rpd::conn client, auto letters) {                           /* [loop] */
                                                      client.write(std::to_string(letters.get()) +
                                                                   "\n");
                 });
    }

    std::string greeting_;
};

RPD_BACKEND_CLASS(hello_cpp, hello);
