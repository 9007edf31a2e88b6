/* clang-format off */
/* A backend as a C++17 class. Everything here is inline: a plugin that includes it calls the same
 * functions of librpd as one in C. Read backend.h first; what runs when, and on which thread, is
 * as it says there.
 *
 *     #include <rpd/backend.hpp>
 *
 *     struct hello {
 *         static constexpr const char *summary = "Greets each line";
 *
 *         explicit hello(rpd::load load);     // [worker] makes the state; or hello()
 *         ~hello();                           // [worker] frees it
 *         void on_data(rpd::conn conn);       // [loop]
 *     };
 *
 *     RPD_BACKEND_CLASS(hello, hello);
 *
 * The object is the state. A class has those of these members that it needs:
 *
 *     static constexpr   summary, version, options, option_details, warmup, probe,
 *                        idle_exit_s, metrics, serves_without_state
 *     [start] static     int claim(rpd::service)
 *     [loop] static      int serve(rpd::service, rpd_listener *)
 *                        void on_busy(rpd::conn)
 *                        void on_part(rpd::service, const char *name, rpd_part_outcome)
 *     [loop]             void on_ready(rpd::service), on_drain(rpd::service), stop(rpd::service)
 *                        void on_connect(rpd::conn), on_data(rpd::conn), on_writable(rpd::conn),
 *                        on_close(rpd::conn)
 *     type session       one for each client, conn.session<hello::session>(): made before
 *                        on_connect, as session(hello &, rpd::conn), session(rpd::conn) or
 *                        session(), and destroyed after on_close
 *
 * In a backend that serves without its state, static constexpr bool serves_without_state is true.
 * All callbacks are then static, and get the state as a pointer behind their other argument:
 * on_data(rpd::conn, hello *). Its sessions are not given the state.
 *
 * No exception leaves the class:
 *
 *     thrown by                      becomes
 *     -----------------------------  ------------------------------------------------------------
 *     the constructor, a part        a load that failed, with what(): see on_load_failure.
 *                                    rpd::cancelled: a load that gave up because it was cancelled
 *     session's constructor,         a line of the log, and the end of this connection:
 *       on_connect, on_data,         rpd_conn_abort(). Other clients are served on
 *       on_writable
 *     on_close, on_busy, on_part,    a line of the log
 *       on_drain, stop, a post
 *     on_ready                       a line of the log, and the service is degraded
 *     serve                          a serve that failed: 71
 *     claim                          a line of the log, and a start that fails
 *     a job's run, a sink            what result::get() throws in its done
 *     a done                         a line of the log, and the end of its connection
 *     a destructor                   std::terminate(): the process dies of SIGABRT
 *
 * What has no member here is called as in C, with conn.get(), service.get() or load.get(): serial
 * queues, timers, and the rest of service.h. pthread_exit() and pthread_cancel(), which unwind a
 * thread, pass through. */
/* clang-format on */
#ifndef RPD_BACKEND_HPP
#define RPD_BACKEND_HPP

#if __cplusplus < 201703L
#error "rpd/backend.hpp needs C++17"
#endif

#include <rpd/backend.h>

#include <cerrno>
#include <cstring>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

