/* Commands over all keys of a database. */
#include "command.h"
#include "glob.h"
#include "kv.h"
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CURSOR_SHIFT = 26, /* no segment's hashes begin in between */
    ANSWERED_AT_ONCE = 256,
    RANDOM_TRIES = 64
};

/* What is looked for, and what was found: entries that are to be answered. */
struct search {
    struct glob *glob; /* NULL: all that there is */
    bool takes_none;
    bool has_failed; /* no memory */
    uint64_t hash;   /* of the segment */
    size_t slot;     /* in it */
    size_t most;     /* SCAN: entries, and segments, after which it answers; 0: KEYS */
    size_t segments;
    bool is_over;
    size_t count, room;
    struct entry **entries;
};

static void add(struct search *search, struct entry *entry)
{
    if (search->count == search->room) {
        const size_t room = search->room ? search->room * 2 : 64;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression) */
        struct entry **entries = realloc(search->entries, room * sizeof *entries);
        if (!entries) {
            search->has_failed = true;
            return;
        }
        search->entries = entries;
        search->room = room;
    }
    search->entries[search->count++] = entry;
}

static enum glob_result judge(struct search *search, struct entry *entry, int64_t now_ms)
{
    if ((entry_expires(entry) && entry_expiry(entry) <= now_ms) || search->takes_none)
        return GLOB_NO;
    return search->glob ? glob_try(search->glob, entry_key(entry), entry_key_size(entry))
                        : GLOB_MATCH;
}

/* The rest of a segment. False: it is not done. Each entry but the first has its key read, which
 * is what takes time: so the clock is looked at where keys are long. */
static bool search_segment(struct call *call, struct search *search, const struct segment *segment)
{
    const int64_t now_ms = kv_clock_now(&call->store->clock);
    size_t bytes = 0;

    for (; search->slot < segment->capacity; search->slot++) {
        const table_slot slot = segment->slots[search->slot];
        enum glob_result result;
        if (!slot)
            continue;
        result = judge(search, table_entry(slot), now_ms);
        if (result == GLOB_MATCH)
            add(search, table_entry(slot));
        bytes += search->glob ? entry_key_size(table_entry(slot)) : 0;
        if (result == GLOB_LATER)
            search->slot--; /* this one again */
        else if (bytes <= CALL_PIECE)
            continue;
        bytes = 0;
        if (call_is_late(call)) {
            search->slot++;
            return false;
        }
    }
    search->slot = 0;
    return true;
}

static bool is_enough(const struct search *search)
{
    return search->most > 0 &&
           (search->count >= search->most || search->segments / 10 >= search->most);
}

/* Goes on with the search. False: it is not done. */
static bool go_on(struct call *call, struct search *search)
{
    const struct database *database = &call->store->databases[call_database(call)];

    while (!search->is_over) {
        const uint64_t hash = search->hash;
        const struct segment *segment = table_segment(&database->parts[table_part(hash)], hash);
        uint64_t next = 0;
        if (segment) {
            if (!search_segment(call, search, segment))
                return false;
            next = table_next(segment, hash);
        }
        search->hash = next ? next : ((uint64_t)table_part(hash) + 1) << (64 - TABLE_PART_BITS);
        search->segments++;
        search->is_over = search->hash == 0 || search->has_failed || is_enough(search);
        if (!search->is_over && call_is_late(call)) {
            if (search->most == 0)
                return false;
            call->end = CALL_DONE; /* SCAN may answer with less */
            search->is_over = true;
        }
    }
    return true;
}

/* False: it is not done. */
static bool answer_found(struct call *call, const struct search *search)
{
    struct progress *progress = &call->progress;

    while (progress->at < search->count) {
        struct entry *entry = search->entries[progress->at++];
        reply_bulk(call->reply, entry_key(entry), entry_key_size(entry));
        if (progress->at % ANSWERED_AT_ONCE == 0 && call_is_late(call))
            return false;
    }
    return true;
}

static void finish_search(struct call *call, struct search *search)
{
    glob_free(search->glob);
    free(search->entries);
    free(search);
    call->progress.data = NULL;
}

/* pattern: NULL, or what was asked for. NULL: an error has been answered. */
static struct search *begin_search(struct call *call, const struct rpd_span *pattern)
{
    struct search *search = calloc(1, sizeof *search);
    const bool takes_all = !pattern || (pattern->size == 1 && *pattern->data == '*');

