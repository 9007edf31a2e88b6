/* A crash is reported in one line on stderr, written by one write(2), that names the
 * step, the plugin and the function:
 *
 *   rpd: crash: SIGSEGV at address 0x0 in on_data+0x1f (echo.so), step serve,
 *   service echo (plugin /p/echo.so), thread loop; backtrace: f1 < f2 < f3
 *
 * Invariants: after the line, the process dies of the same signal, so that the
 * wait status is true and a core dump is possible. Nothing is cleaned up; the
 * next start does that. If a second fault or a hang occurs while the line is
 * written, the process still dies of that signal. The line holds names and
 * addresses, never contents.
 *
 * Sanitizer builds use the same handlers, so wait status and line are the same
 * in each build. AddressSanitizer's reports of bad accesses do not come from
 * signals and are not affected. Our line replaces its report of a plain
 * SIGSEGV. */
#ifndef FRAMEWORK_CRASH_H
#define FRAMEWORK_CRASH_H

#include <signal.h>
#include <stdbool.h>

/* [start] Installs the handlers, for SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
 * SIGSYS and SIGTRAP. Call early in main(), and again after dlopen, because a
 * constructor may have replaced them. */
void crash_install(void);

/* [start] A SIGSYS that take claims as its own is no crash. take must be
 * async-signal-safe. */
void crash_except_sigsys(bool (*take)(siginfo_t *info, void *context));

/* [start] The same for a SIGBUS. */
void crash_except_sigbus(bool (*take)(siginfo_t *info, void *context));

/* [start] Loads what a backtrace needs. This takes some 200 us, so call it after
 * bind. Until then, a line names only the place of the crash itself. */
void crash_prepare_backtrace(void);

/* [any] Call first and last on each thread, including main(). Gives the thread a
 * stack for the handlers, so that a stack overflow can be reported, too. If there
 * is no memory for it, the thread continues without one. thread_name: a literal. */
void crash_thread_begin(const char *thread_name);
void crash_thread_end(void);

#endif
