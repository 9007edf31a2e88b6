/* The pause before a failed attempt is repeated: one second, then twice as long each time, up to a
 * minute. */
#ifndef FRAMEWORK_BACKOFF_H
#define FRAMEWORK_BACKOFF_H

/* [any] The next pause in seconds. before: the previous pause, or 0 for the first. */
static inline unsigned backoff_s(unsigned before)
{
    enum { FIRST_S = 1, LONGEST_S = 60 };

    return before == 0 ? FIRST_S : before > LONGEST_S / 2 ? LONGEST_S : before * 2;
}

#endif
