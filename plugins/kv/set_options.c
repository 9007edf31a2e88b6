/* See set_options.h. Which options exclude which is Redis's. */
#include "set_options.h"

#include <stddef.h>

struct option_rule {
    const char *word;
    unsigned option;
    unsigned excludes;
    bool is_of_set, is_of_getex;
};

static const struct option_rule rules[] = {
    {"NX", SET_NX, SET_XX, true, false},
    {"XX", SET_XX, SET_NX, true, false},
    {"GET", SET_GET, 0, true, false},
    {"KEEPTTL", SET_KEEP_TTL, SET_PERSIST | SET_TIMES, true, false},
    {"PERSIST", SET_PERSIST, SET_KEEP_TTL | SET_TIMES, false, true},
    {"EX", SET_EX, SET_KEEP_TTL | SET_PERSIST | (SET_TIMES & ~SET_EX), true, true},
    {"PX", SET_PX, SET_KEEP_TTL | SET_PERSIST | (SET_TIMES & ~SET_PX), true, true},
    {"EXAT", SET_EXAT, SET_KEEP_TTL | SET_PERSIST | (SET_TIMES & ~SET_EXAT), true, true},
    {"PXAT", SET_PXAT, SET_KEEP_TTL | SET_PERSIST | (SET_TIMES & ~SET_PXAT), true, true},
};

static const struct option_rule *find_rule(const struct call *call, uint32_t i)
{
    for (size_t j = 0; j < sizeof rules / sizeof *rules; j++)
        if (call_arg_is(call, i, rules[j].word))
            return &rules[j];
    return NULL;
}

bool set_options_parse(struct call *call, uint32_t first, unsigned *ret_options, uint32_t *ret_time)
{
    const bool is_set = first == 3;

    *ret_options = 0;
    for (uint32_t i = first; i < call->argc; i++) {
        const struct option_rule *rule = find_rule(call, i);
        const bool has_time = rule && (rule->option & SET_TIMES);
        if (!rule || (*ret_options & rule->excludes) ||
            !(is_set ? rule->is_of_set : rule->is_of_getex) || (has_time && i + 1 == call->argc)) {
            reply_error(call->reply, "ERR syntax error");
            return false;
        }
        *ret_options |= rule->option;
        if (has_time)
            *ret_time = ++i;
    }
    return true;
}

static bool answer_invalid(struct call *call)
{
    reply_errorf(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
    return false;
}

bool set_options_expiry(struct call *call, unsigned options, uint32_t i, int64_t *ret_expiry)
{
    int64_t time;

    if (!call_integer(call, i, &time))
        return false;
    if (time <= 0 ||
        ((options & (SET_EX | SET_EXAT)) && __builtin_mul_overflow(time, (int64_t)1000, &time)))
        return answer_invalid(call);
    if (options & (SET_EXAT | SET_PXAT))
        time = kv_clock_from_wall(&call->store->clock, time);
    else if (__builtin_add_overflow(time, kv_clock_now(&call->store->clock), &time))
        return answer_invalid(call);
    *ret_expiry = time > 0 ? time : 1;
    return true;
}
