/* The daemon on its loop, from inside: what running.c, stopping.c and running_files.c share. */
#ifndef FRAMEWORK_RUNNING_INSIDE_H
#define FRAMEWORK_RUNNING_INSIDE_H

#include "daemon/running.h"

/* ---- running.c ------------------------------------------------------------- */

/* A service, or the daemon itself, cannot go on: stops with this error. */
void running_on_failed(void *arg, struct rpd_service *service, const struct error *error);

/* ---- stopping.c ------------------------------------------------------------ */

/* The drain, its deadline, and the watchdog that forces the end after it. Only the first
 * call counts; why: for the log. */
void running_stop(struct running *running, int exit_code, const char *why);

/* What ends the process if a stop takes too long; exit_code: of the stop's reason, or 0. */
void running_limit_stop(const struct running *running, int exit_code);

/* Leaves the loop if every service has stopped. */
void running_leave_when_stopped(struct running *running);
void running_on_drain_deadline(evutil_socket_t fd, short what, void *arg);

/* An idle exit: hides the endpoints, and ends if no client has come after a while. */
bool running_is_idle(const struct running *running, uint64_t now_us);
void running_try_idle_exit(struct running *running);
void running_on_hidden_long_enough(evutil_socket_t fd, short what, void *arg);

/* ---- running_files.c ------------------------------------------------------- */

int running_watch_paths(struct running *running);
int running_start_moving(struct running *running);
void running_on_path_changed(void *arg, const char *name);

/* False: nothing is left to heal, or nothing can be made there. */
bool running_look_at_directories(struct running *running);

/* Keeps the files from cleaners that remove what was not used for days. */
void running_touch_files(struct running *running, uint64_t now_us);

#endif