/* Part of a try: the end of a thread is no exception of the plugin's. */
#ifdef __GLIBCXX__
#define RPD_PASS_UNWINDING_                                                                        \
    }                                                                                              \
    catch (abi::__forced_unwind &)                                                                 \
    {                                                                                              \
        throw;
#else
#define RPD_PASS_UNWINDING_
#endif

namespace rpd
{

/* The load is to give up, or the job's answer is not wanted any more. */
struct cancelled : std::exception {
    const char *what() const noexcept override
    {
        return "cancelled";
    }
};

/* No more jobs can wait; or the service stops. Answer that you are busy. */
struct busy : std::exception {
    const char *what() const noexcept override
    {
        return "busy: no more jobs can wait";
    }
};

namespace inside
{

inline std::string_view view(struct rpd_span span)
{
    return {span.data, span.size};
}

/* Calls what may throw. On an exception: failed(what). */
template <class Call, class Failed> void guarded(Call &&call, Failed &&failed)
{
    try {
        call();
        RPD_PASS_UNWINDING_
    } catch (const std::bad_alloc &) {
        failed("out of memory");
    } catch (const std::exception &exception) {
        failed(exception.what());
    } catch (...) {
        failed("an exception that is no std::exception");
    }
}

template <class T> struct work_of;

} // namespace inside

/* ---- views: as valid as what they look at; copied freely ------------------------------- */

class service
{
  public:
    explicit service(struct rpd_service *it) : it_(it)
    {
    }
    explicit service(const struct rpd_service *it) : it_(const_cast<struct rpd_service *>(it))
    {
    }

    struct rpd_service *get() const
    {
        return it_;
    }
    const char *name() const
    {
        return rpd_service_name(it_);
    }

    /* Options, as in option.h. NULL where a string is unset. */
    const char *string(const char *option) const
    {
        return rpd_option_string(it_, option);
    }
    const char *secret(const char *option) const
    {
        return rpd_option_secret(it_, option);
    }
    std::int64_t integer(const char *option) const
    {
        return rpd_option_integer(it_, option);
    }
    double number(const char *option) const
    {
        return rpd_option_number(it_, option);
    }
    bool boolean(const char *option) const
    {
        return rpd_option_boolean(it_, option);
    }
    int choice(const char *option) const
    {
        return rpd_option_choice(it_, option);
    }
    std::size_t count(const char *option) const
    {
        return rpd_option_count(it_, option);
    }
    const char *item(const char *option, std::size_t at) const
    {
        return rpd_option_item(it_, option, at);
    }

    /* [any] Has call(rpd::service) called on the loop, soon. False: that is not possible any more,
     * because the service stops. What call has captured is then destroyed here, otherwise on the
     * loop. */
    template <class Call> bool post(Call call) const;

    /* [loop] rpd_stop(). */
    void stop_daemon(const char *why) const
    {
        rpd_stop(it_, why);
    }

  private:
    struct rpd_service *it_;
};

/* [worker] One run of a load or a part. */
class load
{
  public:
    explicit load(struct rpd_load *it) : it_(it)
    {
    }

    struct rpd_load *get() const
    {
        return it_;
    }
    rpd::service service() const
    {
        return rpd::service(rpd_load_service(it_));
    }
    bool is_cancelled() const
    {
        return rpd_load_cancelled(it_);
    }

    /* How far it is. Throws rpd::cancelled where it is to give up: all it has made goes then. */
    void progress(std::uint64_t done, std::uint64_t total, const char *unit) const
    {
        rpd_load_progress(it_, done, total, unit);
        if (is_cancelled())
            throw cancelled();
    }

    /* Adds a part: std::unique_ptr<P> make(rpd::load) [worker], and
     * void attach(state &, std::unique_ptr<P>) [loop]. */
    template <auto Make, auto Attach> void add_part(const char *name, bool optional = false) const;

  private:
    struct rpd_load *it_;
};

class kept;

/* [loop] A client. */
class conn
{
  public:
    explicit conn(struct rpd_conn *it) : it_(it)
    {
    }

    struct rpd_conn *get() const
    {
        return it_;
    }
    rpd::service service() const
    {
        return rpd::service(rpd_conn_service(it_));
    }

    std::string_view input() const
    {
        return inside::view(rpd_conn_input(it_));
    }
    void consume(std::size_t bytes) const
    {
        rpd_conn_consume(it_, bytes);
    }
    std::optional<std::string_view> read_line() const
    {
        struct rpd_span line;
        return rpd_conn_read_line(it_, &line) ? std::optional(inside::view(line)) : std::nullopt;
    }
    /* Throws std::system_error where the input is no frame, or too large a one. */
    std::optional<std::string_view> read_frame(enum rpd_framing framing,
                                               std::size_t max_size = 0) const
    {
        struct rpd_span body;
        const int got = rpd_conn_read_frame(it_, framing, max_size, &body);
        if (got < 0)
            throw std::system_error(errno, std::generic_category(), "frame");
        return got > 0 ? std::optional(inside::view(body)) : std::nullopt;
    }

    /* False: the connection is closing. */
    bool write(std::string_view text) const
    {
        return rpd_conn_write(it_, text.data(), text.size()) == 0;
    }
    bool write_frame(enum rpd_framing framing, std::string_view body) const
    {
        return rpd_conn_write_frame(it_, framing, body.data(), body.size()) == 0;
    }

    void pause() const
    {
        rpd_conn_pause(it_);
    }
    void resume() const
    {
        rpd_conn_resume(it_);
    }
    void yield() const
    {
        rpd_conn_yield(it_);
    }
    void finish() const
    {
        rpd_conn_finish(it_);
    }
    void abort() const
    {
        rpd_conn_abort(it_);
    }
    bool is_open() const
    {
        return rpd_conn_is_open(it_);
    }
    bool input_ended() const
    {
        return rpd_conn_input_ended(it_);
    }

    /* Keeps it as long as what is returned lives. */
    kept keep() const;

    template <class Session> Session &session() const
    {
        return *static_cast<Session *>(rpd_conn_data(it_));
    }

    /* rpd_conn_output_room(), rpd_conn_peer(). */
    std::size_t output_room() const
    {
        return rpd_conn_output_room(it_);
    }
    struct rpd_peer peer() const
    {
        return rpd_conn_peer(it_);
    }

    /* The calls of body.h. Each has a done [loop], which is called unless the client has left.
     * What the functions have captured is destroyed on the loop, after done would have been called:
     * capture what must live as long, such as the owner of a descriptor. Each call throws rpd::busy
     * if nothing more can wait or the service stops, and std::system_error for what errno says. If
     * the connection is closing, nothing is begun, and nothing thrown.
     *
     * job            run() or run(rpd::running) [worker] returns what done(rpd::conn,
     *                rpd::result<R>) is given
     * send_file      done(rpd::conn): all of it is sent
     * receive        sink(std::string_view) [worker] takes the bytes of the body, in order;
     *                done(rpd::conn, rpd::result<void>): get() throws what the sink has thrown, or
     *                std::system_error
     * receive_file   likewise, without a sink */
    template <class Run, class Done> void job(Run run, Done done) const;
    template <class Done>
    void send_file(int fd, std::uint64_t offset, std::uint64_t size, Done done) const;
    template <class Sink, class Done> void receive(std::uint64_t size, Sink sink, Done done) const;
    template <class Done>
    void receive_file(std::uint64_t size, int fd, std::uint64_t offset, Done done) const;

  private:
    struct rpd_conn *it_;
};

/* [loop] A connection that is kept: rpd_conn_keep(), and rpd_conn_release() at its end, which must
 * be on the loop, too. */
class kept
{
  public:
    explicit kept(conn it) : it_(it.get())
    {
        rpd_conn_keep(it_);
    }
    kept(kept &&other) noexcept : it_(std::exchange(other.it_, nullptr))
    {
    }
    kept &operator=(kept &&other) noexcept
    {
        std::swap(it_, other.it_);
        return *this;
    }
    kept(const kept &) = delete;
    kept &operator=(const kept &) = delete;
    ~kept()
    {
        if (it_)
            rpd_conn_release(it_);
    }

    conn get() const
    {
        return conn(it_);
    }

  private:
    struct rpd_conn *it_;
};

inline kept conn::keep() const
{
    return kept(*this);
}

/* ---- jobs, bodies and posts ------------------------------------------------------------------ */

/* [worker] The job that runs. */
class running
{
  public:
    explicit running(struct rpd_job *it) : it_(it)
    {
    }

    /* The daemon stops, or the client has left: return, or throw rpd::cancelled, soon. */
    bool is_cancelled() const
    {
        return rpd_job_cancelled(it_);
    }

  private:
    struct rpd_job *it_;
};

/* What a job's run, or a body's sink, has returned or thrown. */
template <class R> class result
{
  public:
    /* Throws what was thrown; rpd::cancelled where run has not run. */
    R get()
    {
        if (exception_)
            std::rethrow_exception(exception_);
        if (!has_run_)
            throw cancelled();
        if constexpr (!std::is_void_v<R>)
            return std::move(*value_);
    }

  private:
    template <class> friend struct inside::work_of;

    std::optional<std::conditional_t<std::is_void_v<R>, char, R>> value_;
    std::exception_ptr exception_;
    bool has_run_ = false;
};

namespace inside
{

/* What the callbacks of a connection do with an exception. */
inline void fail(struct rpd_conn *conn, const char *callback, const char *what)
{
    rpd_log(rpd_conn_service(conn), RPD_LOG_ERROR, "%s: %s; the connection is closed", callback,
            what);
    rpd_conn_abort(conn);
}

template <class Run> constexpr bool takes_running = std::is_invocable_v<Run &, running>;

template <class Run, bool = takes_running<Run>> struct value_of {
    using type = std::invoke_result_t<Run &>;
};
template <class Run> struct value_of<Run, true> {
    using type = std::invoke_result_t<Run &, running>;
};

/* What is under way for a connection: work is a job's run, or a body's sink. */
template <class Work, class Done, class Value> struct conn_work {
    using value = Value;

    Work work;
    Done done;
    rpd::result<Value> result;
};

struct no_work {
};

template <class State> struct work_of {
    using value = typename State::value;

    template <class Call> static void keep_result(State &state, Call call)
    {
        if constexpr (std::is_void_v<value>)
            call();
        else
            state.result.value_.emplace(call());
    }

    static void run(struct rpd_job *it, void *arg)
    {
        auto &state = *static_cast<State *>(arg);
        try {
            keep_result(state, [&]() -> value {
                if constexpr (takes_running<decltype(state.work)>)
                    return state.work(running(it));
                else
                    return state.work();
            });
            state.result.has_run_ = true;
            RPD_PASS_UNWINDING_
        } catch (...) {
            state.result.exception_ = std::current_exception();
        }
    }

    static int sink(void *arg, const void *data, std::size_t size)
    {
        auto &state = *static_cast<State *>(arg);
        try {
            state.work(std::string_view(static_cast<const char *>(data), size));
            return 0;
            RPD_PASS_UNWINDING_
        } catch (...) {
            state.result.exception_ = std::current_exception();
            return EIO;
        }
    }

    template <class Call> static void call_done(struct rpd_conn *conn, Call call)
    {
        if (conn)
            guarded(call, [&](const char *what) { fail(conn, "done", what); });
    }

    static void end_job(struct rpd_conn *conn, void *arg, int)
    {
        const std::unique_ptr<State> state(static_cast<State *>(arg));
        call_done(conn, [&] { state->done(rpd::conn(conn), std::move(state->result)); });
    }

    static void end_body(struct rpd_conn *conn, void *arg, int error)
    {
        const std::unique_ptr<State> state(static_cast<State *>(arg));
        if (error && !state->result.exception_)
            state->result.exception_ = std::make_exception_ptr(
                std::system_error(error, std::generic_category(), "body"));
        state->result.has_run_ = error == 0;
        call_done(conn, [&] { state->done(rpd::conn(conn), std::move(state->result)); });
    }

    static void end_file(struct rpd_conn *conn, void *arg, int)
    {
        const std::unique_ptr<State> state(static_cast<State *>(arg));
        call_done(conn, [&] { state->done(rpd::conn(conn)); });
    }
};

/* Hands the state over to what has begun; the result of the call that began it is 0 then. */
template <class State> void hand_over(std::unique_ptr<State> state, int result)
{
    if (result == 0)
        static_cast<void>(state.release()); // it is the loop's now
    else if (errno == EAGAIN)
        throw busy();
    else if (errno == ENOMEM)
        throw std::bad_alloc();
    else if (errno != ECANCELED)
        throw std::system_error(errno, std::generic_category(), "body");
}

template <class Call> void call_post(struct rpd_service *service, void *arg)
{
    const std::unique_ptr<Call> call(static_cast<Call *>(arg));
    guarded([&] { (*call)(rpd::service(service)); },
            [&](const char *what) { rpd_log(service, RPD_LOG_ERROR, "post: %s", what); });
}

} // namespace inside

template <class Call> bool service::post(Call call) const
{
    auto moved = std::make_unique<Call>(std::move(call));

    if (rpd_post(it_, inside::call_post<Call>, moved.get()) < 0)
        return false;
    static_cast<void>(moved.release());
    return true;
}

template <class Run, class Done> void conn::job(Run run, Done done) const
{
    using state = inside::conn_work<Run, Done, typename inside::value_of<Run>::type>;
    using glue = inside::work_of<state>;
    auto job = std::unique_ptr<state>(new state{std::move(run), std::move(done), {}});
    const int result = rpd_conn_job(it_, glue::run, glue::end_job, job.get());

    inside::hand_over(std::move(job), result);
}

template <class Done>
void conn::send_file(int fd, std::uint64_t offset, std::uint64_t size, Done done) const
{
    using state = inside::conn_work<inside::no_work, Done, void>;
    auto file = std::unique_ptr<state>(new state{{}, std::move(done), {}});
    const int result = rpd_conn_send_file(it_, fd, offset, size, inside::work_of<state>::end_file,
                                          file.get());

    inside::hand_over(std::move(file), result);
}

template <class Sink, class Done> void conn::receive(std::uint64_t size, Sink sink, Done done) const
{
    using state = inside::conn_work<Sink, Done, void>;
    using glue = inside::work_of<state>;
    auto body = std::unique_ptr<state>(new state{std::move(sink), std::move(done), {}});
    const int result = rpd_conn_receive(it_, size, glue::sink, glue::end_body, body.get());

    inside::hand_over(std::move(body), result);
}

template <class Done>
void conn::receive_file(std::uint64_t size, int fd, std::uint64_t offset, Done done) const
{
    using state = inside::conn_work<inside::no_work, Done, void>;
    auto body = std::unique_ptr<state>(new state{{}, std::move(done), {}});
    const int result = rpd_conn_receive_file(it_, size, fd, offset,
                                             inside::work_of<state>::end_body, body.get());

    inside::hand_over(std::move(body), result);
}

/* ---- from a class to a descriptor ---------------------------------------------------------- */

namespace inside
{

/* Fills result where make() returns; a load that failed where it throws. */
template <class Make> void *made(struct rpd_load *load, Make make)
{
    void *result = nullptr;
    guarded([&] { result = make(); },
            [&](const char *what) {
                if (!rpd_load_cancelled(load))
                    rpd_load_fail(load, "%s", what);
            });
    return result;
}

template <class> struct attach_of;
template <class State, class Part> struct attach_of<void (*)(State &, std::unique_ptr<Part>)> {
    using part = Part;

    template <auto Make> static void *load(struct rpd_load *it)
    {
        return made(it, [&] { return static_cast<void *>(Make(rpd::load(it)).release()); });
    }
    template <auto Attach> static void attach(void *state, void *it)
    {
        Attach(*static_cast<State *>(state), std::unique_ptr<Part>(static_cast<Part *>(it)));
    }
    static void discard(void *it)
    {
        delete static_cast<Part *>(it);
    }
};

/* Whether a class has a member, and a callback of one shape or of the other. */
#define RPD_HAS_(member)                                                                           \
    template <class T, class = void> struct has_##member : std::false_type {                       \
    };                                                                                             \
    template <class T>                                                                             \
    struct has_##member<T, std::void_t<decltype(&T::member)>> : std::true_type {                   \
    };
RPD_HAS_(summary)
RPD_HAS_(version)
RPD_HAS_(options)
RPD_HAS_(option_details)
RPD_HAS_(warmup)
RPD_HAS_(idle_exit_s)
RPD_HAS_(metrics)
RPD_HAS_(on_part)
RPD_HAS_(probe)
RPD_HAS_(serves_without_state)
RPD_HAS_(serve)
RPD_HAS_(claim)
RPD_HAS_(on_busy)
RPD_HAS_(on_ready)
RPD_HAS_(on_connect)
RPD_HAS_(on_data)
RPD_HAS_(on_writable)
RPD_HAS_(on_close)
RPD_HAS_(on_drain)
RPD_HAS_(stop)
#undef RPD_HAS_

template <class T, class = void> struct session_of {
    static constexpr bool is_there = false;
};
template <class T> struct session_of<T, std::void_t<typename T::session>> {
    static constexpr bool is_there = true;
    using type = typename T::session;

    static type *make(T *state, rpd::conn conn)
    {
        if constexpr (std::is_constructible_v<type, T &, rpd::conn>)
            return new type(*state, conn);
        else if constexpr (std::is_constructible_v<type, rpd::conn>)
            return new type(conn);
        else
            return new type();
    }
};

template <class T> struct glue {
    using sessions = session_of<T>;

    /* A static callback is given the state, which may be NULL; a member is called on it. */
    template <class Member, class Argument>
    static void call(Member member, Argument argument, void *state)
    {
        if constexpr (std::is_member_function_pointer_v<Member>)
            (static_cast<T *>(state)->*member)(argument);
        else
            member(argument, static_cast<T *>(state));
    }

    static void *load(struct rpd_load *it)
    {
        return made(it, [&]() -> void * {
            if constexpr (std::is_constructible_v<T, rpd::load>)
                return new T(rpd::load(it));
            else
                return new T();
        });
    }
    static void unload(void *state)
    {
        delete static_cast<T *>(state);
    }

    static void on_ready(struct rpd_service *it, void *state)
    {
        guarded([&] { call(&T::on_ready, rpd::service(it), state); },
                [&](const char *what) {
                    rpd_log(it, RPD_LOG_ERROR, "on_ready: %s", what);
                    rpd_service_set_degraded(it, what);
                });
    }
    static void on_drain(struct rpd_service *it, void *state)
    {
        /* (NULL where the end comes before the load has returned.) */
        if (state || !std::is_member_function_pointer_v<decltype(&T::on_drain)>)
            guarded([&] { call(&T::on_drain, rpd::service(it), state); },
                    [&](const char *what) { rpd_log(it, RPD_LOG_ERROR, "on_drain: %s", what); });
    }
    static void stop(struct rpd_service *it, void *state)
    {
        if (state || !std::is_member_function_pointer_v<decltype(&T::stop)>)
            guarded([&] { call(&T::stop, rpd::service(it), state); },
                    [&](const char *what) { rpd_log(it, RPD_LOG_ERROR, "stop: %s", what); });
    }

    static void on_connect(struct rpd_conn *it, void *state)
    {
        guarded(
            [&] {
                if constexpr (sessions::is_there)
                    rpd_conn_set_data(it, sessions::make(static_cast<T *>(state), rpd::conn(it)));
                if constexpr (has_on_connect<T>::value)
                    call(&T::on_connect, rpd::conn(it), state);
            },
            [&](const char *what) { fail(it, "on_connect", what); });
    }
    static void on_data(struct rpd_conn *it, void *state)
    {
        guarded([&] { call(&T::on_data, rpd::conn(it), state); },
                [&](const char *what) { fail(it, "on_data", what); });
    }
    static void on_writable(struct rpd_conn *it, void *state)
    {
        guarded([&] { call(&T::on_writable, rpd::conn(it), state); },
                [&](const char *what) { fail(it, "on_writable", what); });
    }
    static void on_close(struct rpd_conn *it, void *state)
    {
        if constexpr (has_on_close<T>::value)
            /* (One whose session could not be made was never there.) */
            if (!sessions::is_there || rpd_conn_data(it))
                guarded([&] { call(&T::on_close, rpd::conn(it), state); },
                        [&](const char *what) {
                            rpd_log(rpd_conn_service(it), RPD_LOG_ERROR, "on_close: %s", what);
                        });
        if constexpr (sessions::is_there) {
            delete static_cast<typename sessions::type *>(rpd_conn_data(it));
            rpd_conn_set_data(it, nullptr);
        }
    }
    static void on_busy(struct rpd_conn *it)
    {
        guarded([&] { T::on_busy(rpd::conn(it)); },
                [&](const char *what) {
                    rpd_log(rpd_conn_service(it), RPD_LOG_ERROR, "on_busy: %s", what);
                });
    }

    static void on_part(struct rpd_service *it, const char *name, enum rpd_part_outcome outcome)
    {
        guarded([&] { T::on_part(rpd::service(it), name, outcome); },
                [&](const char *what) { rpd_log(it, RPD_LOG_ERROR, "on_part: %s", what); });
    }

    static int serve(struct rpd_service *it, struct rpd_listener *listener)
    {
        int result = -1;
        guarded([&] { result = T::serve(rpd::service(it), listener); },
                [&](const char *what) { rpd_serve_fail(it, "%s", what); });
        return result;
    }
    static int claim(struct rpd_service *it)
    {
        int result = -1;
        guarded([&] { result = T::claim(rpd::service(it)); },
                [&](const char *what) { rpd_log(it, RPD_LOG_ERROR, "claim: %s", what); });
        return result;
    }
};

} // namespace inside

