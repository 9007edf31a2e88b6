/* The table of commands, and what is checked before one runs. See command.h. */
#include "command.h"

#include "kv.h"
#include "multi.h"
#include "number.h"
#include "pubsub.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* clang-format off */
#define READ (COMMAND_READ)
#define READ_FAST (COMMAND_READ | COMMAND_FAST)
#define WRITE (COMMAND_WRITE)
#define WRITE_FAST (COMMAND_WRITE | COMMAND_FAST)
#define GROW (COMMAND_WRITE | COMMAND_GROWS)
#define GROW_FAST (COMMAND_WRITE | COMMAND_GROWS | COMMAND_FAST)
#define PLAIN (COMMAND_STATELESS | COMMAND_FAST)
#define AT_ONCE (COMMAND_AT_ONCE | COMMAND_FAST)
#define LISTENER (COMMAND_LISTENER)
#define REFUSED (COMMAND_REFUSED)
#define STRANGER (COMMAND_STATELESS | COMMAND_STRANGER | COMMAND_FAST)

static const struct command commands[] = {
    {"append", 3, GROW_FAST, 1, 1, 1, command_append, "string", "2.0.0", "Append a value to a key"},
    {"auth", -2, STRANGER, 0, 0, 0, command_auth, "connection", "1.0.0", "Authenticate to the server"},
    {"bgsave", -1, COMMAND_ADMIN, 0, 0, 0, command_bgsave, "server", "1.0.0", "Save the dataset in the background"},
    {"bitcount", -2, READ, 1, 1, 1, command_bitcount, "bitmap", "2.6.0", "Count set bits in a string"},
    {"client", -2, COMMAND_STATELESS | COMMAND_HAS_OTHERS, 0, 0, 0, command_client, "connection", "2.4.0", "About this connection"},
    {"command", -1, COMMAND_STATELESS | COMMAND_HAS_OTHERS, 0, 0, 0, command_command, "server", "2.8.13", "About the commands"},
    {"config", -2, COMMAND_ADMIN | COMMAND_STATELESS | COMMAND_HAS_OTHERS, 0, 0, 0, command_config, "server", "2.0.0", "About the configuration"},
    {"copy", -3, GROW, 1, 2, 1, command_copy, "generic", "6.2.0", "Copy a key"},
    {"dbsize", 1, READ_FAST | COMMAND_ALL_KEYS, 0, 0, 0, command_dbsize, "server", "1.0.0", "Return the number of keys in the selected database"},
    {"decr", 2, GROW_FAST, 1, 1, 1, command_decr, "string", "1.0.0", "Decrement the integer value of a key by one"},
    {"decrby", 3, GROW_FAST, 1, 1, 1, command_decrby, "string", "1.0.0", "Decrement the integer value of a key by the given number"},
    {"del", -2, WRITE, 1, -1, 1, command_del, "generic", "1.0.0", "Delete a key"},
    {"discard", 1, AT_ONCE, 0, 0, 0, command_discard, "transactions", "2.0.0", "Discard all commands issued after MULTI"},
    {"echo", 2, PLAIN, 0, 0, 0, command_echo, "connection", "1.0.0", "Echo the given string"},
    {"eval", -3, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"eval_ro", -3, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"evalsha", -3, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"evalsha_ro", -3, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"exec", 1, AT_ONCE, 0, 0, 0, command_exec, "transactions", "1.2.0", "Execute all commands issued after MULTI"},
    {"exists", -2, READ_FAST, 1, -1, 1, command_exists, "generic", "1.0.0", "Determine if a key exists"},
    {"expire", -3, WRITE_FAST, 1, 1, 1, command_expire, "generic", "1.0.0", "Set a key's time to live in seconds"},
    {"expireat", -3, WRITE_FAST, 1, 1, 1, command_expireat, "generic", "1.2.0", "Set the expiration for a key as a UNIX timestamp"},
    {"expiretime", 2, READ_FAST, 1, 1, 1, command_expiretime, "generic", "7.0.0", "Get the expiration Unix timestamp for a key"},
    {"fcall", -3, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"fcall_ro", -3, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"flushall", -1, WRITE | COMMAND_ALL_KEYS, 0, 0, 0, command_flushall, "server", "1.0.0", "Remove all keys from all databases"},
    {"flushdb", -1, WRITE | COMMAND_ALL_KEYS, 0, 0, 0, command_flushdb, "server", "1.0.0", "Remove all keys from the current database"},
    {"function", -2, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"get", 2, READ_FAST, 1, 1, 1, command_get, "string", "1.0.0", "Get the value of a key"},
    {"getbit", 3, READ_FAST, 1, 1, 1, command_getbit, "bitmap", "2.2.0", "Returns the bit value at offset in the string value stored at key"},
    {"getdel", 2, WRITE_FAST, 1, 1, 1, command_getdel, "string", "6.2.0", "Get the value of a key and delete the key"},
    {"getex", -2, WRITE_FAST, 1, 1, 1, command_getex, "string", "6.2.0", "Get the value of a key and optionally set its expiration"},
    {"getrange", 4, READ, 1, 1, 1, command_getrange, "string", "2.4.0", "Get a substring of the string stored at a key"},
    {"getset", 3, GROW_FAST, 1, 1, 1, command_getset, "string", "1.0.0", "Set the string value of a key and return its old value"},
    {"hello", -1, STRANGER, 0, 0, 0, command_hello, "connection", "6.0.0", "Handshake with the server"},
    {"host:", -1, STRANGER | COMMAND_AT_ONCE, 0, 0, 0, command_close_at_once, NULL, NULL, NULL},
    {"incr", 2, GROW_FAST, 1, 1, 1, command_incr, "string", "1.0.0", "Increment the integer value of a key by one"},
    {"incrby", 3, GROW_FAST, 1, 1, 1, command_incrby, "string", "1.0.0", "Increment the integer value of a key by the given amount"},
    {"incrbyfloat", 3, GROW_FAST, 1, 1, 1, command_incrbyfloat, "string", "2.6.0", "Increment the float value of a key by the given amount"},
    {"info", -1, 0, 0, 0, 0, command_info, "server", "1.0.0", "Get information and statistics about the server"},
    {"keys", 2, READ | COMMAND_ALL_KEYS, 0, 0, 0, command_keys, "generic", "1.0.0", "Find all keys matching the given pattern"},
    {"lastsave", 1, COMMAND_FAST, 0, 0, 0, command_lastsave, "server", "1.0.0", "Get the UNIX time stamp of the last successful save to disk"},
    {"latency", -2, COMMAND_ADMIN | COMMAND_STATELESS | COMMAND_HAS_OTHERS, 0, 0, 0, command_latency, "server", "2.8.13", "About latency events, of which none are kept"},
    {"mget", -2, READ_FAST, 1, -1, 1, command_mget, "string", "1.0.0", "Get the values of all the given keys"},
    {"move", 3, GROW_FAST, 1, 1, 1, command_move, "generic", "1.0.0", "Move a key to another database"},
    {"mset", -3, GROW, 1, -1, 2, command_mset, "string", "1.0.1", "Set multiple keys to multiple values"},
    {"msetnx", -3, GROW, 1, -1, 2, command_msetnx, "string", "1.0.1", "Set multiple keys to multiple values, only if none of the keys exist"},
    {"multi", 1, AT_ONCE, 0, 0, 0, command_multi, "transactions", "1.2.0", "Mark the start of a transaction block"},
    {"object", -2, READ | COMMAND_HAS_OTHERS, 2, 2, 1, command_object, "generic", "2.2.3", "Inspect the internals of the value at a key"},
    {"persist", 2, WRITE_FAST, 1, 1, 1, command_persist, "generic", "2.2.0", "Remove the expiration from a key"},
    {"pexpire", -3, WRITE_FAST, 1, 1, 1, command_pexpire, "generic", "2.6.0", "Set a key's time to live in milliseconds"},
    {"pexpireat", -3, WRITE_FAST, 1, 1, 1, command_pexpireat, "generic", "2.6.0", "Set the expiration for a key as a UNIX timestamp specified in milliseconds"},
    {"pexpiretime", 2, READ_FAST, 1, 1, 1, command_pexpiretime, "generic", "7.0.0", "Get the expiration Unix timestamp for a key in milliseconds"},
    {"ping", -1, PLAIN | COMMAND_LISTENER, 0, 0, 0, command_ping, "connection", "1.0.0", "Ping the server"},
    {"post", -1, STRANGER | COMMAND_AT_ONCE, 0, 0, 0, command_close_at_once, NULL, NULL, NULL},
    {"psetex", 4, GROW, 1, 1, 1, command_psetex, "string", "2.6.0", "Set the value and expiration in milliseconds of a key"},
    {"psubscribe", -2, LISTENER, 0, 0, 0, command_psubscribe, "pubsub", "2.0.0", "Listen for messages published to channels matching the given patterns"},
    {"pttl", 2, READ_FAST, 1, 1, 1, command_pttl, "generic", "2.6.0", "Get the time to live for a key in milliseconds"},
    {"publish", 3, COMMAND_FAST, 0, 0, 0, command_publish, "pubsub", "2.0.0", "Post a message to a channel"},
    {"pubsub", -2, COMMAND_HAS_OTHERS, 0, 0, 0, command_pubsub, "pubsub", "2.8.0", "About channels, and who listens to them"},
    {"punsubscribe", -1, LISTENER, 0, 0, 0, command_punsubscribe, "pubsub", "2.0.0", "Stop listening for messages posted to channels matching the given patterns"},
    {"quit", -1, STRANGER | COMMAND_AT_ONCE | COMMAND_LISTENER, 0, 0, 0, command_quit, "connection", "1.0.0", "Close the connection"},
    {"randomkey", 1, READ | COMMAND_ALL_KEYS, 0, 0, 0, command_randomkey, "generic", "1.0.0", "Return a random key from the keyspace"},
    {"rename", 3, WRITE, 1, 2, 1, command_rename, "generic", "1.0.0", "Rename a key"},
    {"renamenx", 3, WRITE_FAST, 1, 2, 1, command_renamenx, "generic", "1.0.0", "Rename a key, only if the new key does not exist"},
    {"reset", 1, STRANGER | COMMAND_AT_ONCE | COMMAND_LISTENER, 0, 0, 0, command_reset, "connection", "6.2.0", "Reset the connection"},
    {"save", 1, COMMAND_ADMIN | COMMAND_NO_MULTI, 0, 0, 0, command_save, "server", "1.0.0", "Save the dataset to disk"},
    {"scan", -2, READ | COMMAND_ALL_KEYS, 0, 0, 0, command_scan, "generic", "2.8.0", "Incrementally iterate the keys space"},
    {"script", -2, REFUSED, 0, 0, 0, command_no_scripts, NULL, NULL, NULL},
    {"select", 2, PLAIN, 0, 0, 0, command_select, "connection", "1.0.0", "Change the selected database for the current connection"},
    {"set", -3, GROW, 1, 1, 1, command_set, "string", "1.0.0", "Set the string value of a key"},
    {"setbit", 4, GROW, 1, 1, 1, command_setbit, "bitmap", "2.2.0", "Sets or clears the bit at offset in the string value stored at key"},
    {"setex", 4, GROW, 1, 1, 1, command_setex, "string", "2.0.0", "Set the value and expiration of a key"},
    {"setnx", 3, GROW_FAST, 1, 1, 1, command_setnx, "string", "1.0.0", "Set the value of a key, only if the key does not exist"},
    {"setrange", 4, GROW, 1, 1, 1, command_setrange, "string", "2.2.0", "Overwrite part of a string at key starting at the specified offset"},
    {"slowlog", -2, COMMAND_ADMIN | COMMAND_STATELESS | COMMAND_HAS_OTHERS, 0, 0, 0, command_slowlog, "server", "2.2.12", "About slow requests, of which none are kept"},
    {"strlen", 2, READ_FAST, 1, 1, 1, command_strlen, "string", "2.2.0", "Get the length of the value stored in a key"},
    {"subscribe", -2, LISTENER, 0, 0, 0, command_subscribe, "pubsub", "2.0.0", "Listen for messages published to the given channels"},
    {"substr", 4, READ, 1, 1, 1, command_getrange, "string", "1.0.0", "Get a substring of the string stored at a key"},
    {"time", 1, PLAIN, 0, 0, 0, command_time, "server", "2.6.0", "Return the current server time"},
    {"touch", -2, READ_FAST, 1, -1, 1, command_touch, "generic", "3.2.1", "Alters the last access time of a key(s). Returns the number of existing keys specified."},
    {"ttl", 2, READ_FAST, 1, 1, 1, command_ttl, "generic", "1.0.0", "Get the time to live for a key in seconds"},
    {"type", 2, READ_FAST, 1, 1, 1, command_type, "generic", "1.0.0", "Determine the type stored at key"},
    {"unlink", -2, WRITE_FAST, 1, -1, 1, command_del, "generic", "4.0.0", "Delete a key asynchronously in another thread"},
    {"unsubscribe", -1, LISTENER, 0, 0, 0, command_unsubscribe, "pubsub", "2.0.0", "Stop listening for messages posted to the given channels"},
    {"unwatch", 1, COMMAND_FAST, 0, 0, 0, command_unwatch, "transactions", "2.2.0", "Forget about all watched keys"},
    {"watch", -2, AT_ONCE, 1, -1, 1, command_watch, "transactions", "2.2.0", "Watch the given keys to determine execution of the MULTI/EXEC block"},
};
/* clang-format on */

