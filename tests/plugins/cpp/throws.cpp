/* A C++ backend that throws where it is told to: in the place that the option "in" names, or at a
 * client's line. */
#include <rpd/backend.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
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

/* Some letters, in memory. */
class file
{
  public:
    file() : fd_(memfd_create("file", MFD_CLOEXEC))
    {
        if (write(fd_, "letters", 7) != 7)
            throw std::system_error(errno, std::generic_category(), "file");
        there++;
    }
    file(file &&other) noexcept : fd_(std::exchange(other.fd_, -1))
    {
    }
    file(const file &) = delete;
    ~file()
    {
        if (fd_ < 0)
            return;
        close(fd_);
        there--;
    }

    int fd() const
    {
        return fd_;
    }
    static inline int there = 0;

  private:
    int fd_;
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

    static constexpr std::uint32_t idle_exit_s = 3600;

    static int claim(rpd::service service)
    {
        throw_in(service, "claim");
        return 0;
    }
    static void on_part(rpd::service service, const char *name, enum rpd_part_outcome outcome)
    {
        if (outcome == RPD_PART_IS_ATTACHED)
            rpd_log(service.get(), RPD_LOG_INFO, "test: %s is attached", name);
        throw_in(service, "on_part");
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
        else if (line == "job waits")
            conn.job(
                [](rpd::running job) {
                    while (!job.is_cancelled())
                        usleep(1000);
                    throw rpd::cancelled();
                },
                [made = std::make_shared<file>()](rpd::conn, auto) { abort(); });
        else if (line == "job exits")
            conn.job([] { pthread_exit(nullptr); },
                     [](rpd::conn client, auto nothing) {
                         try {
                             nothing.get();
                         } catch (const rpd::cancelled &) {
                             client.write("cancelled\n");
                         }
                     });
        else if (line.compare(0, 4, "file") == 0 || line.compare(0, 4, "take") == 0)
            use_files(conn, line);
        else if (line == "post")
            post(conn);
        else
            conn.write(part_->text + " " + line + "\n");
    }

    void use_files(rpd::conn conn, const std::string &line)
    {
        if (line == "files") {
            conn.write(std::to_string(file::there) + " files\n");
        } else if (line == "file") {
            file made;
            const int fd = made.fd();
            conn.send_file(fd, 1, 6,
                           [made = std::move(made)](rpd::conn client) { client.write(" sent\n"); });
        } else if (line == "file throws") {
            conn.send_file(file().fd(), 0, 8, [](rpd::conn) {});
        } else if (line.compare(0, 9, "take file") == 0) {
            file made;
            const int fd = made.fd();
            conn.receive_file(5, fd, 0, [made = std::move(made)](rpd::conn client, auto nothing) {
                char bytes[8] = "";
                nothing.get();
                client.write(pread(made.fd(), bytes, 7, 0) == 7 ? std::string(bytes) + "\n" : "");
            });
        } else {
            take(conn, line == "take throws");
        }
    }

    void take(rpd::conn conn, bool throws_in_sink)
    {
        auto taken = std::make_shared<std::string>();

        conn.receive(
            5,
            [taken, throws_in_sink](std::string_view bytes) {
                if (throws_in_sink)
                    throw std::runtime_error("in a sink");
                taken->append(bytes);
            },
            [taken, made = std::make_shared<file>()](rpd::conn client, auto nothing) {
                try {
                    nothing.get();
                    client.write("took " + *taken + "\n");
                } catch (const std::exception &exception) {
                    client.write(std::string("caught: ") + exception.what() + "\n");
                }
            });
    }

    static void post(rpd::conn conn)
    {
        auto client = std::make_shared<rpd::kept>(conn.keep());

        conn.service().post([client](rpd::service service) {
            client->get().write("posted\n");
            throw_in(service, "post");
        });
    }

    rpd::service service_;
    std::unique_ptr<part> part_;
};

} // namespace

RPD_BACKEND_CLASS(throws, throws);
