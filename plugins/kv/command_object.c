/* Commands that look at a key, or give its value to another. */
#include "command.h"
#include "number.h"

enum { EMBEDDED_MAX = 44 /* bytes of a value that Redis calls embstr */, IDLE_TICK_MS = 100 };

/* ---- OBJECT --------------------------------------------------------------------- */

static const char *encoding_of(struct entry *entry)
{
    const size_t size = entry_value_size(entry);
    int64_t value;

    if (number_parse(entry_value(entry), size, &value))
        return "int";
    return size <= EMBEDDED_MAX ? "embstr" : "raw";
}

/* When a key was used is noted only where there is a limit of memory. */
static int64_t idle_s(struct call *call, const struct entry *entry)
{
    const int64_t now = kv_clock_now(&call->store->clock) / IDLE_TICK_MS;

    if (call->store->limit == 0)
        return 0;
    return (int64_t)(((uint32_t)now - entry_clock(entry)) & ENTRY_CLOCK_MASK) * IDLE_TICK_MS / 1000;
}

static void answer_help(struct call *call)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    };

    reply_array(call->reply, sizeof lines / sizeof *lines);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        reply_status(call->reply, lines[i]);
}

void command_object(struct call *call)
{
    static const char *const names[] = {"encoding", "idletime", "refcount", "freq"};
    const bool is_one = call->argc == 3;
    struct entry *entry;
    size_t i = 0;

    if (call->argc == 2 && call_arg_is(call, 1, "help")) {
        answer_help(call);
        return;
    }
    while (i < 4 && !call_arg_is(call, 1, names[i]))
        i++;
    if (i == 4) {
        call_unknown_subcommand(call);
        return;
    }
    if (!is_one) {
        call_wrong_arity_of(call, names[i]);
        return;
    }
    const struct store_key key = call_key(call, 2);
    entry = store_find(call->store, call_database(call), &key);
    if (!entry)
        reply_null(call->reply);
    else if (i == 0)
        reply_text(call->reply, encoding_of(entry));
    else if (i == 3)
        reply_error(call->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
    else
        reply_integer(call->reply, i == 1 ? idle_s(call, entry) : 1);
}

/* ---- COPY, MOVE ------------------------------------------------------------------- */

/* False: an error has been answered. */
static bool parse_database(struct call *call, uint32_t i, unsigned *ret_database)
{
    int64_t number;

    if (!call_integer(call, i, &number))
        return false;
    if (number < INT32_MIN || number > INT32_MAX) {
        reply_errorf(call->reply, "ERR value is out of range, value must between %d and %d",
                     INT32_MIN, INT32_MAX);
        return false;
    }
    if (number < 0 || number >= STORE_DATABASES) {
        reply_error(call->reply, "ERR DB index is out of range");
        return false;
    }
    *ret_database = (unsigned)number;
    return true;
}

/* The entry's value and expiry under a key of another database. False: it is not done, or there was
 * no memory, which has been answered. */
static bool copy_to(struct call *call, struct entry *entry, unsigned database,
                    const struct store_key *key)
{
    struct progress *progress = &call->progress;
    struct entry *copy = progress->data;

    if (!copy)
        copy = progress->data = store_make(call->store, database, key, entry_value_size(entry),
                                           entry_expires(entry) ? entry_expiry(entry)
                                                                : STORE_NO_EXPIRY);
    if (copy && !call_copy(call, entry_value(copy), entry_value(entry), entry_value_size(entry)))
        return false;
    progress->data = NULL;
    if (copy && store_put(call->store, database, key, copy) == 0)
        return true;
    call_no_memory(call);
    return false;
}

/* False: an error has been answered. */
static bool parse_copy(struct call *call, unsigned *ret_database, bool *ret_replaces)
{
    *ret_database = call_database(call);
    *ret_replaces = false;
    for (uint32_t i = 3; i < call->argc; i++) {
        if (call_arg_is(call, i, "replace")) {
            *ret_replaces = true;
        } else if (call_arg_is(call, i, "db") && i + 1 < call->argc) {
            if (!parse_database(call, ++i, ret_database))
                return false;
        } else {
            reply_error(call->reply, "ERR syntax error");
            return false;
        }
    }
    return true;
}

static bool is_same(const struct store_key *a, const struct store_key *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

void command_copy(struct call *call)
{
    const struct store_key from = call_key(call, 1), to = call_key(call, 2);
    const unsigned here = call_database(call);
    struct entry *entry;
    unsigned there;
    bool replaces;

    if (!parse_copy(call, &there, &replaces))
        return;
    if (here == there && is_same(&from, &to)) {
        reply_error(call->reply, "ERR source and destination objects are the same");
        return;
    }
    entry = store_find(call->store, here, &from);
    if (!entry || (!replaces && store_find(call->store, there, &to))) {
        reply_integer(call->reply, 0);
        return;
    }
    if (here != there) {
        if (!copy_to(call, entry, there, &to))
            return;
    } else if (store_alias(call->store, here, entry, &to) < 0) {
        call_no_memory(call);
        return;
    }
    reply_integer(call->reply, 1);
}

void command_move(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const unsigned here = call_database(call);
    struct entry *entry;
    unsigned there;

    if (!parse_database(call, 2, &there))
        return;
    if (here == there) {
        reply_error(call->reply, "ERR source and destination objects are the same");
        return;
    }
    entry = store_find(call->store, here, &key);
    if (!entry || store_find(call->store, there, &key)) {
        reply_integer(call->reply, 0);
        return;
    }
    if (!copy_to(call, entry, there, &key))
        return;
    store_delete(call->store, here, &key);
    reply_integer(call->reply, 1);
}
