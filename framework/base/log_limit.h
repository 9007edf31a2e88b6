/* Limits the lines of one cause: a burst, then a number per second. Further lines are counted. A
 * cause is a subject and a format, whatever the format's arguments are.
 *
 * Plain arithmetic on a table of fixed size, without a clock or a lock. If the table has no room
 * for another cause, the lines of that cause are written: each entry there holds a count that is
 * still to be reported. */
#ifndef FRAMEWORK_LOG_LIMIT_H
#define FRAMEWORK_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_LIMIT_BURST_S = 5, /* a burst is the lines of this many seconds */
    LOG_LIMIT_CAUSES = 256,
    LOG_LIMIT_SUBJECT = 64,
    LOG_LIMIT_SAMPLE = 200
};

struct log_cause {
    uint64_t key;       /* 0: not in use */
    uint64_t credit_us; /* time that can be spent on lines */
    uint64_t seen_us;
    uint64_t left_out, left_out_us, told_us; /* since the last report; the last of them; the last
                                              * report */
    int level;
    char subject[LOG_LIMIT_SUBJECT]; /* "": none */
    char sample[LOG_LIMIT_SAMPLE];   /* the first line that was left out */
};

struct log_limit {
    unsigned a_second; /* 0: no limit */
    struct log_cause causes[LOG_LIMIT_CAUSES];
};

/* NULL: the line may be written. Otherwise it has been counted. If left_out is 1 it is the first
 * one, and the caller fills in level, subject and sample. */
struct log_cause *log_limit_count(struct log_limit *limit, const char *subject, const char *format,
                                  uint64_t now_us);

/* Whether lines were left out that are not reported yet. */
bool log_limit_owes(const struct log_limit *limit);

/* Takes a count that is due: the cause was quiet for a second, or has been over its limit for ten.
 * all: takes any count. False: there is none. */
bool log_limit_take(struct log_limit *limit, uint64_t now_us, bool all, struct log_cause *ret);

#endif
