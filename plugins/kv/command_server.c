/* Commands about the server: COMMAND, CONFIG, INFO. */
#include "command.h"
#include "glob.h"
#include "kv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- COMMAND --------------------------------------------------------------------- */

static void answer_flags(struct call *call, const struct command *command)
{
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {
        {COMMAND_WRITE, "write"},      {COMMAND_READ, "readonly"}, {COMMAND_GROWS, "denyoom"},
        {COMMAND_ADMIN, "admin"},      {COMMAND_FAST, "fast"},     {COMMAND_STATELESS, "loading"},
        {COMMAND_STRANGER, "no_auth"},
    };
    size_t count = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        count += (command->flags & names[i].flag) != 0;
    reply_set(call->reply, count);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (command->flags & names[i].flag)
            reply_status(call->reply, names[i].name);
}

static void answer_command(struct call *call, const struct command *command)
{
    reply_array(call->reply, 10);
    reply_text(call->reply, command->name);
    reply_integer(call->reply, command->arity);
    answer_flags(call, command);
    reply_integer(call->reply, command->first_key);
    reply_integer(call->reply, command->last_key);
    reply_integer(call->reply, command->step);
    reply_set(call->reply, 0);   /* categories of ACLs */
    reply_array(call->reply, 0); /* tips */
    reply_array(call->reply, 0); /* key specifications */
    reply_array(call->reply, 0); /* subcommands */
}

static void answer_docs(struct call *call, const struct command *command)
{
    reply_text(call->reply, command->name);
    reply_map(call->reply, 3);
    reply_text(call->reply, "summary");
    reply_text(call->reply, command->summary);
    reply_text(call->reply, "since");
    reply_text(call->reply, command->since);
    reply_text(call->reply, "group");
    reply_text(call->reply, command->group);
}

static const struct command *named(const struct call *call, uint32_t i)
{
    const struct rpd_span name = call_arg(call, i);
    const struct command *command = command_find(NULL, name.data, name.size);

    return command && command->summary ? command : NULL;
}

static size_t count_commands(void)
{
    size_t all, count = 0;
    const struct command *table = command_table(&all);

    for (size_t i = 0; i < all; i++)
        count += table[i].summary != NULL;
    return count;
}

static void answer_each(struct call *call,
                        void (*answer)(struct call *call, const struct command *command))
{
    size_t all;
    const struct command *table = command_table(&all);

    for (size_t i = 0; i < all; i++)
        if (table[i].summary)
            answer(call, &table[i]);
}

static void command_docs(struct call *call)
{
    size_t count = 0;

    if (call->argc == 2) {
        reply_map(call->reply, count_commands());
        answer_each(call, answer_docs);
        return;
    }
    for (uint32_t i = 2; i < call->argc; i++)
        count += named(call, i) != NULL;
    reply_map(call->reply, count);
    for (uint32_t i = 2; i < call->argc; i++)
        if (named(call, i))
            answer_docs(call, named(call, i));
}

static void command_infos(struct call *call)
{
    if (call->argc == 2) {
        reply_array(call->reply, count_commands());
        answer_each(call, answer_command);
        return;
    }
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++)
        if (named(call, i))
            answer_command(call, named(call, i));
        else
            reply_null(call->reply);
}

void command_command(struct call *call)
{
    if (call->argc == 1) {
        reply_array(call->reply, count_commands());
        answer_each(call, answer_command);
    } else if (call_arg_is(call, 1, "count")) {
        if (call->argc == 2)
            reply_integer(call->reply, (int64_t)count_commands());
        else
            call_wrong_arity(call, "command|count");
    } else if (call_arg_is(call, 1, "docs")) {
        command_docs(call);
    } else if (call_arg_is(call, 1, "info")) {
        command_infos(call);
    } else {
        call_unknown_subcommand(call);
    }
}

/* ---- CONFIG ---------------------------------------------------------------------- */

enum { SETTINGS = 8 };

struct setting {
    const char *name;
    char value[256];
};

static void describe_settings(const struct call *call, struct setting settings[SETTINGS])
{
    const char *snapshot = rpd_option_string(call->service, "snapshot");
    const int64_t limit = rpd_option_integer(call->service, "maxmemory");
    const int64_t every = rpd_option_integer(call->service, "save_interval_s");
    size_t at = 0;

    settings[at++] = (struct setting){"appendonly", "no"};
    settings[at++] = (struct setting){"databases", "16"};
    settings[at] = (struct setting){"dbfilename", ""};
    snprintf(settings[at++].value, sizeof settings->value, "%.200s", snapshot ? snapshot : "");
    settings[at] = (struct setting){"maxmemory", ""};
    snprintf(settings[at++].value, sizeof settings->value, "%lld", (long long)limit);
    settings[at++] = (struct setting){"maxmemory-policy", "allkeys-lru"};
    settings[at++] = (struct setting){"proto-max-bulk-len", "536870912"};
    settings[at] = (struct setting){"save", ""};
    if (every > 0)
        snprintf(settings[at].value, sizeof settings->value, "%lld 1", (long long)every);
    at++;
    settings[at] = (struct setting){"timeout", "0"};
}

static bool is_wanted(const struct call *call, const char *name)
{
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct rpd_span pattern = call_arg(call, i);
        if (glob_match(pattern.data, pattern.size, name, strlen(name), true))
            return true;
    }
    return false;
}

void command_config(struct call *call)
{
    struct setting settings[SETTINGS];
    size_t count = 0;

    if (!call_arg_is(call, 1, "get")) {
        call_unknown_subcommand(call);
        return;
    }
    if (call->argc < 3) {
        call_wrong_arity(call, "config|get");
        return;
    }
    describe_settings(call, settings);
    for (size_t i = 0; i < SETTINGS; i++)
        count += is_wanted(call, settings[i].name);
    reply_map(call->reply, count);
    for (size_t i = 0; i < SETTINGS; i++)
        if (is_wanted(call, settings[i].name)) {
            reply_text(call->reply, settings[i].name);
            reply_text(call->reply, settings[i].value);
        }
}
