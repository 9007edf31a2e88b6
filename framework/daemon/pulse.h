/* The loop's pulse: a timer that reports, four times a second, that the loop turns and how late it
 * is. While the loop rests (guard/rest.h), the pulse beats once, at the end of the rest. */
#ifndef FRAMEWORK_PULSE_H
#define FRAMEWORK_PULSE_H

#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;

/* [loop] late_us: how much later than due. */
typedef void (*pulse_beat_fn)(void *arg, uint64_t now_us, uint64_t late_us);
/* [loop] A rest was ended early. */
typedef void (*pulse_woken_fn)(void *arg, uint64_t now_us);

struct pulse {
    int fd;
    struct event *timer;
    uint64_t due_us;
    pulse_beat_fn beat;
    pulse_woken_fn woken;
    void *arg;
};

/* [loop] 0, or -1 without memory or a descriptor. */
int pulse_start(struct pulse *pulse, struct event_base *base, pulse_beat_fn beat,
                pulse_woken_fn woken, void *arg);

/* [loop] Call from within a beat. No beat other than the next one is due until then, unless the
 * rest is ended early. False: there is no rest. */
bool pulse_rest(struct pulse *pulse, uint64_t until_us);

/* [loop] Legal at any time, and needed where pulse_start() has failed. */
void pulse_stop(struct pulse *pulse);

#endif