enum { COMMANDS = sizeof commands / sizeof *commands };

const struct command *command_table(size_t *ret_count)
{
    *ret_count = COMMANDS;
    return commands;
}

/* ---- names ------------------------------------------------------------------------ */

#define LOWER_CASE 0x2020202020202020U

/* False: it is too long for a name. (What is no letter may change, but not into one.) */
static bool fold_name(struct command_name *name, const char *text, size_t size)
{
    char copy[sizeof name->words] = {0};

    *name = (struct command_name){.size = size};
    if (size == 0 || size > sizeof copy)
        return false;
    memcpy(copy, text, size);
    memcpy(name->words, copy, sizeof copy);
    name->words[0] |= LOWER_CASE;
    name->words[1] |= LOWER_CASE;
    return true;
}

static size_t slot_of(const struct command_name *name)
{
    return (size_t)(((name->words[0] ^ name->words[1] >> 3) * 0x9e3779b97f4a7c15U) >> 56);
}

static bool is_same_name(const struct command_name *a, const struct command_name *b)
{
    return a->words[0] == b->words[0] && a->words[1] == b->words[1] && a->size == b->size;
}

void command_index_init(struct command_index *index)
{
    memset(index, 0, sizeof *index);
    for (size_t i = 0; i < COMMANDS; i++) {
        struct command_name name;
        fold_name(&name, commands[i].name, strlen(commands[i].name));
        size_t slot = slot_of(&name);
        while (index->slots[slot].command)
            slot = (slot + 1) % COMMAND_SLOTS;
        index->slots[slot].name = name;
        index->slots[slot].command = &commands[i];
    }
}

