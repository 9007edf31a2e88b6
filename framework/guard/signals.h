/* Signals: SIGTERM and SIGINT ask for a stop, at any time from the first step
 * on; SIGHUP and SIGUSR1 are noted; SIGPIPE cannot happen. The handlers only count and wake
 * the loop, but a second SIGINT ends the process at once (70). */
#ifndef FRAMEWORK_SIGNALS_H
#define FRAMEWORK_SIGNALS_H

#include "base/error.h"

#include <stdbool.h>

/* [start] Call first, because a start that is stopped must still clean up. */
void signals_install(void);

/* [start] Creates the descriptor that wakes the loop. Until then, signals are only counted. */
int signals_open(struct error *error);

/* [start] From now on, signals that would end the process and mean nothing to us are
 * ignored. Call before any plugin's code runs, which may want to use one of them. */
void signals_tolerate_others(void);

/* [loop] Creates the same descriptor again, after a plugin has closed it. Returns 0, or -1 and
 * sets errno. */
int signals_reopen(void);

/* [any] Whether a stop was requested. */
bool signals_stop_requested(void);

/* [loop] The SIGHUPs since the last call. */
int signals_take_hangups(void);

/* [loop] Whether SIGUSR1 has come since the last call. */
bool signals_take_reopen(void);

enum { SIGNALS_TEXT_MAX = 96 };

/* [loop] "SIGTERM from pid 4711 (kill), uid 1000": the first signal that requested a stop; the
 * first SIGHUP since the last call. */
void signals_describe_stop(char ret_text[SIGNALS_TEXT_MAX]);
void signals_describe_hangup(char ret_text[SIGNALS_TEXT_MAX]);

/* [loop] Readable when a signal has arrived; signals_clear() empties it. */
int signals_fd(void);
void signals_clear(void);

/* [start] Limits the time that a stop may take from now on. The handler arms the
 * watchdog, because the loop itself may hang. */
void signals_limit_stop(int milliseconds);

void signals_finish(void);

#endif
