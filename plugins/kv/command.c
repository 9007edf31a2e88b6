/* What is checked before a command runs, and what their functions have in common. See command.h. */
#include "command.h"

#include "kv.h"
#include "multi.h"
#include "number.h"
#include "pubsub.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

/* To look at each of very many keys would take long. */
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
    /* What has too few arguments has no keys to look at: it is answered with an error. */
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
