/* Commands: one table, in command.c, and what each function is given. */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include "reply.h"
#include "resp.h"
#include "store.h"

#include <stdbool.h>
#include <stdint.h>

struct kv;
struct session;
struct rpd_conn;
struct rpd_service;

enum {
    COMMAND_WRITE = 1,
    COMMAND_READ = 2,
    COMMAND_GROWS = 4, /* refused when memory is at its limit, and nothing can be evicted */
    COMMAND_FAST = 8,
    COMMAND_ALL_KEYS = 16,  /* needs all parts */
    COMMAND_STATELESS = 32, /* can do without a state: call->kv may be NULL */
    COMMAND_STRANGER = 64,  /* also of those who have not authenticated */
    COMMAND_ADMIN = 128,
    COMMAND_AT_ONCE = 256,    /* between MULTI and EXEC, too */
    COMMAND_NO_MULTI = 512,   /* refused there */
    COMMAND_LISTENER = 1024,  /* also of those who listen to channels, in RESP2 */
    COMMAND_REFUSED = 2048,   /* there is none, but clients ask for it */
    COMMAND_HAS_OTHERS = 4096 /* it has subcommands */
};

enum call_end {
    CALL_DONE,
    CALL_CLOSE, /* when the answer is sent */
    CALL_AGAIN, /* it was not run: later */
    CALL_WAIT,  /* the answer comes later; the command has paused the client */
    CALL_GO_ON  /* it has not done all: its function is called again, with the same progress */
};

enum {
    CALL_KEY_MAX = 1024 * 1024, /* bytes of a key */
    CALL_PIECE = 256 * 1024,    /* bytes that are copied between two looks at the clock */
    CALL_LARGE = 1024 * 1024    /* values from here on are copied in steps */
};

/* How far a command is that takes several turns. Zeroed before its first. */
struct progress {
    unsigned stage;
    uint32_t arg;
    size_t at; /* bytes, or elements */
    int64_t count;
    void *data; /* of the command's; freed by it before its last turn ends */
};

struct call {
    struct kv *kv;
    struct store *store;
    struct rpd_service *service;
    struct session *session;
    struct rpd_conn *conn;
    struct reply *reply;
    const struct command *command;
    uint32_t argc;
    const struct resp_arg *args;
    const char *base;
    uint64_t hash;     /* of the first key, if it has one */
    int64_t step_ends; /* when the command has; 0: the clock was not looked at */
    struct progress progress;
    enum call_end end;
};

struct command {
    const char *name;
    int arity; /* with the name; negative: at least */
    unsigned flags;
    int first_key, last_key, step; /* 0: none; last -1: to the end */
    void (*run)(struct call *call);
    const char *group, *since, *summary;
};

enum { COMMAND_SLOTS = 256 };

/* Names, eight letters a word. */
struct command_name {
    uint64_t words[2];
    size_t size;
};

struct command_index {
    struct {
        struct command_name name;
        const struct command *command;
    } slots[COMMAND_SLOTS];
};

void command_index_init(struct command_index *index);

/* index: NULL finds it, too, but slowly. NULL: there is no such command. */
const struct command *command_find(const struct command_index *index, const char *name,
                                   size_t size);

/* All of them. */
const struct command *command_table(size_t *ret_count);

/* Whether all that the command is about is loaded. */
bool command_has_its_data(const struct call *call);

/* Runs a request: checks first what every command wants checked. */
void command_run(struct call *call);

/* ---- for the commands' functions ------------------------------------------------- */

static inline struct rpd_span call_arg(const struct call *call, uint32_t i)
{
    return (struct rpd_span){call->base + call->args[i].at, call->args[i].size};
}

static inline struct store_key call_key(const struct call *call, uint32_t i)
{
    const struct rpd_span arg = call_arg(call, i);

    return i == 1 ? (struct store_key){arg.data, arg.size, call->hash}
                  : store_key(call->store, arg.data, arg.size);
}

/* Whether the command has run long enough: then it sets CALL_GO_ON, and returns. From then on no
 * other client is served until it is done: what it does is done at one moment. See steps.h. Asked
 * for each CALL_PIECE bytes, or 64 keys. */
bool call_is_late(struct call *call);

/* The next piece of a copy, as far as progress.at; false: it is not done, CALL_GO_ON is set. */
bool call_copy(struct call *call, char *to, const char *from, size_t size);

/* Answers a value. False: it is not done, CALL_GO_ON is set. */
bool call_answer(struct call *call, const char *data, size_t size);

/* Without regard to case. */
bool call_arg_is(const struct call *call, uint32_t i, const char *word);

unsigned call_database(const struct call *call);

/* False: an error has been answered. */
bool call_integer(struct call *call, uint32_t i, int64_t *ret_value);

void call_wrong_arity(struct call *call, const char *name);
void call_wrong_arity_of(struct call *call, const char *subcommand);

/* False: an error has been answered. */
bool call_set_name(struct call *call, struct rpd_span name);

/* The entry with this size, unless it is larger; new bytes are zero. entry: NULL, or the key's.
 * NULL: it is not done yet, or there was no memory, which has been answered. */
struct entry *call_grow(struct call *call, const struct store_key *key, struct entry *entry,
                        size_t size);

void call_no_memory(struct call *call);

/* Of commands with subcommands: "unknown subcommand ...". */
void call_unknown_subcommand(struct call *call);

#define COMMAND(name) void command_##name(struct call *call)

COMMAND(ping);
COMMAND(echo);
COMMAND(quit);
COMMAND(select);
COMMAND(auth);
COMMAND(hello);
COMMAND(client);
COMMAND(close_at_once);

COMMAND(command);
COMMAND(config);
COMMAND(info);

COMMAND(get);
COMMAND(set);
COMMAND(setnx);
COMMAND(setex);
COMMAND(psetex);
COMMAND(getset);
COMMAND(getdel);
COMMAND(getex);
COMMAND(mget);
COMMAND(mset);
COMMAND(msetnx);
COMMAND(strlen);

COMMAND(append);
COMMAND(setbit);
COMMAND(getbit);
COMMAND(bitcount);
COMMAND(getrange);
COMMAND(setrange);
COMMAND(incr);
COMMAND(decr);
COMMAND(incrby);
COMMAND(decrby);
COMMAND(incrbyfloat);

COMMAND(del);
COMMAND(exists);
COMMAND(touch);
COMMAND(type);
COMMAND(rename);
COMMAND(renamenx);
COMMAND(copy);
COMMAND(move);
COMMAND(object);

COMMAND(ttl);
COMMAND(expiretime);
COMMAND(pexpiretime);
COMMAND(pttl);
COMMAND(expire);
COMMAND(pexpire);
COMMAND(expireat);
COMMAND(pexpireat);
COMMAND(persist);

COMMAND(dbsize);
COMMAND(keys);
COMMAND(scan);
COMMAND(randomkey);
COMMAND(flushdb);
COMMAND(flushall);

COMMAND(multi);
COMMAND(exec);
COMMAND(discard);
COMMAND(watch);
COMMAND(unwatch);

COMMAND(subscribe);
COMMAND(unsubscribe);
COMMAND(psubscribe);
COMMAND(punsubscribe);
COMMAND(publish);
COMMAND(pubsub);

COMMAND(reset);
COMMAND(time);
COMMAND(latency);
COMMAND(slowlog);
COMMAND(no_scripts);

COMMAND(save);
COMMAND(bgsave);
COMMAND(lastsave);

#undef COMMAND

#endif