static const struct command *find_slowly(const char *name, size_t size)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strlen(commands[i].name) == size && strncasecmp(commands[i].name, name, size) == 0)
            return &commands[i];
    return NULL;
}

const struct command *command_find(const struct command_index *index, const char *name, size_t size)
{
    struct command_name folded;

    if (!index)
        return find_slowly(name, size);
    if (!fold_name(&folded, name, size))
        return NULL;
    for (size_t slot = slot_of(&folded); index->slots[slot].command;
         slot = (slot + 1) % COMMAND_SLOTS)
        if (is_same_name(&folded, &index->slots[slot].name))
            return index->slots[slot].command;
    return NULL;
}

/* ---- before it runs ------------------------------------------------------------------ */

static void answer_unknown(struct call *call)
{
    const struct rpd_span name = call_arg(call, 0);
    char arguments[160] = "";
    size_t size = 0;

    for (uint32_t i = 1; i < call->argc && size < 128; i++) {
        const struct rpd_span arg = call_arg(call, i);
        /* As Redis cuts them: 128 bytes altogether, and at a zero byte. */
        const size_t room = 128 - size;
        const size_t length = strnlen(arg.data, arg.size < room ? arg.size : room);
        const int added = snprintf(arguments + size, sizeof arguments - size, "'%.*s' ",
                                   (int)length, arg.data);
        size += (size_t)added;
    }
    reply_errorf(call->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                 (int)strnlen(name.data, name.size < 128 ? name.size : 128), name.data, arguments);
}

