/* Lines of one cause. See log_limit.h. */
#include "base/log_limit.h"

#include <stddef.h>

enum { WAYS = 4, A_SECOND_US = 1000000, TELL_EVERY_US = 10 * 1000000 };

/* FNV-1a. */
static uint64_t hash(uint64_t key, const char *text)
{
    for (; *text; text++)
        key = (key ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return key;
}

static uint64_t key_of(const char *subject, const char *format)
{
    const uint64_t key = hash(hash(UINT64_C(0xcbf29ce484222325), subject ? subject : "") * 31,
                              format);

    return key ? key : 1;
}

static bool is_better_victim(const struct log_cause *cause, const struct log_cause *than)
{
    return cause->left_out == 0 && (!than || cause->seen_us < than->seen_us);
}

/* The entry of this cause, or a new one in place of the least recently used. NULL: no room. */
static struct log_cause *find(struct log_limit *limit, uint64_t key, uint64_t now_us)
{
    struct log_cause *victim = NULL;

    for (uint64_t i = 0; i < WAYS; i++) {
        struct log_cause *cause = &limit->causes[(key + i) % LOG_LIMIT_CAUSES];

        if (cause->key == key)
            return cause;
        if (is_better_victim(cause, victim))
            victim = cause;
    }
    if (victim)
        *victim = (struct log_cause){.key = key,
                                     .credit_us = LOG_LIMIT_BURST_S * UINT64_C(1000000),
                                     .seen_us = now_us,
                                     .told_us = now_us};
    return victim;
}

static void earn(struct log_cause *cause, uint64_t now_us)
{
    const uint64_t most_us = LOG_LIMIT_BURST_S * UINT64_C(1000000);
    const uint64_t passed_us = now_us > cause->seen_us ? now_us - cause->seen_us : 0;

    cause->credit_us = passed_us > most_us - cause->credit_us ? most_us
                                                              : cause->credit_us + passed_us;
    cause->seen_us = now_us > cause->seen_us ? now_us : cause->seen_us;
}

struct log_cause *log_limit_count(struct log_limit *limit, const char *subject, const char *format,
                                  uint64_t now_us)
{
    struct log_cause *cause;
    uint64_t price_us;

    if (limit->a_second == 0)
        return NULL;
    cause = find(limit, key_of(subject, format), now_us);
    if (!cause)
        return NULL;
    earn(cause, now_us);
    price_us = A_SECOND_US / limit->a_second;
    if (cause->credit_us >= price_us) {
        cause->credit_us -= price_us;
        return NULL;
    }
    if (cause->left_out++ == 0)
        cause->told_us = now_us;
    cause->left_out_us = now_us;
    return cause;
}

static bool is_due(const struct log_cause *cause, uint64_t now_us, bool all)
{
    return cause->left_out > 0 && (all || now_us >= cause->left_out_us + A_SECOND_US ||
                                   now_us >= cause->told_us + TELL_EVERY_US);
}

bool log_limit_take(struct log_limit *limit, uint64_t now_us, bool all, struct log_cause *ret)
{
    for (size_t i = 0; i < LOG_LIMIT_CAUSES; i++) {
        struct log_cause *cause = &limit->causes[i];

        if (!is_due(cause, now_us, all))
            continue;
        *ret = *cause;
        cause->left_out = 0;
        return true;
    }
    return false;
}

bool log_limit_owes(const struct log_limit *limit)
{
    for (size_t i = 0; i < LOG_LIMIT_CAUSES; i++)
        if (limit->causes[i].left_out > 0)
            return true;
    return false;
}
