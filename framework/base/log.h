/* The log: lines on stderr, as text or as JSON. Besides what a crash must find (crash.h,
 * residue.h), this is the only global state of the framework.
 *
 * text:  rpd: echo: bound unix:/run/user/1000/rpd/echo.sock
 * json:  {"time":"2026-01-02T03:04:05.678Z","level":"info","subject":"echo","message":"bound ..."}
 *
 * Lines of one cause, which is a subject and a format, are limited (log_limit.h): lines beyond the
 * limit are counted, and the log shows the count. Errors of the daemon itself, which say why it
 * ends, are not limited.
 *
 * Each line is one write(2), so that lines of several threads never mix. Lines that no process
 * reads are lost. In the journal a line begins with its priority, in a file with the time
 * (output.h). Functions here are [any]. */
#ifndef FRAMEWORK_LOG_H
#define FRAMEWORK_LOG_H

#include <rpd/service.h>

#include <stdarg.h>
#include <stdbool.h>

enum log_format { LOG_TEXT, LOG_JSON };

/* Called before other threads exist. Without it the log has level info, format text, and no limit.
 * a_second: how many lines of one cause are written per second in the long run; 0: no limit. */
void log_configure(enum rpd_log_level level, enum log_format format, unsigned a_second);

/* [any] The same, at any later time. */
void log_change(enum rpd_log_level level, enum log_format format, unsigned a_second);
/* [any] The level of one subject from now on; before that, and where there is no memory for it, it
 * is the level of log_configure(). */
void log_set_level(const char *subject, enum rpd_log_level level);

/* [any] Whether the subject has a level of its own, and which. */
bool log_has_level(const char *subject, enum rpd_log_level *ret);

/* Called from time to time: writes the counts that are due. all: at the end, writes every count. */
void log_tell_left_out(bool all);

/* Whether there are counts that are not written yet. */
bool log_owes_left_out(void);

/* subject: a service's name, or NULL for the daemon itself. */
void log_line(enum rpd_log_level level, const char *subject, const char *format, ...)
    RPD_PRINTF(3, 4);
/* Likewise, for a part of the service's load. */
void log_part(enum rpd_log_level level, const char *subject, const char *part, const char *format,
              ...) RPD_PRINTF(4, 5);
void log_vline(enum rpd_log_level level, const char *subject, const char *format, va_list arguments)
    RPD_PRINTF(3, 0);

#endif