static bool has_right_arity(const struct call *call)
{
    const int arity = call->command->arity;

    return arity > 0 ? call->argc == (uint32_t)arity : call->argc >= (uint32_t)-arity;
}

/* (To look at each of very many keys would take long.) */
enum { KEYS_LOOKED_AT = 1024 };

/* All keys of a command are in parts that are there. */
static bool has_its_keys(const struct call *call)
{
    const struct command *command = call->command;
    uint32_t last;

    if (command->first_key == 0 || call->store->loaded == UINT64_MAX)
        return true;
    if (call->argc > KEYS_LOOKED_AT)
        return false;
    last = command->last_key < 0 ? call->argc - 1 : (uint32_t)command->last_key;
    for (uint32_t i = (uint32_t)command->first_key; i <= last; i += (uint32_t)command->step) {
        const struct store_key key = call_key(call, i);
        if (!store_is_loaded(call->store, &key))
            return false;
    }
    return true;
}

bool command_has_its_data(const struct call *call)
{
    /* (What has too few arguments has no keys to look at: it is answered with an error.) */
    if ((call->command->flags & COMMAND_STATELESS) || !has_right_arity(call))
        return true;
    if (!call->kv)
        return false;
    if (call->command->run == command_flushall && call->kv->is_ready)
        return true;
    if (call->command->flags & COMMAND_ALL_KEYS)
        return call->store->loaded == UINT64_MAX;
    return has_its_keys(call);
}

