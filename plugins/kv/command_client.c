/* CLIENT: about this connection, and about the others. */
#include "command.h"
#include "kv.h"
#include "multi.h"
#include "number.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

enum { ADDRESS_SIZE = 160, LINE_SIZE = 768, LOOK_EVERY = 16 };

/* ---- a line about a client ------------------------------------------------------- */

/* "1.2.3.4:5", or the path of a socket with ":0". */
static void describe_address(const struct sockaddr *address, socklen_t length,
                             char text[ADDRESS_SIZE])
{
    const struct sockaddr_un *path = (const void *)address;
    char host[96] = "?", port[16] = "0";

    if (address->sa_family == AF_UNIX) {
        snprintf(text, ADDRESS_SIZE, "%.*s:0", (int)(length > 2 ? length - 2 : 0), path->sun_path);
        return;
    }
    getnameinfo(address, length, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, ADDRESS_SIZE, "%s:%s", host, port);
}

/* Whether it is a unix socket. */
static bool find_addresses(const struct session *session, char peer[ADDRESS_SIZE],
                           char own[ADDRESS_SIZE])
{
    struct sockaddr_storage there = {0}, here = {0};
    socklen_t there_length = sizeof there, here_length = sizeof here;
    const int fd = rpd_conn_fd(session->conn);

    getpeername(fd, (struct sockaddr *)&there, &there_length);
    getsockname(fd, (struct sockaddr *)&here, &here_length);
    describe_address((struct sockaddr *)&there, there_length, peer);
    describe_address((struct sockaddr *)&here, here_length, own);
    if (here.ss_family == AF_UNIX)
        memcpy(peer, own, ADDRESS_SIZE); /* as Redis has it: the client's end has no name */
    return here.ss_family == AF_UNIX;
}

static size_t describe(const struct session *session, const struct call *call, char text[LINE_SIZE])
{
    const int64_t now_us = kv_clock_monotonic_us();
    char peer[ADDRESS_SIZE], own[ADDRESS_SIZE], flags[8] = "";
    const bool is_unix = find_addresses(session, peer, own);
    const char *last = session == call->session ? call->command->name : session->last_command;
    int size;

    snprintf(flags, sizeof flags, "%s%s%s%s", session->channels + session->patterns ? "P" : "",
             session->multi ? "x" : "", session->has_lost ? "d" : "", is_unix ? "U" : "");
    size = snprintf(
        text, LINE_SIZE,
        "id=%llu addr=%s laddr=%s fd=%d name=%.64s age=%lld idle=%lld flags=%s db=%d sub=%u "
        "psub=%u ssub=0 multi=%d qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 "
        "oll=0 omem=%zu tot-mem=0 events=r cmd=%s user=default redir=-1 resp=%d\n",
        (unsigned long long)session->id, peer, own, rpd_conn_fd(session->conn),
        session->name ? session->name : "", (long long)((now_us - session->since_us) / 1000000),
        (long long)((now_us - session->used_us) / 1000000), *flags ? flags : "N", session->database,
        session->channels, session->patterns, multi_count(session),
        rpd_conn_output_size(session->conn), last ? last : "NULL", session->protocol);
    return size < LINE_SIZE ? (size_t)size : LINE_SIZE - 1;
}

static bool has_arguments(struct call *call, uint32_t count, const char *name)
{
    if (call->argc == count)
        return true;
    call_wrong_arity_of(call, name);
    return false;
}

static void answer_info(struct call *call)
{
    char text[LINE_SIZE];

    if (has_arguments(call, 2, "info"))
        reply_verbatim(call->reply, text, describe(call->session, call, text));
}

/* ---- which ones are meant --------------------------------------------------------- */

struct filter {
    const struct rpd_span *address, *own_address;
    struct rpd_span spans[2];
    int64_t id;
    bool has_id, skips_me, is_none, is_normal, is_pubsub;
};

static bool is_text(const struct rpd_span *span, const char *text)
{
    return span->size == strlen(text) && memcmp(span->data, text, span->size) == 0;
}

static bool fits(const struct filter *filter, const struct session *session,
                 const struct call *call)
{
    char peer[ADDRESS_SIZE], own[ADDRESS_SIZE];
    const bool listens = session->channels + session->patterns > 0;

    if (filter->is_none || (filter->skips_me && session == call->session) ||
        (filter->has_id && session->id != (uint64_t)filter->id) || (filter->is_normal && listens) ||
        (filter->is_pubsub && !listens))
        return false;
    if (!filter->address && !filter->own_address)
        return true;
    find_addresses(session, peer, own);
    return (!filter->address || is_text(filter->address, peer)) &&
           (!filter->own_address || is_text(filter->own_address, own));
}

