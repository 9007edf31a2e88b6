/* The log: lines on stderr, as text or as JSON. The only global state of the
 * framework besides what a crash must find (crash.h, residue.h).
 *
 * text:  rpd: echo: bound unix:/run/user/1000/rpd/echo.sock
 * json:  {"time":"2026-01-02T03:04:05.678Z","level":"info","subject":"echo","message":"bound ..."}
 *
 * Lines of one cause, which is a subject and a format, are limited (log_limit.h): beyond the
 * limit they are counted, and the count becomes a line. Not limited are errors of the daemon
 * itself, which say why it ends.
 *
 * Each line is one write(2), so that lines of several threads never mix. Where
 * no process reads them, lines are lost; where the journal or a file does, they begin
 * with a priority, or the time (output.h).
 * Functions here are [any]. */
#ifndef FRAMEWORK_LOG_H
#define FRAMEWORK_LOG_H

#include <rpd/service.h>

#include <stdarg.h>
#include <stdbool.h>

enum log_format { LOG_TEXT, LOG_JSON };

/* Before other threads exist. Without it: info, text, no limit. a_second: lines of a cause, in
 * the long run; 0: no limit. */
void log_configure(enum rpd_log_level level, enum log_format format, unsigned a_second);

/* [any] The level of one subject from now on; before that, and where there is no memory for it, it
 * is the level of log_configure(). */
void log_set_level(const char *subject, enum rpd_log_level level);

/* [any] Whether the subject has a level of its own, and which. */
bool log_has_level(const char *subject, enum rpd_log_level *ret);

/* From time to time: writes the counts that are due; all: at the end, whatever there is. */
void log_tell_left_out(bool all);

/* Whether there are such counts. */
bool log_owes_left_out(void);

/* subject: a service's name, or NULL for the daemon itself. */
void log_line(enum rpd_log_level level, const char *subject, const char *format, ...)
    RPD_PRINTF(3, 4);
/* The same of a part of the service's load. */
void log_part(enum rpd_log_level level, const char *subject, const char *part, const char *format,
              ...) RPD_PRINTF(4, 5);
void log_vline(enum rpd_log_level level, const char *subject, const char *format, va_list arguments)
    RPD_PRINTF(3, 0);

#endif
