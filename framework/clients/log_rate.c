/* Log lines at a bounded rate. See log_rate.h. */
#include "clients/log_rate.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { A_SECOND_US = 1000000 };

/* ---- gates ------------------------------------------------------------------ */

/* From the loop, and never at once: what else happens in this turn is part of
 * the line. */
static void ask_for_line(struct log_gate *gate)
{
    const uint64_t since_us = clock_us() - gate->last_us;
    struct timeval wait = {0};

    if (gate->is_due)
        return;
    if (gate->last_us != 0 && since_us < A_SECOND_US)
        wait.tv_usec = (suseconds_t)(A_SECOND_US - 1 - since_us);
    gate->is_due = event_add(&gate->due, &wait) == 0;
}

static void close_gate(struct log_gate *gate)
{
    if (gate->is_due)
        event_del(&gate->due);
    gate->is_due = false;
}

/* ---- counts ------------------------------------------------------------------ */

static void say_count(struct log_count *log)
{
    if (log->count == 0)
        return;
    log_line(RPD_LOG_WARNING, log->subject, "%zu %s%s %s", log->count, log->noun,
             log->count == 1 ? "" : "s", log->text ? log->text : "");
    log->count = 0;
    log->gate.last_us = clock_us();
}

static void on_count_due(evutil_socket_t fd, short what, void *arg)
{
    struct log_count *log = arg;

    (void)fd;
    (void)what;
    log->gate.is_due = false;
    say_count(log);
}

void log_count_init(struct log_count *log, struct event_base *base, const char *subject,
                    const char *noun, const char *format, ...)
{
    va_list arguments;

    *log = (struct log_count){.subject = subject, .noun = noun};
    va_start(arguments, format);
    if (vasprintf(&log->text, format, arguments) < 0)
        log->text = NULL;
    va_end(arguments);
    evtimer_assign(&log->gate.due, base, on_count_due, log);
}

void log_count_add(struct log_count *log)
{
    log->count++;
    ask_for_line(&log->gate);
}

void log_count_finish(struct log_count *log)
{
    close_gate(&log->gate);
    say_count(log);
    free(log->text);
    log->text = NULL;
}

/* ---- states ------------------------------------------------------------------ */

static void on_state_due(evutil_socket_t fd, short what, void *arg)
{
    struct log_state *log = arg;
    const bool is = log->holders > 0;

    (void)fd;
    (void)what;
    log->gate.is_due = false;
    if (is == log->told)
        return;
    log->told = is;
    log->gate.last_us = clock_us();
    log_line(is ? RPD_LOG_WARNING : RPD_LOG_INFO, log->subject, "%s",
             is ? log->begin_text : log->end_text);
}

void log_state_init(struct log_state *log, struct event_base *base, const char *subject,
                    const char *end_text)
{
    *log = (struct log_state){.subject = subject, .end_text = end_text};
    evtimer_assign(&log->gate.due, base, on_state_due, log);
}

void log_state_begin(struct log_state *log, const char *format, ...)
{
    va_list arguments;

    if (log->holders++ > 0)
        return;
    va_start(arguments, format);
    vsnprintf(log->begin_text, sizeof log->begin_text, format, arguments);
    va_end(arguments);
    if (!log->told)
        ask_for_line(&log->gate);
}

void log_state_end(struct log_state *log)
{
    if (--log->holders == 0 && log->told)
        ask_for_line(&log->gate);
}

void log_state_finish(struct log_state *log)
{
    close_gate(&log->gate);
}
