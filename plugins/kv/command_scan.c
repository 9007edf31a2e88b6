/* Commands over all keys of a database. */
#include "command.h"
#include "glob.h"
#include "kv.h"
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CURSOR_SHIFT = 26 /* no segment's hashes begin in between */ };

/* Entries that are to be answered. */
struct found {
    struct entry **entries;
    size_t count, room;
    bool has_failed; /* no memory */
};

struct filter {
    struct rpd_span pattern;
    bool takes_all, takes_none;
};

static void add(struct found *found, struct entry *entry)
{
    if (found->count == found->room) {
        const size_t room = found->room ? found->room * 2 : 64;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression) */
        struct entry **entries = realloc(found->entries, room * sizeof *entries);
        if (!entries) {
            found->has_failed = true;
            return;
        }
        found->entries = entries;
        found->room = room;
    }
    found->entries[found->count++] = entry;
}

static void add_segment(struct found *found, const struct segment *segment,
                        const struct filter *filter, int64_t now_ms)
{
    for (size_t i = 0; i < segment->capacity; i++) {
        if (!segment->slots[i])
            continue;
        struct entry *entry = table_entry(segment->slots[i]);
        if ((entry_expires(entry) && entry_expiry(entry) <= now_ms) || filter->takes_none)
            continue;
        if (filter->takes_all || glob_match(filter->pattern.data, filter->pattern.size,
                                            entry_key(entry), entry_key_size(entry), false))
            add(found, entry);
    }
}

/* One segment, from this hash on. Returns where to go on; 0: that was the last. */
static uint64_t step(struct call *call, uint64_t hash, const struct filter *filter,
                     struct found *found)
{
    const struct database *database = &call->store->databases[call_database(call)];
    const struct segment *segment = table_segment(&database->parts[table_part(hash)], hash);
    uint64_t next = 0;

    if (segment) {
        add_segment(found, segment, filter, kv_clock_now(&call->store->clock));
        next = table_next(segment, hash);
    }
    return next ? next : ((uint64_t)table_part(hash) + 1) << (64 - TABLE_PART_BITS);
}

static void answer_found(struct call *call, const struct found *found)
{
    reply_array(call->reply, found->count);
    for (size_t i = 0; i < found->count; i++)
        reply_bulk(call->reply, entry_key(found->entries[i]), entry_key_size(found->entries[i]));
}

static struct filter make_filter(struct rpd_span pattern)
{
    return (struct filter){.pattern = pattern,
                           .takes_all = pattern.size == 1 && *pattern.data == '*'};
}

void command_keys(struct call *call)
{
    const struct filter filter = make_filter(call_arg(call, 1));
    struct found found = {0};
    uint64_t hash = 0;

    do
        hash = step(call, hash, &filter, &found);
    while (hash != 0);
    if (found.has_failed)
        call_no_memory(call);
    else
        answer_found(call, &found);
    free(found.entries);
}

/* As strtoul() has it, which is what Redis asks. */
static bool parse_cursor(struct call *call, uint64_t *ret_cursor)
{
    const struct rpd_span arg = call_arg(call, 1);
    char text[64];
    char *end = text;

    if (arg.size < sizeof text) {
        memcpy(text, arg.data, arg.size);
        text[arg.size] = '\0';
        errno = 0;
        *ret_cursor = strtoul(text, &end, 10);
        if (!isspace((unsigned char)text[0]) && *end == '\0' && errno != ERANGE)
            return true;
    }
    reply_error(call->reply, "ERR invalid cursor");
    return false;
}

static bool parse_scan(struct call *call, int64_t *ret_count, struct filter *ret_filter)
{
    *ret_count = 10;
    *ret_filter = (struct filter){.takes_all = true};
    for (uint32_t i = 2; i < call->argc; i += 2) {
        const bool has_value = i + 1 < call->argc;
        if (has_value && call_arg_is(call, i, "count")) {
            if (!call_integer(call, i + 1, ret_count))
                return false;
            if (*ret_count >= 1)
                continue;
        } else if (has_value && call_arg_is(call, i, "match")) {
            const bool takes_none = ret_filter->takes_none;
            *ret_filter = make_filter(call_arg(call, i + 1));
            ret_filter->takes_none = takes_none;
            continue;
        } else if (has_value && call_arg_is(call, i, "type")) {
            ret_filter->takes_none = !call_arg_is(call, i + 1, "string");
            continue;
        }
        reply_error(call->reply, "ERR syntax error");
        return false;
    }
    return true;
}

void command_scan(struct call *call)
{
    struct filter filter;
    struct found found = {0};
    int64_t count;
    uint64_t cursor, hash;
    size_t steps = 0;
    char text[NUMBER_SIZE];

    if (!parse_cursor(call, &cursor) || !parse_scan(call, &count, &filter))
        return;
    hash = cursor << CURSOR_SHIFT;
    do
        hash = step(call, hash, &filter, &found);
    while (hash != 0 && found.count < (size_t)count && ++steps < (size_t)count * 10);
    if (found.has_failed) {
        call_no_memory(call);
    } else {
        reply_array(call->reply, 2);
        reply_bulk(call->reply, text, number_format(text, (int64_t)(hash >> CURSOR_SHIFT)));
        answer_found(call, &found);
    }
    free(found.entries);
}

void command_randomkey(struct call *call)
{
    struct entry *entry = store_random(call->store, call_database(call));

    if (entry)
        reply_bulk(call->reply, entry_key(entry), entry_key_size(entry));
    else
        reply_null(call->reply);
}

void command_dbsize(struct call *call)
{
    reply_integer(call->reply, (int64_t)call->store->databases[call_database(call)].count);
}

/* Whether it was done; else an error has been answered. */
static bool flush(struct call *call, unsigned first, unsigned last)
{
    if (call->argc > 2 ||
        (call->argc == 2 && !call_arg_is(call, 1, "sync") && !call_arg_is(call, 1, "async"))) {
        reply_error(call->reply, "ERR syntax error");
        return false;
    }
    if (kv_flush(call->kv, first, last) < 0) {
        call_no_memory(call);
        return false;
    }
    reply_status(call->reply, "OK");
    return true;
}

void command_flushdb(struct call *call)
{
    flush(call, call_database(call), call_database(call));
}

/* (Where parts of the snapshot were lost, nothing of them is missed any more: only now, for
 * until then nothing may be saved over what is left of them.) */
void command_flushall(struct call *call)
{
    if (flush(call, 0, STORE_DATABASES - 1))
        call->store->loaded = UINT64_MAX;
}
