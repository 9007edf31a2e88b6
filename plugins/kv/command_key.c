/* Commands about keys, whatever their values, and about their time to live. */
#include "command.h"

enum { LOOK_EVERY = 64 /* keys */ };

/* For how many of the keys. */
static void answer_count(struct call *call, bool (*what)(struct store *store, unsigned database,
                                                         const struct store_key *key))
{
    struct progress *progress = &call->progress;

    while (progress->arg + 1 < call->argc) {
        const struct store_key key = call_key(call, ++progress->arg);
        progress->count += what(call->store, call_database(call), &key);
        if (progress->arg % LOOK_EVERY == 0 && call_is_late(call))
            return;
    }
    reply_integer(call->reply, progress->count);
}

static bool exists(struct store *store, unsigned database, const struct store_key *key)
{
    return store_use(store, database, key);
}

void command_del(struct call *call)
{
    answer_count(call, store_delete);
}

void command_exists(struct call *call)
{
    answer_count(call, exists);
}

void command_touch(struct call *call)
{
    answer_count(call, exists);
}

void command_type(struct call *call)
{
    const struct store_key key = call_key(call, 1);

    reply_status(call->reply,
                 store_find(call->store, call_database(call), &key) ? "string" : "none");
}

static void rename_key(struct call *call, bool replaces)
{
    const unsigned database = call_database(call);
    const struct store_key from = call_key(call, 1), to = call_key(call, 2);
    struct entry *entry = store_find(call->store, database, &from);
    const struct rpd_span a = call_arg(call, 1), b = call_arg(call, 2);

    if (!entry) {
        reply_error(call->reply, "ERR no such key");
        return;
    }
    if (!replaces && store_find(call->store, database, &to)) {
        reply_integer(call->reply, 0);
        return;
    }
    if (a.size != b.size || memcmp(a.data, b.data, a.size) != 0) {
        if (store_alias(call->store, database, entry, &to) < 0) {
            call_no_memory(call);
            return;
        }
        store_delete(call->store, database, &from);
    }
    if (replaces)
        reply_status(call->reply, "OK");
    else
        reply_integer(call->reply, 1);
}

void command_rename(struct call *call)
{
    rename_key(call, true);
}

void command_renamenx(struct call *call)
{
    rename_key(call, false);
}

/* ---- time to live ---------------------------------------------------------------- */

/* Milliseconds, or -2: no such key, -1: it does not expire. */
static int64_t time_to_live(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct entry *entry = store_find(call->store, call_database(call), &key);

    if (!entry)
        return -2;
    return entry_expires(entry) ? entry_expiry(entry) - kv_clock_now(&call->store->clock) : -1;
}

void command_ttl(struct call *call)
{
    const int64_t left = time_to_live(call);

    /* As Redis has it, rounded; the sum must not overflow. */
    reply_integer(call->reply, left < 0 ? left : left / 1000 + (left % 1000 >= 500));
}

void command_pttl(struct call *call)
{
    reply_integer(call->reply, time_to_live(call));
}

/* Unix time in milliseconds, or -2, or -1 as above. */
static int64_t end_of_life(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct entry *entry = store_find(call->store, call_database(call), &key);

    if (!entry)
        return -2;
    return entry_expires(entry)
               ? kv_clock_shift(entry_expiry(entry), -kv_clock_drift(&call->store->clock))
               : -1;
}

void command_expiretime(struct call *call)
{
    const int64_t end = end_of_life(call);

    reply_integer(call->reply, end < 0 ? end : end / 1000 + (end % 1000 >= 500));
}

void command_pexpiretime(struct call *call)
{
    reply_integer(call->reply, end_of_life(call));
}

enum { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

/* False: an error has been answered. */
static bool parse_conditions(struct call *call, unsigned *ret_conditions)
{
    static const struct {
        const char *word;
        unsigned condition;
    } words[] = {{"NX", EXPIRE_NX}, {"XX", EXPIRE_XX}, {"GT", EXPIRE_GT}, {"LT", EXPIRE_LT}};
    unsigned found = 0;

    for (uint32_t i = 3; i < call->argc; i++) {
        size_t j = 0;
        while (j < 4 && !call_arg_is(call, i, words[j].word))
            j++;
        if (j == 4) {
            const struct rpd_span arg = call_arg(call, i);
            reply_errorf(call->reply, "ERR Unsupported option %.*s", (int)arg.size, arg.data);
            return false;
        }
        found |= words[j].condition;
    }
    *ret_conditions = found;
    if ((found & EXPIRE_NX) && (found & ~(unsigned)EXPIRE_NX)) {
        reply_error(call->reply,
                    "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((found & EXPIRE_GT) && (found & EXPIRE_LT)) {
        reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

static bool meets(const struct entry *entry, int64_t expiry, unsigned conditions)
{
    const bool expires = entry_expires(entry);

    if ((conditions & EXPIRE_NX) && expires)
        return false;
    if ((conditions & EXPIRE_XX) && !expires)
        return false;
    if ((conditions & EXPIRE_GT) && (!expires || expiry <= entry_expiry(entry)))
        return false;
    return !((conditions & EXPIRE_LT) && expires && expiry >= entry_expiry(entry));
}

/* unit: milliseconds. False: an error has been answered. */
static bool parse_expiry(struct call *call, int64_t unit, bool is_absolute, int64_t *ret_expiry)
{
    struct kv_clock *clock = &call->store->clock;
    int64_t time;

    if (!call_integer(call, 2, &time))
        return false;
    if (__builtin_mul_overflow(time, unit, &time) ||
        (!is_absolute && __builtin_add_overflow(time, kv_clock_now(clock), &time))) {
        reply_errorf(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
        return false;
    }
    *ret_expiry = is_absolute ? kv_clock_from_wall(clock, time) : time;
    return true;
}

static void expire(struct call *call, int64_t unit, bool is_absolute)
{
    const struct store_key key = call_key(call, 1);
    const unsigned database = call_database(call);
    unsigned conditions;
    int64_t expiry;
    struct entry *entry;

    if (!parse_conditions(call, &conditions) || !parse_expiry(call, unit, is_absolute, &expiry))
        return;
    entry = store_find(call->store, database, &key);
    if (!entry || !meets(entry, expiry, conditions)) {
        reply_integer(call->reply, 0);
        return;
    }
    if (expiry <= kv_clock_now(&call->store->clock)) {
        store_delete(call->store, database, &key);
    } else if (store_set_expiry(call->store, database, &key, entry, expiry) < 0) {
        call_no_memory(call);
        return;
    }
    reply_integer(call->reply, 1);
}

void command_expire(struct call *call)
{
    expire(call, 1000, false);
}

void command_pexpire(struct call *call)
{
    expire(call, 1, false);
}

void command_expireat(struct call *call)
{
    expire(call, 1000, true);
}

void command_pexpireat(struct call *call)
{
    expire(call, 1, true);
}

void command_persist(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    struct entry *entry = store_find(call->store, call_database(call), &key);

    if (!entry || !entry_expires(entry))
        reply_integer(call->reply, 0);
    else if (store_set_expiry(call->store, call_database(call), &key, entry, STORE_NO_EXPIRY) < 0)
        call_no_memory(call);
    else
        reply_integer(call->reply, 1);
}