/* False: an error has been answered. */
static bool parse_type(struct call *call, uint32_t i, struct filter *filter)
{
    const struct rpd_span type = call_arg(call, i);

    if (call_arg_is(call, i, "normal"))
        filter->is_normal = true;
    else if (call_arg_is(call, i, "pubsub"))
        filter->is_pubsub = true;
    else if (call_arg_is(call, i, "master") || call_arg_is(call, i, "replica") ||
             call_arg_is(call, i, "slave"))
        filter->is_none = true;
    else {
        reply_errorf(call->reply, "ERR Unknown client type '%.*s'", (int)type.size, type.data);
        return false;
    }
    return true;
}

/* ---- LIST ------------------------------------------------------------------------ */

struct list {
    char *text;
    size_t size, room;
};

static bool add_line(struct list *list, const struct session *session, const struct call *call)
{
    if (list->room - list->size < LINE_SIZE) {
        const size_t room = list->room * 2 + LINE_SIZE;
        char *text = realloc(list->text, room);
        if (!text)
            return false;
        list->text = text;
        list->room = room;
    }
    list->size += describe(session, call, list->text + list->size);
    return true;
}

static bool is_listed(const struct call *call, const struct session *session)
{
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct rpd_span arg = call_arg(call, i);
        int64_t id;
        if (number_parse(arg.data, arg.size, &id) && (uint64_t)id == session->id)
            return true;
    }
    return false;
}

/* False: an error has been answered. */
static bool parse_list(struct call *call, struct filter *filter, bool *ret_by_id)
{
    *ret_by_id = call->argc > 3 && call_arg_is(call, 2, "id");
    if (call->argc == 4 && call_arg_is(call, 2, "type"))
        return parse_type(call, 3, filter);
    for (uint32_t i = 3; *ret_by_id && i < call->argc; i++) {
        const struct rpd_span arg = call_arg(call, i);
        int64_t id;
        if (!number_parse(arg.data, arg.size, &id)) {
            reply_error(call->reply, "ERR Invalid client ID");
            return false;
        }
    }
    if (call->argc == 2 || *ret_by_id)
        return true;
    reply_error(call->reply, "ERR syntax error");
    return false;
}

/* Sessions are in the order of their ids; progress.at: the last one that is in the list. */
static void answer_list(struct call *call)
{
    struct progress *progress = &call->progress;
    struct list *list = progress->data ? progress->data : calloc(1, sizeof *list);
    struct filter filter = {0};
    struct session *session;
    bool by_id, has_room = list;

    if (!parse_list(call, &filter, &by_id)) {
        free(list);
        return;
    }
    progress->data = list;
    TAILQ_FOREACH(session, &call->kv->all, all_link) {
        if (!has_room || session->id <= progress->at)
            continue;
        if (by_id ? is_listed(call, session) : fits(&filter, session, call))
            has_room = add_line(list, session, call);
        progress->at = session->id;
        if (++progress->count % LOOK_EVERY == 0 && call_is_late(call))
            return;
    }
    if (has_room)
        reply_verbatim(call->reply, list->text ? list->text : "", list->size);
    else
        call_no_memory(call);
    if (list)
        free(list->text);
    free(list);
}

/* ---- KILL ------------------------------------------------------------------------- */

/* False: an error has been answered. */
static bool parse_kill(struct call *call, struct filter *filter)
{
    for (uint32_t i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            reply_error(call->reply, "ERR syntax error");
            return false;
        }
        const struct rpd_span value = call_arg(call, i + 1);
        if (call_arg_is(call, i, "id")) {
            filter->has_id = true;
            if (!number_parse(value.data, value.size, &filter->id) || filter->id < 1) {
                reply_error(call->reply, "ERR client-id should be greater than 0");
                return false;
            }
        } else if (call_arg_is(call, i, "addr")) {
            filter->spans[0] = value;
            filter->address = &filter->spans[0];
        } else if (call_arg_is(call, i, "laddr")) {
            filter->spans[1] = value;
            filter->own_address = &filter->spans[1];
        } else if (call_arg_is(call, i, "type")) {
            if (!parse_type(call, i + 1, filter))
                return false;
        } else if (call_arg_is(call, i, "user")) {
            if (!call_arg_is(call, i + 1, "default")) {
                reply_errorf(call->reply, "ERR No such user '%.*s'", (int)value.size, value.data);
                return false;
            }
        } else if (call_arg_is(call, i, "skipme") &&
                   (call_arg_is(call, i + 1, "yes") || call_arg_is(call, i + 1, "no"))) {
            filter->skips_me = call_arg_is(call, i + 1, "yes");
        } else {
            reply_error(call->reply, "ERR syntax error");
            return false;
        }
    }
    return true;
}

