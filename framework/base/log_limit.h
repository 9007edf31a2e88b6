/* How many lines of one cause may be written: a burst, then so many a second; the rest is
 * counted. A cause is a subject and a format, whatever is formatted.
 *
 * Plain arithmetic on a table of fixed size: no clock of its own, no lock. Where the table
 * has no room for one more cause, its lines are written: each entry there has a count that is still
 * to be reported. */
#ifndef FRAMEWORK_LOG_LIMIT_H
#define FRAMEWORK_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOG_LIMIT_BURST_S = 5, /* what comes in so many seconds may come at once */
    LOG_LIMIT_CAUSES = 256,
    LOG_LIMIT_SUBJECT = 64,
    LOG_LIMIT_SAMPLE = 200
};

struct log_cause {
    uint64_t key;       /* 0: not in use */
    uint64_t credit_us; /* time that can be spent on lines */
    uint64_t seen_us;
    uint64_t left_out, left_out_us,
        told_us; /* since it was last told; the last one; when that was */
    int level;
    char subject[LOG_LIMIT_SUBJECT]; /* "": none */
    char sample[LOG_LIMIT_SAMPLE];   /* the first that was left out */
};

struct log_limit {
    unsigned a_second; /* 0: no limit */
    struct log_cause causes[LOG_LIMIT_CAUSES];
};

/* NULL: the line may be written. Else it has been counted: with left_out 1 it is the first, and
 * the caller fills in level, subject and sample. */
struct log_cause *log_limit_count(struct log_limit *limit, const char *subject, const char *format,
                                  uint64_t now_us);

/* Whether any was left out that is not reported yet. */
bool log_limit_owes(const struct log_limit *limit);

/* Takes a count that is to be reported: of a cause that has ended a second ago, or goes on for ten;
 * all: any. False: there is none. */
bool log_limit_take(struct log_limit *limit, uint64_t now_us, bool all, struct log_cause *ret);

#endif
