/* Time for keys that expire: milliseconds that go on evenly, whatever is done to the
 * machine's clock, and began as Unix time. */
#ifndef KV_CLOCK_H
#define KV_CLOCK_H

#include <stdint.h>

struct kv_clock {
    int64_t offset_ms; /* Unix time less the monotonic clock, when it was set */
    int64_t now_ms;    /* 0: to be asked for */
};

void kv_clock_init(struct kv_clock *clock);

/* One moment until kv_clock_forget(). */
int64_t kv_clock_now(struct kv_clock *clock);

static inline void kv_clock_forget(struct kv_clock *clock)
{
    clock->now_ms = 0;
}

/* The machine's clock. */
int64_t kv_clock_wall_ms(void);
int64_t kv_clock_monotonic_us(void);

/* [any] What this thread has had of the processors. */
int64_t kv_clock_thread_us(void);

/* [any] As exact as the kernel's tick, some milliseconds, and for that nearly free. */
int64_t kv_clock_coarse_us(void);

/* [any] This clock less the machine's: 0, unless that was set since. */
int64_t kv_clock_drift(const struct kv_clock *clock);

/* A time of the machine's clock as one of this. */
int64_t kv_clock_from_wall(const struct kv_clock *clock, int64_t wall_ms);

/* The sum, or the nearest there is to it. */
int64_t kv_clock_shift(int64_t time_ms, int64_t by_ms);

#endif
