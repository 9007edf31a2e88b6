/* Commands that read and write whole values. */
#include "command.h"
#include "set_options.h"

#include <stdlib.h>
#include <string.h>

/* The value, or null. Whether there was one, and its answer is done. */
static bool answer_value(struct call *call, uint32_t i)
{
    const struct store_key key = call_key(call, i);
    const bool begins = call->progress.at == 0;
    struct entry *entry = begins ? store_use(call->store, call_database(call), &key)
                                 : store_find(call->store, call_database(call), &key);

    if (!entry) {
        reply_null(call->reply);
        return false;
    }
    return call_answer(call, entry_value(entry), entry_value_size(entry));
}

/* A large value is filled in before it is put in. (progress.data: the entry.) */
static bool set_large(struct call *call, const struct store_key *key, struct rpd_span value,
                      int64_t expiry)
{
    struct progress *progress = &call->progress;
    const unsigned database = call_database(call);
    struct entry *entry = progress->data;

    if (!entry)
        entry = progress->data = store_make(call->store, database, key, value.size, expiry);
    if (!entry) {
        call_no_memory(call);
        return false;
    }
    if (!call_copy(call, entry_value(entry), value.data, value.size))
        return false;
    progress->data = NULL;
    if (store_put(call->store, database, key, entry) == 0)
        return true;
    call_no_memory(call);
    return false;
}

/* False: it is not done yet, or there was no memory, which has been answered. */
static bool set_value(struct call *call, uint32_t key_at, uint32_t value_at, int64_t expiry)
{
    const struct store_key key = call_key(call, key_at);
    const struct rpd_span value = call_arg(call, value_at);

    if (value.size >= CALL_LARGE)
        return set_large(call, &key, value, expiry);
    if (store_set(call->store, call_database(call), &key, value.data, value.size, expiry) == 0)
        return true;
    call_no_memory(call);
    return false;
}

