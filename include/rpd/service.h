/* A service as its backend sees it, and the second part of the contract:
 * serve, for backends that bring a library of their own to the loop. */
#ifndef RPD_SERVICE_H
#define RPD_SERVICE_H

#include <rpd/base.h>

RPD_BEGIN

struct event_base; /* libevent's; include <event2/event.h> to use it */

/* [any] The service's name, unique in the run-time directory. */
RPD_API const char *rpd_service_name(const struct rpd_service *service);

/* [loop] The loaded state; NULL before it is handed over. A state with parts is handed
 * over before READY. */
RPD_API void *rpd_service_state(const struct rpd_service *service);

/* A pointer of the backend that exists before the load: what claim() or serve() has found out, or
 * what callbacks share while there is no state. Set it on [start] or [loop]; get it on [any]. rpd
 * does not guard what it points to. Free it in stop(), or in unload. NULL until it is set. */
RPD_API void rpd_service_set_data(struct rpd_service *service, void *data);
RPD_API void *rpd_service_data(const struct rpd_service *service);

/* [loop] Stops the daemon, with all its services, as SIGTERM does: it drains, and exits with 0.
 * why is one line, for the log and the history; it is copied, 255 bytes at most. The stop begins in
 * a later turn of the loop. Only the first reason counts, and none if the daemon already stops. */
RPD_API void rpd_stop(struct rpd_service *service, const char *why);

/* [loop] The loop, for timers and for libraries with a libevent adapter or an
 * epoll descriptor. Never run or free it, and never use it on another thread. Its
 * timers fire up to 10 ms late: use a timerfd of your own if the time must be exact.
 * After this call the daemon wakes up four times a second even if it is idle; see rpd/state.h. */
RPD_API struct event_base *rpd_service_event_base(const struct rpd_service *service);

/* How far the load is, for a busy answer or a cold path. */
struct rpd_progress {
    bool ready;
    double fraction; /* 0 to 1 */
    int64_t eta_ms;  /* until READY; -1: unknown */
    uint32_t parts;  /* known so far, including the run of load() itself */
    uint32_t loaded; /* of them */
};

/* [loop] Measured four times a second. */
RPD_API struct rpd_progress rpd_service_progress(const struct rpd_service *service);

/* State that belongs to one service alone. Two services that save to the same file would
 * overwrite each other's data: claim the state before you read it, and call
 * rpd_owns_state() before you replace it.
 *
 * [start] in claim(), or [worker] in load: claims a file, which need not exist, or a
 * directory, which must, for the service's life, by a lock that the kernel
 * holds: .NAME.lock beside the file, .rpd.lock in the directory. The path belongs to
 * the caller, and is copied. Waits a second at most for an owner that is leaving.
 * Claiming it again is legal. 0: it belongs to the service. -1: it does not, and rpd
 * knows why: return -1 from claim(), or NULL from load. If another owner has it, the
 * process ends with 75, whatever on_load_failure says; otherwise (a symbolic link, a
 * directory that others can write to, no permission) the start fails, or the load. */
RPD_API int rpd_claim_state(const struct rpd_service *service, const char *path) RPD_MUST_CHECK;

/* [worker] Whether a path, spelled as it was claimed, is still the service's: false if it was
 * never claimed, or if the lock file or its directory was removed and another owner has come since.
 * If the file was only removed, it is claimed again. This function accesses files, so it may
 * block. */
RPD_API bool rpd_owns_state(const struct rpd_service *service, const char *path);

enum rpd_log_level { RPD_LOG_ERROR, RPD_LOG_WARNING, RPD_LOG_INFO, RPD_LOG_DEBUG };

/* [any] One line to the log, under the service's name. Control bytes are
 * escaped; 1 KiB at most. Lines of one service and one format are limited (log.limit of the
 * configuration: by default 50 at once, then 10 a second); further lines are counted, and the
 * count is logged. Therefore pass what differs as an argument, not as part of the format. */
RPD_API void rpd_log(const struct rpd_service *service, enum rpd_log_level level,
                     const char *format, ...) RPD_PRINTF(3, 4);

/* One bound endpoint. rpd owns it; it lives as long as the service. */
struct rpd_listener;

/* [loop] The endpoint as in the configuration, with the port that was assigned. */
RPD_API const char *rpd_listener_text(const struct rpd_listener *listener);

/* The number of clients is limited for every service, however it serves them:
 * by limits.clients, and for each user or address by limits.clients_per_peer.
 * A client counts from when rpd accepts it until it is closed. */

/* [loop] A client that may be served now: the warm-up policy has been applied.
 * take_fd: connected, non-blocking and close-on-exec; the backend
 * closes it, and calls rpd_client_gone(). */
typedef void (*rpd_accept_fn)(struct rpd_service *service, int take_fd, const struct sockaddr *peer,
                              socklen_t peer_length, void *arg);

/* [loop] Called in serve: from now on accept clients of this listener. Returns
 * 0, or -1 if the listener has been given away already. */
RPD_API int rpd_accept(struct rpd_service *service, struct rpd_listener *listener,
                       rpd_accept_fn accept, void *arg) RPD_MUST_CHECK;

/* [loop] The client with this descriptor, given by rpd_accept(), is closed. Call it
 * just before or after you close it, in the same callback, because another client soon
 * gets that descriptor. The call gives the client's place to the next client; a stop waits
 * for the call until the drain deadline. Any other descriptor is logged and ignored. */
RPD_API void rpd_client_gone(struct rpd_service *service, int fd);

/* [loop] Called in serve: this listener's clients go to the backend's
 * connection callbacks. rpd does the same for a backend without serve. */
RPD_API int rpd_serve_connections(struct rpd_service *service,
                                  struct rpd_listener *listener) RPD_MUST_CHECK;

/* [loop] Says why serve failed. Returns -1, for `return rpd_serve_fail(...)`. */
RPD_API int rpd_serve_fail(struct rpd_service *service, const char *format, ...) RPD_PRINTF(2, 3);

/* [loop] Sets what the service currently cannot do, in one line such as "cannot save: No space left
 * on device"; NULL: it can do everything again. `rpdctl status` shows the service as degraded, with
 * this as its last error, and the service manager's status contains the line, too. The text is
 * copied, 255 bytes at most; nothing is logged. The same text again changes nothing. */
RPD_API void rpd_service_set_degraded(struct rpd_service *service, const char *reason);

/* [worker] Called in unload: reports what could not be kept, and why. The stop continues, and
 * the process ends with 71. */
RPD_API void rpd_unload_fail(struct rpd_service *service, const char *format, ...) RPD_PRINTF(2, 3);

/* [worker] Called in unload: the milliseconds until drain_s is over, in which something that
 * failed may be tried again; 0: it is over. A second later the end is forced, with 70. */
RPD_API int rpd_unload_time_left_ms(const struct rpd_service *service);

RPD_END
#endif