template <auto Make, auto Attach> void load::add_part(const char *name, bool optional) const
{
    using glue = inside::attach_of<std::decay_t<decltype(Attach)>>;
    const struct rpd_load_part part = {
        name,    glue::template load<Make>, glue::template attach<Attach>, glue::discard, nullptr,
        optional};

    if (rpd_load_add_part(it_, &part) < 0)
        throw std::runtime_error(std::string("no memory for the part ") + name);
}

/* What RPD_BACKEND_CLASS() makes: its members are the class's. */
template <class T> constexpr struct rpd_backend descriptor(const char *name)
{
    using glue = inside::glue<T>;
    struct rpd_backend it {
    };

    static_assert(inside::has_on_data<T>::value || inside::has_serve<T>::value,
                  "a backend has on_data, or serve");
    static_assert(std::is_constructible_v<T, rpd::load> || std::is_default_constructible_v<T>,
                  "a backend is made from a rpd::load, or from nothing");
    static_assert(std::is_nothrow_destructible_v<T>, "a destructor that throws ends the process");
    it.struct_size = sizeof it;
    it.abi = RPD_ABI;
    it.name = name;
    it.load = glue::load;
    it.unload = glue::unload;
    if constexpr (inside::has_summary<T>::value)
        it.summary = T::summary;
    if constexpr (inside::has_version<T>::value)
        it.version = T::version;
    if constexpr (inside::has_options<T>::value)
        it.options = T::options;
    if constexpr (inside::has_option_details<T>::value)
        it.option_details = T::option_details;
    if constexpr (inside::has_warmup<T>::value)
        it.warmup = T::warmup;
    if constexpr (inside::has_idle_exit_s<T>::value)
        it.idle_exit_s = T::idle_exit_s;
    if constexpr (inside::has_metrics<T>::value)
        it.metrics = T::metrics;
    if constexpr (inside::has_on_part<T>::value)
        it.on_part = glue::on_part;
    if constexpr (inside::has_probe<T>::value)
        it.probe = T::probe;
    if constexpr (inside::has_serves_without_state<T>::value)
        it.serves_without_state = T::serves_without_state;
    if constexpr (inside::has_serve<T>::value)
        it.serve = glue::serve;
    if constexpr (inside::has_claim<T>::value)
        it.claim = glue::claim;
    if constexpr (inside::has_on_busy<T>::value)
        it.on_busy = glue::on_busy;
    if constexpr (inside::has_on_ready<T>::value)
        it.on_ready = glue::on_ready;
    if constexpr (inside::has_on_drain<T>::value)
        it.on_drain = glue::on_drain;
    if constexpr (inside::has_stop<T>::value)
        it.stop = glue::stop;
    if constexpr (inside::has_on_connect<T>::value || inside::session_of<T>::is_there)
        it.on_connect = glue::on_connect;
    if constexpr (inside::has_on_data<T>::value)
        it.on_data = glue::on_data;
    if constexpr (inside::has_on_writable<T>::value)
        it.on_writable = glue::on_writable;
    if constexpr (inside::has_on_close<T>::value || inside::session_of<T>::is_there)
        it.on_close = glue::on_close;
    return it;
}

} // namespace rpd

#undef RPD_PASS_UNWINDING_

/* Declares the backend of this plugin: its name, an identifier in lower case, and its class. Once a
 * plugin, at file scope. */
#define RPD_BACKEND_CLASS(backend_name, ...)                                                       \
    RPD_NOTE_(rpd_note_backend_, RPD_NOTE_BACKEND, #backend_name);                                 \
    RPD_EXPORT_ const struct rpd_backend rpd_backend_v1;                                           \
    constexpr struct rpd_backend rpd_backend_v1 = ::rpd::descriptor<__VA_ARGS__>(#backend_name)

#endif
