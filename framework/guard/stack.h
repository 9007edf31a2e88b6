/* The stack of another thread: where one that does not go on is.
 *
 * The thread is sent a signal that rpd has reserved for this; its handler notes
 * the frames, and the asker makes text of them. The kernel
 * restarts interrupted calls where it can (SA_RESTART); sleeps and polls return
 * EINTR. So ask only threads that are late already, and seldom. */
#ifndef FRAMEWORK_STACK_H
#define FRAMEWORK_STACK_H

#include "guard/foreign.h"

#include <pthread.h>
#include <stdbool.h>

enum { STACK_TEXT_MAX = 640 };

struct stack {
    struct foreign_place place;
    /* Outside of callbacks: the path of the object of the innermost code that
     * is not libc's; NULL if that is rpd itself. */
    const char *object;
    char text[STACK_TEXT_MAX]; /* "f1+0x1f (echo.so) < f2+0x2 (echo.so)" */
};

/* What is said in place of a stack of a thread that does not answer. */
extern const char stack_unknown[];

/* [any] The signal: one of the real-time signals. Threads must not block it. */
int stack_signal(void);

/* [any] The thread must live meanwhile. False if it does not answer within some
 * 200 ms: it blocks the signal, or hangs in the kernel. */
bool stack_of_thread(pthread_t thread, struct stack *ret);

#endif
