/* Slow callbacks: the loop's other clients wait meanwhile. Each that takes slow_ms or longer is
 * reported when it returns, with how long it took and where it was.
 *
 * The watchdog's thread looks a few times within slow_ms. A callback that has run for nearly that
 * long is asked for its stack; only then does the loop's thread have more to do than ever when it
 * returns (foreign_leave()). So a callback that is not slow costs nothing for this. */
#ifndef FRAMEWORK_SLOW_H
#define FRAMEWORK_SLOW_H

#include "guard/foreign.h"

#include <stdint.h>

struct slow_callback {
    struct foreign_place place;
    uint64_t took_us;
    const char *stack; /* where it was, innermost first */
};

/* [loop] */
typedef void (*slow_report_fn)(void *arg, const struct slow_callback *slow);

/* [loop] The thread that calls is the loop's, from now on and until the end. 0: none is slow. */
void slow_begin(int slow_ms, slow_report_fn report, void *arg);
void slow_change(int slow_ms); /* [loop] another limit, from now on */
void slow_end(void);

/* [watchdog] Returns how long to wait until the next look; 0: nothing is to be watched. */
int slow_look_ms(void);

#endif
