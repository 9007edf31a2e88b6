/* Commands that change a part of a value, or the number that it is. */
#include "command.h"
#include "number.h"

#include <math.h>
#include <string.h>

enum { VALUE_MAX = 512 * 1024 * 1024 };

/* False: it would be too large, which has been answered. */
static bool may_be_so_large(struct call *call, int64_t size, int64_t more)
{
    int64_t total;

    if (!__builtin_add_overflow(size, more, &total) && total <= VALUE_MAX)
        return true;
    reply_error(call->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

/* The entry gets this size; what must be copied for that is, little by little. NULL: it is not
 * done yet, or there was no memory, which has been answered. */
static struct entry *resize(struct call *call, const struct store_key *key, struct entry *entry,
                            size_t size, size_t *ret_zero)
{
    const unsigned database = call_database(call);
    struct progress *progress = &call->progress;
    const size_t old = entry_value_size(entry);
    struct entry *made = progress->data;

    if (!made && store_resize_copies(call->store, database, key, entry, size) < CALL_LARGE) {
        entry = store_resize(call->store, database, key, entry, size, ret_zero);
        if (!entry)
            call_no_memory(call);
        return entry;
    }
    if (!made)
        made = progress->data = store_make(call->store, database, key, size,
                                           entry_expires(entry) ? entry_expiry(entry)
                                                                : STORE_NO_EXPIRY);
    if (!made) {
        call_no_memory(call);
        return NULL;
    }
    if (!call_copy(call, entry_value(made), entry_value(entry), old))
        return NULL;
    progress->data = NULL;
    if (store_put(call->store, database, key, made) < 0) {
        call_no_memory(call);
        return NULL;
    }
    *ret_zero = old; /* it is a mapping */
    return made;
}

/* NULL: no memory, which has been answered. */
static struct entry *make_empty(struct call *call, const struct store_key *key)
{
    if (store_set(call->store, call_database(call), key, "", 0, STORE_NO_EXPIRY) == 0)
        return store_find(call->store, call_database(call), key);
    call_no_memory(call);
    return NULL;
}

enum { EDIT_RESIZES, EDIT_COPIES };

void command_append(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct rpd_span more = call_arg(call, 2);
    const unsigned database = call_database(call);
    struct entry *entry = store_find(call->store, database, &key);
    const bool copies = call->progress.stage == EDIT_COPIES;
    const size_t size = (entry ? entry_value_size(entry) : 0) - (copies ? more.size : 0);
    size_t zero;

    if (!entry && more.size < CALL_LARGE) {
        if (store_set(call->store, database, &key, more.data, more.size, STORE_NO_EXPIRY) < 0)
            call_no_memory(call);
        else
            reply_integer(call->reply, (int64_t)more.size);
        return;
    }
    if (!entry)
        entry = make_empty(call, &key);
    if (!entry)
        return;
    if (!copies && !may_be_so_large(call, (int64_t)size, (int64_t)more.size))
        return;
    if (!copies)
        entry = resize(call, &key, entry, size + more.size, &zero);
    if (!entry)
        return;
    call->progress.stage = EDIT_COPIES;
    if (call_copy(call, entry_value(entry) + size, more.data, more.size))
        reply_integer(call->reply, (int64_t)(size + more.size));
}

void command_getrange(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    int64_t start, end, size;
    struct entry *entry;

    if (!call_integer(call, 2, &start) || !call_integer(call, 3, &end))
        return;
    entry = store_use(call->store, call_database(call), &key);
    size = entry ? entry_value_size(entry) : 0;
    if (start < 0 && end < 0 && start > end)
        size = 0;
    start += start < 0 ? size : 0;
    end += end < 0 ? size : 0;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= size ? size - 1 : end;
    if (size == 0 || start > end)
        reply_bulk(call->reply, "", 0);
    else
        call_answer(call, entry_value(entry) + start, (size_t)(end - start) + 1);
}

struct entry *call_grow(struct call *call, const struct store_key *key, struct entry *entry,
                        size_t size)
{
    size_t old, zero;

    if (!entry)
        entry = make_empty(call, key);
    if (!entry)
        return NULL;
    old = entry_value_size(entry);
    if (size < old)
        size = old;
    entry = resize(call, key, entry, size, &zero);
    if (entry && zero > old)
        memset(entry_value(entry) + old, 0, zero - old);
    return entry;
}

void command_setrange(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct rpd_span value = call_arg(call, 3);
    int64_t offset;
    struct entry *entry;

    if (!call_integer(call, 2, &offset))
        return;
    if (offset < 0) {
        reply_error(call->reply, "ERR offset is out of range");
        return;
    }
    entry = store_find(call->store, call_database(call), &key);
    if (value.size == 0) {
        reply_integer(call->reply, entry ? entry_value_size(entry) : 0);
        return;
    }
    if (!may_be_so_large(call, offset, (int64_t)value.size))
        return;
    if (call->progress.stage != EDIT_COPIES)
        entry = call_grow(call, &key, entry, (size_t)offset + value.size);
    if (!entry)
        return;
    call->progress.stage = EDIT_COPIES;
    if (call_copy(call, entry_value(entry) + offset, value.data, value.size))
        reply_integer(call->reply, entry_value_size(entry));
}

/* ---- numbers ---------------------------------------------------------------------- */

/* The value becomes this text, the expiry stays. False: no memory, which has been answered. */
static bool write_value(struct call *call, const struct store_key *key, struct entry *entry,
                        const char *text, size_t size)
{
    const unsigned database = call_database(call);
    size_t zero;

    if (!entry) {
        if (store_set(call->store, database, key, text, size, STORE_NO_EXPIRY) == 0)
            return true;
        call_no_memory(call);
        return false;
    }
    entry = store_resize(call->store, database, key, entry, size, &zero);
    if (!entry) {
        call_no_memory(call);
        return false;
    }
    memcpy(entry_value(entry), text, size);
    return true;
}

static void increment(struct call *call, int64_t by)
{
    const struct store_key key = call_key(call, 1);
    struct entry *entry = store_find(call->store, call_database(call), &key);
    int64_t value = 0;
    char text[NUMBER_SIZE];

    if (entry && !number_parse(entry_value(entry), entry_value_size(entry), &value)) {
        reply_error(call->reply, "ERR value is not an integer or out of range");
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error(call->reply, "ERR increment or decrement would overflow");
        return;
    }
    if (write_value(call, &key, entry, text, number_format(text, value)))
        reply_integer(call->reply, value);
}

void command_incr(struct call *call)
{
    increment(call, 1);
}

void command_decr(struct call *call)
{
    increment(call, -1);
}

void command_incrby(struct call *call)
{
    int64_t by;

    if (call_integer(call, 2, &by))
        increment(call, by);
}

void command_decrby(struct call *call)
{
    int64_t by;

    if (!call_integer(call, 2, &by))
        return;
    if (by == INT64_MIN)
        reply_error(call->reply, "ERR decrement would overflow");
    else
        increment(call, -by);
}

void command_incrbyfloat(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct rpd_span arg = call_arg(call, 2);
    struct entry *entry = store_find(call->store, call_database(call), &key);
    long double value = 0, by;
    char text[NUMBER_FLOAT_SIZE];
    size_t size;

    if ((entry && !number_parse_float(entry_value(entry), entry_value_size(entry), &value)) ||
        !number_parse_float(arg.data, arg.size, &by)) {
        reply_error(call->reply, "ERR value is not a valid float");
        return;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_error(call->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    size = number_format_float(text, value);
    if (write_value(call, &key, entry, text, size))
        reply_bulk(call->reply, text, size);
}
