/* How a start went, and how the process ended: reported to the process that started it, on
 * --start-fd, and noted in the history of each service (history.h).
 *
 *   start fd:  "bound\n", or "ended CODE TEXT\n" if the process did not get that far;
 *              end-of-file without a line: it ended without a report;
 *              after "ended", "said TEXT\n" for each error before the last
 *   history:   "TIME_MS PID START_TIME bound 0 -\n"
 *              "TIME_MS PID START_TIME timed 0 TEXT\n": how long that took (service/times.c)
 *              "TIME_MS PID START_TIME ended CODE TEXT\n"
 *
 * CODE is the exit code, or 128 plus the signal. TEXT is the line on stderr that
 * gives the reason, as text and without "rpd: "; "-": none. Each line is one
 * write(2), and each is written once, by whichever end comes first: a return
 * from main(), the watchdog, a crash, or an exit() of a plugin. A process that
 * is killed reports nothing. The state is global, because a signal handler
 * cannot access any other. */
#ifndef FRAMEWORK_OUTCOME_H
#define FRAMEWORK_OUTCOME_H

#include "base/error.h"

/* [start] The descriptor that the launcher reads from; -1: none. It is not closed before it is
 * used. */
void outcome_set_start_fd(int fd);

/* [start] That descriptor; -1: there is none, or none any more. */
int outcome_start_fd(void);

/* [start] Call in a runner. The start descriptor, which belongs to its keeper, stays open when the
 * runner is bound, and receives the report of the end in any case. */
void outcome_keep_start_fd(void);

/* [start] Takes ownership of an open history of a service. start_time: when this process began,
 * as in /proc. Returns 0, or -1 without memory; the history is then closed. The name stays the
 * caller's. */
int outcome_add_history(int take_fd, const char *service, unsigned long long start_time);

/* [start] The same for a history that is kept elsewhere for the next start: it is never replaced.
 */
int outcome_add_kept_history(int take_fd, const char *service, unsigned long long start_time);

/* [loop] Returns that history, or -1 if there is none. outcome_replace_history() replaces it with
 * another, and takes ownership of that. */
int outcome_history(const char *service);
void outcome_replace_history(const char *service, int take_fd);

/* [start] All endpoints of all services are announced. The start fd is closed. */
void outcome_bound(void);

/* [loop] Notes in the histories what has become of a generation, in one line. */
void outcome_generation(unsigned number, const char *what);
/* [loop] Writes to the history of a service how long its start took:
 * "TIME_MS PID START_TIME timed 0 TEXT". */
void outcome_timed(const char *service, const char *text);

/* [start][loop], and [any] when the process is about to end. Notes the reason for
 * the end that was written to stderr. */
void outcome_note(const char *text);

/* [start][loop] Logs and notes an error that ends the process or a start. Returns its exit
 * code. */
int outcome_report(const struct error *error);

/* [any], async-signal-safe. Reports that the process ends now. text: the reason, one
 * line, with or without "rpd: "; NULL: the noted reason. Does nothing in a child that
 * a plugin has forked. */
void outcome_ended(int code, const char *text);

#endif