/* False: it does not run now, or an error has been answered. Who would write more than can be
 * evicted meanwhile waits. */
static bool keep_limit(struct call *call)
{
    const int result = store_keep_limit(call->store);

    if (result < 0)
        reply_error(call->reply, "OOM command not allowed when used memory > 'maxmemory'.");
    else if (result > 0)
        call->end = CALL_AGAIN;
    return result == 0;
}

static bool has_short_keys(const struct call *call)
{
    const struct command *command = call->command;
    const uint32_t last = command->last_key < 0 ? call->argc - 1 : (uint32_t)command->last_key;

    if (command->first_key == 0)
        return true;
    for (uint32_t i = (uint32_t)command->first_key; i <= last; i += (uint32_t)command->step)
        if (call->args[i].size > CALL_KEY_MAX)
            return false;
    return true;
}

/* Of the commands that have some: they are checked as commands are, before the request is queued.
 */
static const struct {
    void (*run)(struct call *call);
    const char *name;
    int arity;
} subcommands[] = {
    {command_client, "getname", 2},   {command_client, "getredir", 2},
    {command_client, "id", 2},        {command_client, "info", 2},
    {command_client, "kill", -3},     {command_client, "list", -2},
    {command_client, "no-evict", 3},  {command_client, "reply", 3},
    {command_client, "setinfo", 4},   {command_client, "setname", 3},
    {command_command, "count", 2},    {command_command, "docs", -2},
    {command_command, "info", -2},    {command_config, "get", -3},
    {command_latency, "doctor", 2},   {command_latency, "histogram", -2},
    {command_latency, "history", 3},  {command_latency, "latest", 2},
    {command_latency, "reset", -2},   {command_object, "encoding", 3},
    {command_object, "freq", 3},      {command_object, "help", 2},
    {command_object, "idletime", 3},  {command_object, "refcount", 3},
    {command_pubsub, "channels", -2}, {command_pubsub, "numpat", 2},
    {command_pubsub, "numsub", -2},   {command_slowlog, "get", -2},
    {command_slowlog, "len", 2},      {command_slowlog, "reset", 2},
};

/* Whether there is such a one, if the command has any; else an error has been answered. */
static bool has_subcommand(struct call *call)
{
    bool has_any = false;

    if (call->argc < 2)
        return true;
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++) {
        const int arity = subcommands[i].arity;
        if (subcommands[i].run != call->command->run)
            continue;
        has_any = true;
        if (!call_arg_is(call, 1, subcommands[i].name))
            continue;
        if (arity > 0 ? call->argc == (uint32_t)arity : call->argc >= (uint32_t)-arity)
            return true;
        call_wrong_arity_of(call, subcommands[i].name);
        return false;
    }
    if (has_any)
        call_unknown_subcommand(call);
    return !has_any;
}

static void answer_wrong_arity(struct call *call)
{
    if (call->command->run == command_exec)
        reply_error(call->reply, "EXECABORT Transaction discarded because of: wrong number of "
                                 "arguments for 'exec' command");
    else
        call_wrong_arity(call, call->command->name);
}

/* Of one who listens to channels, in RESP2. */
static void answer_listener(struct call *call)
{
    reply_errorf(call->reply,
                 "%s Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
                 "RESET are allowed in this context",
                 call->command->run == command_exec ? "EXECABORT Transaction discarded because of:"
                                                    : "ERR",
                 call->command->name);
}

