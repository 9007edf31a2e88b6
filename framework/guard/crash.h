/* A crash is reported in one line on stderr, written by one write(2), that names the
 * step, the plugin and the function:
 *
 *   rpd: crash: SIGSEGV at address 0x0 in on_data+0x1f (echo.so), step serve,
 *   service echo (plugin /p/echo.so), thread loop; backtrace: f1 < f2 < f3
 *
 * Invariants: after the line the process dies of that same signal, so that
 * the wait status is true and a core can be had; nothing is cleaned up, for
 * that is the next start's work. Whatever goes wrong while the line is made,
 * a second fault or a hang, the process still dies, of that signal. The line
 * holds names and addresses, never contents.
 *
 * Sanitizer builds use the same handlers: wait status and line are then the
 * same in each build. AddressSanitizer's reports of bad accesses do not come
 * from signals and are not touched; its own report of a plain SIGSEGV gives
 * way to our line. */
#ifndef FRAMEWORK_CRASH_H
#define FRAMEWORK_CRASH_H

#include <signal.h>
#include <stdbool.h>

/* [start] Installs the handlers, for SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
 * SIGSYS and SIGTRAP. Early in main(), and again after dlopen: a constructor
 * may have put others in their place. */
void crash_install(void);

/* [start] A SIGSYS that take says was its own is no crash. take is
 * async-signal-safe. */
void crash_except_sigsys(bool (*take)(siginfo_t *info, void *context));

/* [start] The same of a SIGBUS. */
void crash_except_sigbus(bool (*take)(siginfo_t *info, void *context));

/* [start] Loads what a backtrace needs, which takes some 200 us: after bind.
 * Until then a line names only the place of the crash itself. */
void crash_prepare_backtrace(void);

/* [any] First and last on each thread, main() included. Gives the thread a
 * stack for the handlers, so that a stack overflow can be reported, too. Without
 * memory for one the thread goes on without. thread_name: a literal. */
void crash_thread_begin(const char *thread_name);
void crash_thread_end(void);

#endif
