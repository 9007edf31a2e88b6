/* Commands that read and write whole values. */
#include "command.h"
#include "set_options.h"

#include <string.h>

/* The value, or null. Whether there was one. */
static bool answer_value(struct call *call, uint32_t i)
{
    const struct store_key key = call_key(call, i);
    struct entry *entry = store_use(call->store, call_database(call), &key);

    if (!entry) {
        reply_null(call->reply);
        return false;
    }
    reply_bulk(call->reply, entry_value(entry), entry_value_size(entry));
    return true;
}

/* False: there was no memory, which has been answered. */
static bool set_value(struct call *call, uint32_t key_at, uint32_t value_at, int64_t expiry)
{
    const struct store_key key = call_key(call, key_at);
    const struct rpd_span value = call_arg(call, value_at);

    if (store_set(call->store, call_database(call), &key, value.data, value.size, expiry) == 0)
        return true;
    call_no_memory(call);
    return false;
}

void command_get(struct call *call)
{
    answer_value(call, 1);
}

void command_strlen(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct entry *entry = store_use(call->store, call_database(call), &key);

    reply_integer(call->reply, entry ? entry_value_size(entry) : 0);
}

/* ---- SET and its forms ------------------------------------------------------------- */

void command_set(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    int64_t expiry = STORE_NO_EXPIRY;
    unsigned options = 0;
    uint32_t time = 0;
    const struct entry *old = NULL;

    if (call->argc > 3) {
        if (!set_options_parse(call, 3, &options, &time) ||
            ((options & SET_TIMES) && !set_options_expiry(call, options, time, &expiry)))
            return;
        if (options & SET_GET)
            answer_value(call, 1);
        old = store_find(call->store, call_database(call), &key);
        if (((options & SET_NX) && old) || ((options & SET_XX) && !old)) {
            if (!(options & SET_GET))
                reply_null(call->reply);
            return;
        }
        if ((options & SET_KEEP_TTL) && old && entry_expires(old))
            expiry = entry_expiry(old);
    }
    /* (An answer that has been given cannot be taken back: then no memory is silent.) */
    if (options & SET_GET) {
        const struct rpd_span value = call_arg(call, 2);
        store_set(call->store, call_database(call), &key, value.data, value.size, expiry);
    } else if (set_value(call, 1, 2, expiry)) {
        reply_status(call->reply, "OK");
    }
}

void command_setnx(struct call *call)
{
    const struct store_key key = call_key(call, 1);

    if (store_find(call->store, call_database(call), &key))
        reply_integer(call->reply, 0);
    else if (set_value(call, 1, 2, STORE_NO_EXPIRY))
        reply_integer(call->reply, 1);
}

static void set_with_time(struct call *call, unsigned unit)
{
    int64_t expiry;

    if (set_options_expiry(call, unit, 2, &expiry) && set_value(call, 1, 3, expiry))
        reply_status(call->reply, "OK");
}

void command_setex(struct call *call)
{
    set_with_time(call, SET_EX);
}

void command_psetex(struct call *call)
{
    set_with_time(call, SET_PX);
}

void command_getset(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct rpd_span value = call_arg(call, 2);

    answer_value(call, 1);
    store_set(call->store, call_database(call), &key, value.data, value.size, STORE_NO_EXPIRY);
}

void command_getdel(struct call *call)
{
    const struct store_key key = call_key(call, 1);

    if (answer_value(call, 1))
        store_delete(call->store, call_database(call), &key);
}

void command_getex(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const unsigned database = call_database(call);
    int64_t expiry = STORE_NO_EXPIRY;
    unsigned options;
    uint32_t time = 0;
    struct entry *entry;

    if (!set_options_parse(call, 2, &options, &time))
        return;
    entry = store_use(call->store, database, &key);
    if (!entry) {
        reply_null(call->reply);
        return;
    }
    if ((options & SET_TIMES) && !set_options_expiry(call, options, time, &expiry))
        return;
    reply_bulk(call->reply, entry_value(entry), entry_value_size(entry));
    if ((options & (SET_EXAT | SET_PXAT)) && expiry <= kv_clock_now(&call->store->clock))
        store_delete(call->store, database, &key);
    else if (options & (SET_TIMES | SET_PERSIST))
        store_set_expiry(call->store, database, &key, entry, expiry);
}

/* ---- several at once ------------------------------------------------------------------ */

void command_mget(struct call *call)
{
    reply_array(call->reply, call->argc - 1);
    for (uint32_t i = 1; i < call->argc; i++)
        answer_value(call, i);
}

/* Where memory ends in the middle, those before are set. */
static bool set_all(struct call *call)
{
    for (uint32_t i = 1; i < call->argc; i += 2)
        if (!set_value(call, i, i + 1, STORE_NO_EXPIRY))
            return false;
    return true;
}

void command_mset(struct call *call)
{
    if (call->argc % 2 == 0)
        call_wrong_arity(call, call->command->name);
    else if (set_all(call))
        reply_status(call->reply, "OK");
}

void command_msetnx(struct call *call)
{
    if (call->argc % 2 == 0) {
        call_wrong_arity(call, call->command->name);
        return;
    }
    for (uint32_t i = 1; i < call->argc; i += 2) {
        const struct store_key key = call_key(call, i);
        if (store_find(call->store, call_database(call), &key)) {
            reply_integer(call->reply, 0);
            return;
        }
    }
    if (set_all(call))
        reply_integer(call->reply, 1);
}
