/* The table of commands, and how one is found in it. See command.h. */
#include "command.h"

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
    {"bgsave", -1, COMMAND_ADMIN | COMMAND_NO_MULTI, 0, 0, 0, command_bgsave, "server", "1.0.0", "Save the dataset in the background"},
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

/* False: it is too long for a name. What is no letter may change, but not into one. */
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