    if (search && !takes_all)
        search->glob = glob_compile(pattern->data, pattern->size, false);
    if (search && (takes_all || search->glob)) {
        call->progress.data = search;
        return search;
    }
    free(search);
    if (pattern && pattern->size > GLOB_PIECE_MAX)
        reply_errorf(
            call->reply,
            "ERR the pattern is too long: %d bytes at most, and %d between two stars where "
            "? or [] is among them",
            GLOB_PATTERN_MAX, GLOB_PIECE_MAX);
    else
        call_no_memory(call);
    return NULL;
}

enum { SEARCH_LOOKS, SEARCH_ANSWERS };

void command_keys(struct call *call)
{
    const struct rpd_span pattern = call_arg(call, 1);
    struct progress *progress = &call->progress;
    struct search *search = progress->data ? progress->data : begin_search(call, &pattern);

    if (!search || (progress->stage == SEARCH_LOOKS && !go_on(call, search)))
        return;
    if (search->has_failed) {
        call_no_memory(call);
    } else {
        if (progress->stage == SEARCH_LOOKS)
            reply_array(call->reply, search->count);
        progress->stage = SEARCH_ANSWERS;
        if (!answer_found(call, search))
            return;
    }
    finish_search(call, search);
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

struct scan_options {
    int64_t count;
    struct rpd_span pattern;
    bool has_pattern, takes_none;
};

static bool parse_scan(struct call *call, struct scan_options *ret_options)
{
    *ret_options = (struct scan_options){.count = 10};
    for (uint32_t i = 2; i < call->argc; i += 2) {
        const bool has_value = i + 1 < call->argc;
        if (has_value && call_arg_is(call, i, "count")) {
            if (!call_integer(call, i + 1, &ret_options->count))
                return false;
            if (ret_options->count >= 1)
                continue;
        } else if (has_value && call_arg_is(call, i, "match")) {
            ret_options->pattern = call_arg(call, i + 1);
            ret_options->has_pattern = true;
            continue;
        } else if (has_value && call_arg_is(call, i, "type")) {
            ret_options->takes_none = !call_arg_is(call, i + 1, "string");
            continue;
        }
        reply_error(call->reply, "ERR syntax error");
        return false;
    }
    return true;
}

/* NULL: an error has been answered. */
static struct search *begin_scan(struct call *call)
{
    struct scan_options options;
    struct search *search;
    uint64_t cursor;

    if (!parse_cursor(call, &cursor) || !parse_scan(call, &options))
        return NULL;
    search = begin_search(call, options.has_pattern ? &options.pattern : NULL);
    if (!search)
        return NULL;
    search->takes_none = options.takes_none;
    search->most = (size_t)options.count;
    search->hash = cursor << CURSOR_SHIFT;
    return search;
}

void command_scan(struct call *call)
{
    struct progress *progress = &call->progress;
    struct search *search = progress->data ? progress->data : begin_scan(call);
    char text[NUMBER_SIZE];

    if (!search || (progress->stage == SEARCH_LOOKS && !go_on(call, search)))
        return;
    if (search->has_failed) {
        call_no_memory(call);
    } else {
        if (progress->stage == SEARCH_LOOKS) {
            reply_array(call->reply, 2);
            reply_bulk(call->reply, text,
                       number_format(text, (int64_t)(search->hash >> CURSOR_SHIFT)));
            reply_array(call->reply, search->count);
        }
        progress->stage = SEARCH_ANSWERS;
        if (!answer_found(call, search))
            return;
    }
    finish_search(call, search);
}

/* Where very many have expired at once, one that has not is not found in a moment. */
void command_randomkey(struct call *call)
{
    struct entry *entry;

    for (;;) {
        if (store_random(call->store, call_database(call), RANDOM_TRIES, &entry))
            break;
        if (call_is_late(call))
            return;
    }
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

/* Where parts of the snapshot were lost, nothing of them is missed any more: only now, for
 * until then nothing may be saved over what is left of them. */
void command_flushall(struct call *call)
{
    if (flush(call, 0, STORE_DATABASES - 1))
        call->store->loaded = UINT64_MAX;
}
