/* Time. See clock.h. */
#include "clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t kv_clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t kv_clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t kv_clock_thread_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

int64_t kv_clock_coarse_us(void)
{
    return read_us(CLOCK_MONOTONIC_COARSE);
}

void kv_clock_init(struct kv_clock *clock)
{
    clock->offset_ms = kv_clock_wall_ms() - kv_clock_monotonic_us() / 1000;
    clock->now_ms = 0;
}

int64_t kv_clock_now(struct kv_clock *clock)
{
    if (clock->now_ms == 0)
        clock->now_ms = kv_clock_monotonic_us() / 1000 + clock->offset_ms;
    return clock->now_ms;
}

int64_t kv_clock_drift(const struct kv_clock *clock)
{
    const int64_t by = kv_clock_monotonic_us() / 1000 + clock->offset_ms - kv_clock_wall_ms();

    /* Less is how far apart the two were read, and how clocks are disciplined. */
    return by > -1000 && by < 1000 ? 0 : by;
}

int64_t kv_clock_shift(int64_t time_ms, int64_t by_ms)
{
    int64_t result;

    if (__builtin_add_overflow(time_ms, by_ms, &result))
        return by_ms > 0 ? INT64_MAX : INT64_MIN;
    return result;
}

int64_t kv_clock_from_wall(const struct kv_clock *clock, int64_t wall_ms)
{
    return kv_clock_shift(wall_ms, kv_clock_drift(clock));
}