/* Whether it may run, now or at EXEC; else an error has been answered. */
static bool is_allowed(struct call *call)
{
    const struct command *command = call->command;
    const struct session *session = call->session;
    char loading[KV_LOADING_SIZE];

    if (!command) {
        answer_unknown(call);
    } else if (!has_right_arity(call)) {
        answer_wrong_arity(call);
    } else if (!session->is_authenticated && !(command->flags & COMMAND_STRANGER)) {
        reply_error(call->reply, "NOAUTH Authentication required.");
    } else if (session->multi && (command->flags & COMMAND_NO_MULTI)) {
        reply_error(call->reply, "ERR Command not allowed inside a transaction");
    } else if (command->flags & COMMAND_REFUSED) {
        command->run(call);
    } else if ((command->flags & COMMAND_HAS_OTHERS) && !has_subcommand(call)) {
        return false;
    } else if (!has_short_keys(call)) {
        reply_errorf(call->reply, "ERR a key has more than %d bytes", CALL_KEY_MAX);
    } else if (call->reply->protocol == 2 && pubsub_is_on(session) &&
               !(command->flags & COMMAND_LISTENER)) {
        answer_listener(call);
    } else if (!command_has_its_data(call)) {
        kv_loading_text(call->service, loading);
        reply_error(call->reply, loading);
    } else if (command->flags & COMMAND_WRITE && call->kv->refuses_writes) {
        reply_error(call->reply, "MISCONF the last save failed, and writes are refused until one "
                                 "succeeds (stop_writes_on_save_error): INFO persistence says why");
    } else {
        return true;
    }
    return false;
}

void command_run(struct call *call)
{
    const struct command *command = call->command;
    struct session *session = call->session;

    if (!is_allowed(call)) {
        multi_fail(session);
        return;
    }
    if ((command->flags & COMMAND_GROWS) && call->store->limit > 0 && !keep_limit(call)) {
        if (call->end == CALL_DONE)
            multi_fail(session);
        return;
    }
    if (session->multi && !(command->flags & COMMAND_AT_ONCE))
        multi_queue(call);
    else
        command->run(call);
}

/* ---- for the commands' functions ------------------------------------------------------- */

enum { STEP_US = 1000 };

bool call_is_late(struct call *call)
{
    const int64_t now_us = kv_clock_monotonic_us();

    if (call->step_ends == 0)
        call->step_ends = now_us + STEP_US;
    if (now_us < call->step_ends)
        return false;
    call->end = CALL_GO_ON;
    return true;
}

bool call_copy(struct call *call, char *to, const char *from, size_t size)
{
    struct progress *progress = &call->progress;

    while (progress->at < size) {
        const size_t left = size - progress->at;
        const size_t piece = left < CALL_PIECE ? left : CALL_PIECE;
        memcpy(to + progress->at, from + progress->at, piece);
        progress->at += piece;
        if (progress->at < size && call_is_late(call))
            return false;
    }
    progress->at = 0;
    return true;
}

bool call_answer(struct call *call, const char *data, size_t size)
{
    struct progress *progress = &call->progress;

    if (size < CALL_LARGE) {
        reply_bulk(call->reply, data, size);
        return true;
    }
    if (progress->at == 0)
        reply_bulk_begin(call->reply, size);
    while (progress->at < size) {
        const size_t left = size - progress->at;
        const size_t piece = left < CALL_PIECE ? left : CALL_PIECE;
        reply_bytes(call->reply, data + progress->at, piece);
        progress->at += piece;
        if (progress->at < size && call_is_late(call))
            return false;
    }
    progress->at = 0;
    reply_bytes(call->reply, "\r\n", 2);
    return true;
}

bool call_arg_is(const struct call *call, uint32_t i, const char *word)
{
    const struct rpd_span arg = call_arg(call, i);

    return strlen(word) == arg.size && strncasecmp(arg.data, word, arg.size) == 0;
}

unsigned call_database(const struct call *call)
{
    return call->session->database;
}

bool call_integer(struct call *call, uint32_t i, int64_t *ret_value)
{
    const struct rpd_span arg = call_arg(call, i);

    if (number_parse(arg.data, arg.size, ret_value))
        return true;
    reply_error(call->reply, "ERR value is not an integer or out of range");
    return false;
}

void call_wrong_arity(struct call *call, const char *name)
{
    reply_errorf(call->reply, "ERR wrong number of arguments for '%s' command", name);
}

void call_wrong_arity_of(struct call *call, const char *subcommand)
{
    reply_errorf(call->reply, "ERR wrong number of arguments for '%s|%s' command",
                 call->command->name, subcommand);
}

void call_no_memory(struct call *call)
{
    reply_error(call->reply, "OOM the machine has no memory left for that; nothing was changed");
}

void call_unknown_subcommand(struct call *call)
{
    const struct rpd_span arg = call_arg(call, 1);
    char name[32];
    size_t size = 0;

    for (const char *at = call->command->name; *at && size < sizeof name - 1; at++)
        name[size++] = (char)toupper((unsigned char)*at);
    name[size] = '\0';
    reply_errorf(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                 (int)strnlen(arg.data, arg.size < 128 ? arg.size : 128), arg.data, name);
}
