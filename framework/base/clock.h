/* The monotonic clock, and the wall clock for times that other processes read. */
#ifndef FRAMEWORK_CLOCK_H
#define FRAMEWORK_CLOCK_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* The time of CLOCK_REALTIME. */
static inline uint64_t clock_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* The time-out for poll(). It is rounded up: when poll() returns, the deadline has passed, unless
 * it is more than INT_MAX milliseconds ahead. UINT64_MAX means no deadline. */
static inline int clock_ms_until(uint64_t deadline_us)
{
    const uint64_t now_us = clock_us();

    if (deadline_us == UINT64_MAX)
        return -1;
    if (deadline_us <= now_us)
        return 0;
    return deadline_us - now_us > UINT64_C(1000) * INT_MAX
               ? INT_MAX
               : (int)((deadline_us - now_us + 999) / 1000);
}

#endif
