/* The loop's rest: nothing is under way, so its pulse beats and its watchdog looks once in a while
 * only. Whatever wakes the loop for more than the pulse ends the rest before it does anything else:
 * from then on a loop that does not turn is seen as soon as ever.
 *
 * Where a plugin has been given the event base its code may run without notice: then
 * there is no rest.
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

/* ended is called when it is ended, once. False: it is forbidden. */
bool rest_begin(void (*ended)(void *arg), void *arg);

/* Ends it without a word. Legal at any time. */
void rest_forget(void);

/* [any] From now on none begins. */
void rest_forbid(void);

void rest_end_it(void);

/* Legal, and cheap, at any time. */
static inline void rest_end(void)
{
    if (rest.is_on)
        rest_end_it();
}

#endif
