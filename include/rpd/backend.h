/* How to write a backend. This is the header that a plugin includes; read it
 * first, then samples/hello.c, then the headers below as you need them.
 *
 * A backend is a shared object with one RPD_BACKEND(). rpd owns main() and
 * calls it in this order:
 *
 *   step       thread    the backend's part         if it fails
 *   ---------  --------  -------------------------  -------------------------
 *   inspect    -         none: the file is read     65, 66, 77
 *   claim      -         none                       73, 75
 *   bind       [start]   none, or bind()            71, 75, 78; 76 if it breaks the contract
 *   code       [start]   its constructors           65, 78 (options); 76 if too slow
 *   state      [start]   none, or claim()           75; 71, 73, 77, 78
 *   publish    -         none                       73
 *   BOUND      -         clients connect from here on
 *   serve      [loop]    none, or serve()           71; 76 if it does not attach
 *   load       [worker]  none, or load(), parts     the user's on_load_failure
 *   clients    [loop]    until READY: by the warm-up policy, see below
 *   READY      [loop]    on_ready()
 *   clients    [loop]    on_connect ... on_close
 *   drain      [loop]    on_drain()                 clients are closed at drain_s
 *   stop       [loop]    stop()
 *   unload     [worker]  unload()
 *
 * Thread tags, on every function and callback:
 *   [start]   before the loop exists
 *   [loop]    the thread that runs the event loop: never block, never sleep
 *   [worker]  a thread of the pool: may block
 *   [any]     any thread
 * A service's callbacks on the loop never overlap.
 *
 * rpd sends SIGRTMAX - 2 to a thread that is late, to find out where it is: do not use that
 * signal. A sleep or a poll on such a thread may then return EINTR.
 *
 * All services share one process. If a plugin does one of the following while it runs, the log
 * names it once, and the daemon continues if it can:
 *   - a [loop] function called on another thread: it returns -1, false or an empty span and
 *     does nothing; a function that only returns a pointer or a number still returns it;
 *   - fork() whose child returns from the callback: the child is ended. It must call exec
 *     or _exit();
 *   - pthread_exit() in a job or a load: it counts as failed, and the thread is replaced;
 *   - the signal mask of the loop's thread, or a handler of SIGTERM, SIGINT, SIGHUP, SIGPIPE or
 *     of a crash, is changed: it is restored within a second;
 *   - a descriptor of rpd is closed: it is made again within a second; if that is impossible
 *     (the loop's epoll, a listener of TCP or of the plugin's own), the daemon ends with 70;
 *   - an exception that leaves a callback: the process dies of SIGABRT, with a crash line that
 *     names callback and thrower. Catch in the callback, or let rpd/backend.hpp do so.
 *
 * Clients connect from BOUND on. What they get until READY depends on the warm-up policy
 * of the descriptor or of the user:
 *   hold     they wait, and are served at READY: right for most backends
 *   serve    they are served at once, by a backend that can work without its state
 *   refuse   they get the busy answer of on_busy, and are closed
 *   backlog  they are not even accepted */
#ifndef RPD_BACKEND_H
#define RPD_BACKEND_H

#include <rpd/base.h>
#include <rpd/body.h>
#include <rpd/conn.h>
#include <rpd/endpoint.h>
#include <rpd/frame.h>
#include <rpd/job.h>
#include <rpd/load.h>
#include <rpd/metrics.h>
#include <rpd/option.h>
#include <rpd/service.h>
#include <rpd/state.h>

RPD_BEGIN

/* The ABI that these headers describe. A plugin runs on every rpd of the same
 * ABI, older or newer. Therefore, within an ABI,
 *   - a descriptor, which begins with struct_size, only gets fields at its end: fields
 *     that a plugin does not have are 0, fields that rpd does not know are ignored;
 *   - every other struct stays as it is, because a plugin does not say how large its own is:
 *     additions come as functions, with a struct of their own if necessary;
 *   - functions, enum values and macros are added, and never changed or removed.
 *     An rpd that lacks a function refuses a plugin that calls it, with 65. */
#define RPD_ABI 1

/* A request that any instance of the backend answers once its state is loaded, with
 * the default options or others, and the beginning of the answer; if the beginning is
 * empty, any answer is accepted. `rpdctl check` sends the request; rpd does not. */
struct rpd_probe {
    const char *request;
    size_t request_size;
    const char *reply_begins;
    size_t reply_size; /* of reply_begins */
};

/* .probe = RPD_PROBE("ping\n", "pong"), with string literals, which may contain NUL bytes. */
/* clang-format off */
#define RPD_PROBE(request, reply_begins) \
    { request, sizeof(request) - 1, reply_begins, sizeof(reply_begins) - 1 }
/* clang-format on */

/* The descriptor. Fill it through RPD_BACKEND(); leave out what you do not
 * need. state is what load returned. It is NULL for a backend without load; in
 * on_drain and stop, if the end comes before load has returned; and, with
 * serves_without_state, as long as there is no state. */
struct rpd_backend {
    uint32_t struct_size; /* set by RPD_BACKEND */
    uint32_t abi;         /* set by RPD_BACKEND */
    const char *name;     /* set by RPD_BACKEND */

    const char *summary; /* one line for users */
    const char *version;
    const struct rpd_option *options; /* closed by RPD_OPTIONS_END; lives as long as the plugin */

    /* [loop] Once for each listener, before the first client. Attaches with
     * rpd_accept() or rpd_serve_connections() and returns at once: 0, or -1
     * after rpd_serve_fail(). Without serve, rpd calls rpd_serve_connections(). */
    int (*serve)(struct rpd_service *service, struct rpd_listener *listener);