/* How many; the client itself goes when it has its answer. */
static int64_t kill_all(struct call *call, const struct filter *filter)
{
    struct session *session = TAILQ_FIRST(&call->kv->all), *next;
    int64_t count = 0;

    for (; session; session = next) {
        next = TAILQ_NEXT(session, all_link);
        if (!fits(filter, session, call))
            continue;
        count++;
        if (session == call->session)
            call->end = CALL_CLOSE;
        else
            rpd_conn_abort(session->conn);
    }
    return count;
}

static void kill_some(struct call *call)
{
    struct filter filter = {.skips_me = true};

    if (call->argc == 2) {
        call_wrong_arity_of(call, "kill");
        return;
    }
    if (call->argc == 3) {
        filter.skips_me = false;
        filter.spans[0] = call_arg(call, 2);
        filter.address = &filter.spans[0];
        if (kill_all(call, &filter) > 0)
            reply_status(call->reply, "OK");
        else
            reply_error(call->reply, "ERR No such client");
        return;
    }
    if (parse_kill(call, &filter))
        reply_integer(call->reply, kill_all(call, &filter));
}

/* ---- the rest ---------------------------------------------------------------------- */

static void answer_name(struct call *call)
{
    if (!has_arguments(call, 2, "getname"))
        return;
    if (call->session->name)
        reply_text(call->reply, call->session->name);
    else
        reply_null(call->reply);
}

static void answer_id(struct call *call)
{
    if (has_arguments(call, 2, "id"))
        reply_integer(call->reply, (int64_t)call->session->id);
}

static void set_name(struct call *call)
{
    if (has_arguments(call, 3, "setname") && call_set_name(call, call_arg(call, 2)))
        reply_status(call->reply, "OK");
}

/* Of a client library; as later versions of Redis have it. */
static void set_info(struct call *call)
{
    const struct rpd_span name = call->argc > 2 ? call_arg(call, 2) : (struct rpd_span){"", 0};

    if (!has_arguments(call, 4, "setinfo"))
        return;
    if (call_arg_is(call, 2, "lib-name") || call_arg_is(call, 2, "lib-ver"))
        reply_status(call->reply, "OK");
    else
        reply_errorf(call->reply, "ERR Unrecognized option '%.*s'", (int)name.size, name.data);
}

/* What it says is not answered, but with ON. */
static void set_reply(struct call *call)
{
    struct session *session = call->session;

    if (!has_arguments(call, 3, "reply"))
        return;
    if (call_arg_is(call, 2, "on")) {
        session->is_muted = false;
        reply_flush(call->reply);
        call->reply->is_muted = false;
        reply_status(call->reply, "OK");
    } else if (call_arg_is(call, 2, "off")) {
        session->is_muted = true;
    } else if (call_arg_is(call, 2, "skip")) {
        session->skips = 1;
    } else {
        reply_error(call->reply, "ERR syntax error");
    }
}

/* No client is ever evicted. */
static void set_no_evict(struct call *call)
{
    if (!has_arguments(call, 3, "no-evict"))
        return;
    if (call_arg_is(call, 2, "on") || call_arg_is(call, 2, "off"))
        reply_status(call->reply, "OK");
    else
        reply_error(call->reply, "ERR syntax error");
}

static void answer_redirection(struct call *call)
{
    if (has_arguments(call, 2, "getredir"))
        reply_integer(call->reply, -1);
}

void command_client(struct call *call)
{
    static const struct {
        const char *name;
        void (*run)(struct call *call);
        bool needs_state;
    } subcommands[] = {
        {"info", answer_info, false},      {"id", answer_id, false},
        {"getname", answer_name, false},   {"setname", set_name, false},
        {"setinfo", set_info, false},      {"reply", set_reply, false},
        {"no-evict", set_no_evict, false}, {"getredir", answer_redirection, false},
        {"list", answer_list, true},       {"kill", kill_some, true},
    };
    char loading[KV_LOADING_SIZE];

    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++) {
        if (!call_arg_is(call, 1, subcommands[i].name))
            continue;
        if (!subcommands[i].needs_state || call->kv) {
            subcommands[i].run(call);
            return;
        }
        kv_loading_text(call->service, loading);
        reply_error(call->reply, loading);
        return;
    }
    call_unknown_subcommand(call);
}
