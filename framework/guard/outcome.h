/* How a start went, and how the process ended: reported to the process that started it, on
 * --start-fd, and noted in the history of each service (history.h).
 *
 *   start fd:  "bound\n", or "ended CODE TEXT\n" if it never came to that;
 *              end-of-file without a line: it ended without a word
 *              behind "ended", "said TEXT\n" for each error before the last
 *   history:   "TIME_MS PID START_TIME bound 0 -\n"
 *              "TIME_MS PID START_TIME timed 0 TEXT\n": how long that took (service/times.c)
 *              "TIME_MS PID START_TIME ended CODE TEXT\n"
 *
 * CODE is the exit code, or 128 and the signal. TEXT is the line on stderr that
 * says why, as text and without "rpd: "; "-": none. Each line is one write(2),
 * and each is written once, whichever of several ends comes first: a return
 * from main(), the watchdog's, a crash, an exit() of a plugin. A process that
 * is killed says nothing. State is global, as a signal handler has no other. */
#ifndef FRAMEWORK_OUTCOME_H
#define FRAMEWORK_OUTCOME_H

#include "base/error.h"

/* [start] Where the launcher reads it; -1: nowhere. Not closed before it is used. */
void outcome_set_start_fd(int fd);

/* [start] That descriptor; -1: there is none, or none any more. */
int outcome_start_fd(void);

/* [start] An open history of a service, which is taken; and when this process began, as
 * /proc has it. 0, or -1 without memory (then it is closed). The name stays the caller's. */
int outcome_add_history(int take_fd, const char *service, unsigned long long start_time);

/* [start] The same of one that is kept elsewhere, for the next start: it is never replaced. */
int outcome_add_kept_history(int take_fd, const char *service, unsigned long long start_time);

/* [loop] That history; -1: there is none. From now on it is another, which is taken. */
int outcome_history(const char *service);
void outcome_replace_history(const char *service, int take_fd);

/* [start] All endpoints of all services are announced. The start fd is closed. */
void outcome_bound(void);

/* [loop] How long the start of a service took, into its history: "TIME_MS PID START_TIME timed 0
 * TEXT". */
void outcome_timed(const char *service, const char *text);

/* [start][loop], and [any] when the process is about to end. What was said on
 * stderr about why it will end. */
void outcome_note(const char *text);

/* [start][loop] Logs an error that ends the process or a start, and notes it. Its exit code. */
int outcome_report(const struct error *error);

/* [any], async-signal-safe. It ends now; text: why, one line, with or without
 * "rpd: "; NULL: what was noted. Does nothing in a child that a plugin has forked. */
void outcome_ended(int code, const char *text);

#endif