    /* [worker] Makes the state. See load.h. */
    rpd_load_fn load;
    /* [worker] Frees the state: at stop, after the last callback on the loop. */
    void (*unload)(void *state);
    /* [loop] The state and all its parts are loaded; the held clients follow. */
    void (*on_ready)(struct rpd_service *service, void *state);

    /* [loop] Connections. See conn.h. A backend without serve has on_data. */
    void (*on_connect)(struct rpd_conn *conn, void *state);
    void (*on_data)(struct rpd_conn *conn, void *state);
    void (*on_writable)(struct rpd_conn *conn, void *state); /* output has drained: see conn.h */
    void (*on_close)(struct rpd_conn *conn, void *state);    /* conn cannot be written to now */

    /* [loop] No more clients will come. For clients taken by rpd_accept(): finish the requests in
     * flight, and close idle connections. */
    void (*on_drain)(struct rpd_service *service, void *state);
    /* [loop] Frees what serve made; also called when a later serve failed. */
    void (*stop)(struct rpd_service *service, void *state);

    /* What clients get until READY, unless the user says otherwise. */
    enum rpd_warmup warmup;
    /* The callbacks can work with state NULL, and without parts that are not attached. The
     * policy "serve", and on_load_failure "degraded", are then possible. */
    bool serves_without_state;
    /* [loop] Under the policy "refuse": writes the busy answer, with
     * rpd_conn_write(). Then the connection is closed; no other callback sees it. */
    void (*on_busy)(struct rpd_conn *conn);
    /* For `rpdctl check`. */
    struct rpd_probe probe;
    /* [start] Claims state that must be this service's alone, with rpd_claim_state().
     * The options are known. Do not load anything here, because clients wait. Returns 0, or -1
     * if a claim has failed: then the start fails, before the service is announced. */
    int (*claim)(struct rpd_service *service);
    /* More facts about options, by their names: see option.h. Closed by RPD_DETAILS_END; lives as
     * long as the plugin. */
    const struct rpd_option_detail *option_details;
    /* [loop] A part of the load was attached, or failed. name is the name that it was given. */
    void (*on_part)(struct rpd_service *service, const char *name, enum rpd_part_outcome outcome);
    /* services[].idle_exit_s, unless the user sets it; 0: never. */
    uint32_t idle_exit_s;
    /* The backend's metrics: see metrics.h. Closed by RPD_METRICS_END; lives as long as the
     * plugin. */
    const struct rpd_metric *metrics;

    /* [loop] The options have changed while it serves: rpd_option_...() returns the new values from
     * now on. Strings that were returned before stay valid as long as the service. state is NULL
     * while there is none. A backend without on_options gets other options only with a new
     * generation, or a restart. */
    void (*on_options)(struct rpd_service *service, void *state);
};

/* The second descriptor, for RPD_BACKEND_BIND(). */
struct rpd_backend_bind {
    uint32_t struct_size;
    uint32_t abi;
    rpd_bind_fn bind;
};

/* The ELF notes with which rpd checks a plugin without running it: owner "rpd",
 * in section .note.rpd. The layout is frozen. */
enum rpd_note_type { RPD_NOTE_BACKEND = 1, RPD_NOTE_OWN_BIND = 2 };

struct rpd_note {
    uint32_t owner_size, body_size, type; /* as in ELF */
    char owner[4];                        /* "rpd" */
    uint32_t abi;
    char backend[64]; /* the backend's name, NUL-terminated */
};

/* clang's address sanitizer would pad the note, and a padded note is not valid. */
#ifdef __clang__
#define RPD_NOT_PADDED_ __attribute__((no_sanitize("address")))
#else
#define RPD_NOT_PADDED_
#endif

#define RPD_NOTE_(variable, note_type, backend_name)                                               \
    static const struct rpd_note variable __attribute__((section(".note.rpd"), used, aligned(4)))  \
    RPD_NOT_PADDED_ = {4, sizeof(struct rpd_note) - 16, note_type, "rpd", RPD_ABI, backend_name}

#ifdef __cplusplus
#define RPD_EXPORT_ extern "C" RPD_API
#else
#define RPD_EXPORT_ extern RPD_API
#endif

/* Declares the backend of this plugin:
 *
 *     RPD_BACKEND(hello, .summary = "Greets each line", .on_data = on_data);
 *
 * name is an identifier in lower case; it is also the default name of the
 * service. Use this macro once in a plugin, at file scope. In C++, keep the fields in the
 * order of the struct. */
#define RPD_BACKEND(backend_name, ...)                                                             \
    RPD_NOTE_(rpd_note_backend_, RPD_NOTE_BACKEND, #backend_name);                                 \
    RPD_EXPORT_ const struct rpd_backend rpd_backend_v1;                                           \
    const struct rpd_backend rpd_backend_v1 = {.struct_size = sizeof(struct rpd_backend),          \
                                               .abi = RPD_ABI,                                     \
                                               .name = #backend_name,                              \
                                               __VA_ARGS__}

/* This plugin creates its own listeners, with a function of type rpd_bind_fn.
 * This is declared separately, because rpd must know it before any code runs:
 * endpoints of other backends are bound before their plugins are even opened. */
#define RPD_BACKEND_BIND(bind_function)                                                            \
    RPD_NOTE_(rpd_note_bind_, RPD_NOTE_OWN_BIND, "");                                              \
    RPD_EXPORT_ const struct rpd_backend_bind rpd_backend_bind_v1;                                 \
    const struct rpd_backend_bind rpd_backend_bind_v1 = {sizeof(struct rpd_backend_bind), RPD_ABI, \
                                                         bind_function}

RPD_END
#endif
