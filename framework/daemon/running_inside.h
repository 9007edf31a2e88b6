/* Internals of the daemon on its loop, shared by running.c, stopping.c and running_files.c. */
#ifndef FRAMEWORK_RUNNING_INSIDE_H
#define FRAMEWORK_RUNNING_INSIDE_H

#include "daemon/running.h"

/* ---- running.c ------------------------------------------------------------- */

/* Stops with this error, because a service or the daemon itself cannot go on. */
void running_on_failed(void *arg, struct rpd_service *service, const struct error *error);

/* ---- stopping.c ------------------------------------------------------------ */

/* Starts the drain, its deadline, and the watchdog that forces the end after it. Only the first
 * call has an effect. why: for the log. */
void running_stop(struct running *running, int exit_code, const char *why);

/* Ends the process if a stop takes too long. exit_code: for the stop's reason, or 0. */
void running_limit_stop(const struct running *running, int exit_code);

/* Leaves the loop if every service has stopped. */
void running_leave_when_stopped(struct running *running);
void running_on_drain_deadline(evutil_socket_t fd, short what, void *arg);

/* An idle exit: hides the endpoints, and ends if no client connects for a while. */
bool running_is_idle(const struct running *running, uint64_t now_us);
void running_try_idle_exit(struct running *running);
void running_on_hidden_long_enough(evutil_socket_t fd, short what, void *arg);

/* ---- running_files.c ------------------------------------------------------- */

int running_watch_paths(struct running *running);
int running_start_moving(struct running *running);
void running_on_path_changed(void *arg, const char *name);

/* False: nothing is left to heal, or nothing can be created there. */
bool running_look_at_directories(struct running *running);

/* Protects the files from cleaners that remove files not used for days. */
void running_touch_files(struct running *running, uint64_t now_us);

/* ---- running_link.c -------------------------------------------------------- */

/* In a runner: receives messages of its keeper; reports once that it is idle, until it is not. */
int running_listen(struct running *running);
void running_tell_idle(struct running *running, bool is_idle);

/* ---- running_keeper.c ------------------------------------------------------ */

/* In a keeper: lets its runner serve clients. 0, or -1 without memory. */
int running_keep(struct running *running);

/* In a keeper: what the control socket asks of its runner; the argument is the running. */
const struct control_relay *running_relay(void);

#endif
