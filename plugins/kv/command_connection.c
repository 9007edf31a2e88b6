/* Commands about the connection. */
#include "command.h"
#include "kv.h"
#include "multi.h"
#include "number.h"
#include "pubsub.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What clients look for, to see what they may ask of the server. */
#define REDIS_VERSION "7.0.15"

void command_ping(struct call *call)
{
    const struct rpd_span text = call->argc > 1 ? call_arg(call, 1) : (struct rpd_span){"", 0};

    if (call->argc > 2) {
        call_wrong_arity(call, call->command->name);
    } else if (pubsub_is_on(call->session) && call->reply->protocol == 2) {
        reply_array(call->reply, 2);
        reply_text(call->reply, "pong");
        reply_bulk(call->reply, text.data, text.size);
    } else if (call->argc == 2)
        reply_bulk(call->reply, text.data, text.size);
    else
        reply_status(call->reply, "PONG");
}

void command_echo(struct call *call)
{
    const struct rpd_span text = call_arg(call, 1);

    reply_bulk(call->reply, text.data, text.size);
}

void command_quit(struct call *call)
{
    reply_status(call->reply, "OK");
    call->end = CALL_CLOSE;
}

/* "Host:" and "POST": a browser was made to talk to us. It gets no answer. */
void command_close_at_once(struct call *call)
{
    rpd_log(call->service, RPD_LOG_WARNING,
            "client closed: it talks HTTP (a page in a browser that attacks?)");
    call->end = CALL_CLOSE;
}

void command_select(struct call *call)
{
    int64_t number;

    if (!call_integer(call, 1, &number))
        return;
    if (number < INT_MIN || number > INT_MAX)
        reply_errorf(call->reply, "ERR value is out of range, value must between %d and %d",
                     INT_MIN, INT_MAX);
    else if (number < 0 || number >= STORE_DATABASES)
        reply_error(call->reply, "ERR DB index is out of range");
    else {
        call->session->database = (uint8_t)number;
        reply_status(call->reply, "OK");
    }
}

/* ---- who it is ------------------------------------------------------------------ */

/* In a time that does not tell how much of it is right. */
static bool is_password(const char *password, struct rpd_span given)
{
    const size_t size = strlen(password);
    unsigned char differs = size != given.size;

    for (size_t i = 0; i < given.size; i++)
        differs |= (unsigned char)(given.data[i] ^ password[size ? i % size : 0]);
    return !differs;
}

static bool authenticate(struct call *call, struct rpd_span user, struct rpd_span given)
{
    const char *password = kv_password(call->service);
    const bool is_known = user.size == 7 && memcmp(user.data, "default", 7) == 0;

    if (is_known && (!password || is_password(password, given))) {
        call->session->is_authenticated = true;
        return true;
    }
    reply_error(call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

void command_auth(struct call *call)
{
    const struct rpd_span user = {"default", 7};

    if (call->argc > 3)
        reply_error(call->reply, "ERR syntax error");
    else if (call->argc == 2 && !kv_password(call->service))
        reply_error(call->reply,
                    "ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?");
    else if (call->argc == 2 ? authenticate(call, user, call_arg(call, 1))
                             : authenticate(call, call_arg(call, 1), call_arg(call, 2)))
        reply_status(call->reply, "OK");
}

/* False: an error has been answered. */
bool call_set_name(struct call *call, struct rpd_span name)
{
    struct session *session = call->session;
    char *copy = NULL;

    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < '!' || name.data[i] > '~') {
            reply_error(call->reply, "ERR Client names cannot contain spaces, newlines or special "
                                     "characters.");
            return false;
        }
    if (name.size > 0) {
        copy = strndup(name.data, name.size);
        if (!copy) {
            call_no_memory(call);
            return false;
        }
    }
    free(session->name);
    session->name = copy;
    return true;
}

/* ---- HELLO ---------------------------------------------------------------------- */

/* False: an error has been answered. */
static bool parse_hello(struct call *call)
{
    for (uint32_t i = 2; i < call->argc; i++) {
        const uint32_t more = call->argc - 1 - i;
        if (more >= 2 && call_arg_is(call, i, "AUTH")) {
            if (!authenticate(call, call_arg(call, i + 1), call_arg(call, i + 2)))
                return false;
            i += 2;
        } else if (more >= 1 && call_arg_is(call, i, "SETNAME")) {
            if (!call_set_name(call, call_arg(call, i + 1)))
                return false;
            i++;
        } else {
            const struct rpd_span option = call_arg(call, i);
            reply_errorf(call->reply, "ERR Syntax error in HELLO option '%.*s'", (int)option.size,
                         option.data);
            return false;
        }
    }
    return true;
}

void command_hello(struct call *call)
{
    struct reply *reply = call->reply;
    const struct rpd_span version = call->argc > 1 ? call_arg(call, 1) : (struct rpd_span){"", 0};
    int64_t protocol = call->session->protocol;

    if (call->argc > 1 && !number_parse(version.data, version.size, &protocol)) {
        reply_error(reply, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (protocol < 2 || protocol > 3) {
        reply_error(reply, "NOPROTO unsupported protocol version");
        return;
    }
    if (!parse_hello(call))
        return;
    if (!call->session->is_authenticated) {
        reply_error(reply, "NOAUTH HELLO must be called with the client already authenticated, "
                           "otherwise the HELLO AUTH <user> <pass> option can be used to "
                           "authenticate the client and select the RESP protocol version at the "
                           "same time");
        return;
    }
    call->session->protocol = (uint8_t)protocol;
    reply->protocol = (int)protocol;
    reply_map(reply, 7);
    reply_text(reply, "server");
    reply_text(reply, "redis");
    reply_text(reply, "version");
    reply_text(reply, REDIS_VERSION);
    reply_text(reply, "proto");
    reply_integer(reply, protocol);
    reply_text(reply, "id");
    reply_integer(reply, (int64_t)call->session->id);
    reply_text(reply, "mode");
    reply_text(reply, "standalone");
    reply_text(reply, "role");
    reply_text(reply, "master");
    reply_text(reply, "modules");
    reply_array(reply, 0);
}

/* As if the client had just come. */
void command_reset(struct call *call)
{
    struct session *session = call->session;

    multi_discard(call->kv, session);
    if (call->kv)
        pubsub_forget(call->kv, session);
    free(session->name);
    session->name = NULL;
    session->database = 0;
    session->protocol = 2;
    session->is_muted = false;
    session->skips = 0;
    session->is_authenticated = !kv_password(call->service);
    call->reply->protocol = 2;
    reply_status(call->reply, "RESET");
}
