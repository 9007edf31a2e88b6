/* A terminal that shows one text, drawn again in place, until it is interrupted. The state belongs
 * to the process: there is one terminal, and signals go to the process. */
#ifndef FRAMEWORK_RPDCTL_SCREEN_H
#define FRAMEWORK_RPDCTL_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* Standard output is a terminal. From now on SIGINT, SIGTERM and SIGHUP end the show. */
void screen_begin(void);

/* Draws, if the text or the size has changed. False: it cannot draw. */
bool screen_show(const char *text);

/* Returns false if the pause was interrupted. Returns at once if the terminal's size changes. */
bool screen_pause(uint64_t us);

bool screen_has_failed(void);

/* Shows the cursor again, below the text. */
void screen_end(void);

#endif
