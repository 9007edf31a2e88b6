/* The loop's rest: no operation is in progress, so its pulse and its watchdog run only once in a
 * while. Anything but the pulse that wakes the loop ends the rest before it does anything else.
 * From then on, a loop that does not turn is noticed as quickly as usual.
 *
 * If a plugin has received the event base, its code may run without notice. Then there is no
 * rest.
 *
 * One loop a process; all of it is [loop]. */
#ifndef FRAMEWORK_REST_H
#define FRAMEWORK_REST_H

#include <stdatomic.h>
#include <stdbool.h>

struct rest {
    bool is_on;
    atomic_bool is_forbidden;
    void (*ended)(void *arg);
    void *arg;
};

extern struct rest rest;

/* Calls ended once, when the rest is ended. False: the rest is forbidden. */
bool rest_begin(void (*ended)(void *arg), void *arg);

/* Ends the rest without calling ended. Legal at any time. */
void rest_forget(void);

/* [any] From now on, no rest begins. */
void rest_forbid(void);

void rest_end_it(void);

/* Legal, and cheap, at any time. */
static inline void rest_end(void)
{
    if (rest.is_on)
        rest_end_it();
}

#endif