/* It is a later turn of set_value(). */
static bool is_setting(const struct call *call)
{
    return call->progress.data;
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

/* Whether it is to be set; else that has been answered. */
static bool judge_set(struct call *call, unsigned *ret_options, int64_t *ret_expiry)
{
    const struct store_key key = call_key(call, 1);
    uint32_t time = 0;
    const struct entry *old;
    unsigned options;

    if (!set_options_parse(call, 3, &options, &time) ||
        ((options & SET_TIMES) && !set_options_expiry(call, options, time, ret_expiry)))
        return false;
    *ret_options = options;
    old = store_find(call->store, call_database(call), &key);
    if (((options & SET_NX) && old) || ((options & SET_XX) && !old)) {
        if (options & SET_GET)
            answer_value(call, 1);
        else
            reply_null(call->reply);
        return false;
    }
    if ((options & SET_KEEP_TTL) && old && entry_expires(old))
        *ret_expiry = entry_expiry(old);
    return true;
}

/* SET ... GET: the old value is answered, then the new one is set. An answer that has been given
 * cannot be taken back: so that there is memory is seen first. */
static void set_and_get(struct call *call, int64_t expiry)
{
    const struct store_key key = call_key(call, 1);
    const struct rpd_span value = call_arg(call, 2);
    struct progress *progress = &call->progress;
    const unsigned database = call_database(call);
    struct entry *entry = progress->data;

    if (!entry) {
        entry = progress->data = store_make(call->store, database, &key, value.size, expiry);
        if (!entry) {
            call_no_memory(call);
            return;
        }
    }
    if (progress->stage == 0) {
        if (!call_copy(call, entry_value(entry), value.data, value.size))
            return;
        progress->stage = 1;
    }
    answer_value(call, 1);
    if (call->end != CALL_GO_ON)
        store_put(call->store, database, &key, entry);
}

void command_set(struct call *call)
{
    int64_t expiry = STORE_NO_EXPIRY;
    unsigned options = 0;

    if (is_setting(call))
        options = call->progress.count ? SET_GET : 0;
    else if (call->argc > 3 && !judge_set(call, &options, &expiry))
        return;
    call->progress.count = (options & SET_GET) != 0;
    if (options & SET_GET)
        set_and_get(call, expiry);
    else if (set_value(call, 1, 2, expiry))
        reply_status(call->reply, "OK");
}

void command_setnx(struct call *call)
{
    const struct store_key key = call_key(call, 1);

    if (!is_setting(call) && store_find(call->store, call_database(call), &key))
        reply_integer(call->reply, 0);
    else if (set_value(call, 1, 2, STORE_NO_EXPIRY))
        reply_integer(call->reply, 1);
}

static void set_with_time(struct call *call, unsigned unit)
{
    int64_t expiry = STORE_NO_EXPIRY;

    if ((is_setting(call) || set_options_expiry(call, unit, 2, &expiry)) &&
        set_value(call, 1, 3, expiry))
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
    set_and_get(call, STORE_NO_EXPIRY);
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
    entry = call->progress.at == 0 ? store_use(call->store, database, &key)
                                   : store_find(call->store, database, &key);
    if (!entry) {
        reply_null(call->reply);
        return;
    }
    if ((options & SET_TIMES) && !set_options_expiry(call, options, time, &expiry))
        return;
    if (!call_answer(call, entry_value(entry), entry_value_size(entry)))
        return;
    if ((options & (SET_EXAT | SET_PXAT)) && expiry <= kv_clock_now(&call->store->clock))
        store_delete(call->store, database, &key);
    else if (options & (SET_TIMES | SET_PERSIST))
        store_set_expiry(call->store, database, &key, entry, expiry);
}

/* ---- several at once ------------------------------------------------------------------ */

enum { LOOK_EVERY = 64 /* keys */ };

void command_mget(struct call *call)
{
    struct progress *progress = &call->progress;

    if (progress->arg == 0) {
        reply_array(call->reply, call->argc - 1);
        progress->arg = 1;
    }
    while (progress->arg < call->argc) {
        answer_value(call, progress->arg);
        if (call->end == CALL_GO_ON || (++progress->arg % LOOK_EVERY == 0 && call_is_late(call)))
            return;
    }
}

/* Entries that MSET puts in. */
struct making {
    uint32_t count;
    struct entry *entries[];
};

static void unmake(struct call *call, struct making *making)
{
    for (uint32_t i = 0; i < making->count; i++)
        if (making->entries[i])
            store_unmake(call->store, call_database(call), making->entries[i]);
    free(making);
}

/* The entries of all pairs. False: they are not all there yet, or there was no memory, which has
 * been answered: then nothing is set. */
static bool make_all(struct call *call, struct making *making)
{
    struct progress *progress = &call->progress;

    while (making->count < call->argc / 2) {
        const uint32_t i = 1 + 2 * making->count;
        const struct store_key key = call_key(call, i);
        const struct rpd_span value = call_arg(call, i + 1);
        struct entry **entry = &making->entries[making->count];
        if (progress->at == 0)
            *entry = store_make(call->store, call_database(call), &key, value.size,
                                STORE_NO_EXPIRY);
        if (!*entry) {
            call_no_memory(call);
            unmake(call, making);
            return false;
        }
        if (!call_copy(call, entry_value(*entry), value.data, value.size))
            return false;
        if (++making->count % LOOK_EVERY == 0 && call_is_late(call))
            return false;
    }
    return true;
}

/* That there is no memory for the table then is all that can still go wrong. */
static bool put_all(struct call *call, struct making *making)
{
    struct progress *progress = &call->progress;

    while (progress->arg < making->count) {
        const uint32_t i = progress->arg++;
        const struct store_key key = call_key(call, 1 + 2 * i);
        if (store_put(call->store, call_database(call), &key, making->entries[i]) < 0)
            progress->count++;
        if (progress->arg % LOOK_EVERY == 0 && call_is_late(call))
            return false;
    }
    free(making);
    if (progress->count == 0)
        return true;
    reply_errorf(call->reply, "OOM the machine had no memory left for %lld of the keys",
                 (long long)progress->count);
    return false;
}

enum { MSET_MAKES, MSET_PUTS };

/* Whether all is set; else it is not done, or an error has been answered. */
static bool set_all(struct call *call)
{
    struct progress *progress = &call->progress;

    if (!progress->data)
        progress->data = calloc(1, sizeof(struct making) + call->argc / 2 * sizeof(void *));
    if (!progress->data) {
        call_no_memory(call);
        return false;
    }
    if (progress->stage == MSET_MAKES) {
        if (!make_all(call, progress->data))
            return false;
        progress->stage = MSET_PUTS;
        progress->arg = 0;
    }
    return put_all(call, progress->data);
}

/* A few small ones. Where memory ends in the middle, those before are set. */
static bool set_few(struct call *call)
{
    for (uint32_t i = 1; i < call->argc; i += 2)
        if (!set_value(call, i, i + 1, STORE_NO_EXPIRY))
            return false;
    return true;
}

static bool is_few(const struct call *call)
{
    const struct resp_arg *last = &call->args[call->argc - 1];

    return call->argc <= LOOK_EVERY && (size_t)last->at + last->size < CALL_LARGE;
}

static bool set_pairs(struct call *call)
{
    return is_few(call) ? set_few(call) : set_all(call);
}

void command_mset(struct call *call)
{
    if (call->argc % 2 == 0)
        call_wrong_arity(call, call->command->name);
    else if (set_pairs(call))
        reply_status(call->reply, "OK");
}

/* Whether none of the keys exists; else that has been answered, or it is not known yet. */
static bool is_none_there(struct call *call)
{
    struct progress *progress = &call->progress;

    for (; 1 + 2 * progress->arg < call->argc; progress->arg++) {
        const struct store_key key = call_key(call, 1 + 2 * progress->arg);
        if (store_find(call->store, call_database(call), &key)) {
            reply_integer(call->reply, 0);
            return false;
        }
        if (progress->arg % LOOK_EVERY == LOOK_EVERY - 1 && call_is_late(call)) {
            progress->arg++;
            return false;
        }
    }
    return true;
}

void command_msetnx(struct call *call)
{
    if (call->argc % 2 == 0) {
        call_wrong_arity(call, call->command->name);
        return;
    }
    if (!is_setting(call) && !is_none_there(call))
        return;
    if (set_pairs(call))
        reply_integer(call->reply, 1);
}
