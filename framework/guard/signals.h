/* Signals: SIGTERM and SIGINT ask for a stop, at any time from the first step
 * on; SIGHUP and SIGUSR1 are noted; SIGPIPE cannot happen. The handlers only count and wake
 * the loop, but a second SIGINT ends the process at once (70). */
#ifndef FRAMEWORK_SIGNALS_H
#define FRAMEWORK_SIGNALS_H

#include "base/error.h"

#include <stdbool.h>

/* [start] First of all: a start that is stopped must still clean up. */
void signals_install(void);

/* [start] Makes what wakes the loop. Until then signals are only counted. */
int signals_open(struct error *error);

/* [start] Signals that would end the process and mean nothing to us do nothing
 * from now on. Before any plugin's code, which may want one for itself. */
void signals_tolerate_others(void);

/* [loop] The same again, as a plugin has closed it. 0, or -1 and errno. */
int signals_reopen(void);

/* [any] A stop was asked for. */
bool signals_stop_requested(void);

/* [loop] The SIGHUPs since the last call. */
int signals_take_hangups(void);

/* [loop] Whether SIGUSR1 has come since the last call. */
bool signals_take_reopen(void);

enum { SIGNALS_TEXT_MAX = 96 };

/* [loop] "SIGTERM from pid 4711 (kill), uid 1000": the first that asked for a stop; the first
 * SIGHUP since this was last asked. */
void signals_describe_stop(char ret_text[SIGNALS_TEXT_MAX]);
void signals_describe_hangup(char ret_text[SIGNALS_TEXT_MAX]);

/* [loop] Readable when a signal has come; signals_clear() makes it quiet. */
int signals_fd(void);
void signals_clear(void);

/* [start] From now on a stop may take no longer than this: the handler arms the
 * watchdog, because the loop may be what hangs. */
void signals_limit_stop(int milliseconds);

void signals_finish(void);

#endif
