/* A C++ backend that throws where it is told to: in the place that the option "in" names, or at a
 * client's line. */
#include <rpd/backend.hpp>

#include <pthread.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace
{

bool is_in(rpd::service service, std::string_view place)
{
    return place == service.string("in");
}

void throw_in(rpd::service service, std::string_view place)
{
    if (is_in(service, place))
        throw std::runtime_error("thrown in " + std::string(place));
}

struct part {
    std::string text = "attached";
};

class throws
{
  public:
    static constexpr const char *summary = "Throws";
    static constexpr struct rpd_option options[] = {
        RPD_OPTION_STRING("in", "nowhere", "where to throw"),
        RPD_OPTIONS_END,
    };

    struct session {
        session(throws &, rpd::conn conn)
        {
            throw_in(conn.service(), "session");
        }
        int lines = 0;
    };

    explicit throws(rpd::load load) : service_(load.service())
    {
        throw_in(service_, "load");
        if (is_in(service_, "load int"))
            throw 7; /* NOLINT: no std::exception */
        if (is_in(service_, "load memory"))
            throw std::bad_alloc();
        if (is_in(service_, "load exit"))
            pthread_exit(nullptr);
        while (is_in(service_, "load wait")) {
            rpd_load_wait(load.get(), 10);
            load.progress(1, 2, "steps"); /* throws when the daemon stops */
        }
        load.add_part<&throws::make_part, &throws::attach>("part");
    }
    ~throws()
    {
        rpd_log(service_.get(), RPD_LOG_INFO, "test: destroyed");
    }

    static int claim(rpd::service service)
    {
        throw_in(service, "claim");
        return 0;
    }
    void on_ready(rpd::service service)
    {
        throw_in(service, "on_ready");
    }
    void on_connect(rpd::conn conn)
    {
        throw_in(conn.service(), "on_connect");
    }
    void on_drain(rpd::service service)
    {
        throw_in(service, "on_drain");
    }
    void stop(rpd::service service)
    {
        throw_in(service, "stop");
    }
    void on_close(rpd::conn conn)
    {
        rpd_log(conn.service().get(), RPD_LOG_INFO, "test: closed after %d lines",
                conn.session<session>().lines);
        throw_in(conn.service(), "on_close");
    }

    void on_data(rpd::conn conn)
    {
        while (const auto line = conn.read_line()) {
            conn.session<session>().lines++;
            answer(conn, std::string(*line));
        }
    }

  private:
    static std::unique_ptr<part> make_part(rpd::load load)
    {
        throw_in(load.service(), "part");
        return std::make_unique<part>();
    }
    static void attach(throws &state, std::unique_ptr<part> made)
    {
        state.part_ = std::move(made);
    }

    void answer(rpd::conn conn, const std::string &line)
    {
        if (line == "throw")
            throw std::runtime_error("a line");
        if (line == "throw int")
            throw 7; /* NOLINT */
        if (line == "frame")
            while (const auto body = conn.read_frame(RPD_FRAME_NETSTRING, 10))
                conn.write_frame(RPD_FRAME_NETSTRING, *body);
        else if (line == "job")
            conn.job([] { return std::string("from a job\n"); },
                     [](rpd::conn client, auto text) { client.write(text.get()); });
        else if (line == "job nothing")
            conn.job([] {},
                     [](rpd::conn client, auto nothing) {
                         nothing.get();
                         client.write("done\n");
                     });
        else if (line == "job unique") /* what can only be moved */
            conn.job([text = std::make_unique<std::string>("moved\n")] { return *text; },
                     [](rpd::conn client, auto text) { client.write(text.get()); });
        else if (line == "job throws")
            conn.job([]() -> int { throw std::runtime_error("in run"); },
                     [](rpd::conn client, auto number) {
                         client.write(std::to_string(number.get()) + "\n");
                     });
        else if (line == "job caught")
            conn.job([]() -> int { throw std::runtime_error("in run"); },
                     [](rpd::conn client, auto number) {
                         try {
                             number.get();
                         } catch (const std::exception &exception) {
                             client.write(std::string("caught: ") + exception.what() + "\n");
                         }
                     });
        else if (line == "job exits")
            conn.job([] { pthread_exit(nullptr); },
                     [](rpd::conn client, auto nothing) {
                         try {
                             nothing.get();
                         } catch (const rpd::cancelled &) {
                             client.write("cancelled\n");
                         }
                     });
        else
            conn.write(part_->text + " " + line + "\n");
    }

    rpd::service service_;
    std::unique_ptr<part> part_;
};

} // namespace

RPD_BACKEND_CLASS(throws, throws);
