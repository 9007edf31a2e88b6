/* Requests and answers. See control/reply.h. */
#include "control/reply.h"

#include "base/build.h"
#include "base/log.h"
#include "base/words.h"
#include "config/keys.h"
#include "library/libjansson.h"
#include "service/clients_view.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VERSION = 1 };

/* ---- lines ------------------------------------------------------------------------ */

/* Takes the object. If memory runs out, no line is sent. */
static char *line_of(json_t *take_object)
{
    char *text = take_object ? json_dumps(take_object, JSON_COMPACT) : NULL;
    char *line = NULL;

    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    json_decref(take_object);
    return line;
}

static json_t *answer(json_t *id, bool is_ok)
{
    return json_pack("{s:i, s:O?, s:b}", "v", VERSION, "id", id, "ok", is_ok);
}

static char *refuse(json_t *id, const char *why)
{
    json_t *reply = answer(id, false);

    json_object_set_new(reply, "error", json_string(why));
    return line_of(reply);
}

char *control_refusal(const char *why)
{
    return refuse(NULL, why);
}

/* A text of a plugin's may not be UTF-8. */
static json_t *text_of(const char *text)
{
    json_t *result = json_string(text);
    char *ascii = result ? NULL : strdup(text);

    if (!ascii)
        return result;
    for (char *at = ascii; *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    result = json_string(ascii);
    free(ascii);
    return result;
}

/* ---- the state of a service ----------------------------------------------------------- */

static json_t *phase_of(const struct rpd_service *service, enum rpd_phase phase)
{
    return json_pack("{s:s, s:s, s:b}", "name", service->name, "phase", word_of_phase(phase),
                     "degraded", service_is_degraded(service));
}

static json_t *endpoints_of(const struct rpd_service *service)
{
    json_t *endpoints = json_array();

    for (size_t i = 0; i < service->attachment_count; i++)
        json_array_append_new(endpoints, text_of(service->attachments[i].listener.text));
    return endpoints;
}

static json_t *parts_of(const struct rpd_state_page *page)
{
    json_t *parts = json_array();

    for (size_t i = 0; i < page->part_count && i < RPD_STATE_PARTS; i++) {
        const struct rpd_state_part *part = &page->parts[i];

        json_array_append_new(
            parts, json_pack("{s:o, s:I, s:I, s:o, s:s}", "name", text_of(part->name), "done",
                             (json_int_t)part->done, "total", (json_int_t)part->total, "unit",
                             text_of(part->unit), "state", word_of_part(part->state)));
    }
    return parts;
}

static json_t *clients_of(const struct rpd_state_page *page)
{
    return json_pack("{s:I, s:I, s:I}", "held", (json_int_t)page->clients_held, "active",
                     (json_int_t)page->clients_active, "accepted",
                     (json_int_t)page->clients_accepted);
}

/* What the state page shows, updated now. */
static json_t *status_of(struct rpd_service *service)
{
    struct rpd_state_page page;
    json_t *status;

    service_show(service);
    state_page_copy(&service->state_page, &page);
    status = phase_of(service, (enum rpd_phase)page.phase);
    json_object_set_new(status, "endpoints", endpoints_of(service));
    json_object_set_new(status, "warmup", json_string(word_of_warmup(service->warmup)));
    json_object_set_new(status, "clients", clients_of(&page));
    json_object_set_new(status, "load_permille", json_integer(page.load_permille));
    json_object_set_new(status, "parts", parts_of(&page));
    return status;
}

/* ---- requests ----------------------------------------------------------------------- */

static void add_process(json_t *reply)
{
    char build[64];

    build_text(build, sizeof build);
    json_object_set_new(reply, "pid", json_integer(getpid()));
    json_object_set_new(reply, "build", json_string(build));
}

/* A request that was understood. */
struct question {
    const struct control_subject *subject;
    json_t *request, *id;
    bool needs_runner; /* in a keeper: its runner knows the answer, or the rest of it */
};

static char *ping(struct question *question)
{
    json_t *reply = answer(question->id, true);

    add_process(reply);
    return line_of(reply);
}

static char *status(struct question *question)
{
    json_t *reply = answer(question->id, true);
    json_t *services = json_array();

    add_process(reply);
    FOR_EACH_SERVICE(question->subject, service)
        json_array_append_new(services, status_of(service));
    json_object_set_new(reply, "services", services);
    return line_of(reply);
}

static char *watch(struct question *question)
{
    json_t *reply = answer(question->id, true);
    json_t *services = json_array();

    FOR_EACH_SERVICE(question->subject, service)
        json_array_append_new(services, phase_of(service, state_page_phase(&service->state_page)));
    json_object_set_new(reply, "services", services);
    return line_of(reply);
}

/* The service that a request names; NULL: there is no such service. */
static struct rpd_service *service_in(const struct question *question)
{
    const char *name = json_string_value(json_object_get(question->request, "service"));

    FOR_EACH_SERVICE(question->subject, service)
        if (name && strcmp(name, service->name) == 0)
            return service;
    return NULL;
}

/* Sets the level of a service's log. */
static char *set_log(struct question *question)
{
    const struct control_subject *subject = question->subject;
    const char *const *levels = config_key_at("log.level")->choices;
    const char *level = json_string_value(json_object_get(question->request, "level"));
    const struct rpd_service *service = service_in(question);

    if (!service)
        return refuse(question->id, "no such \"service\" here");
    for (int i = 0; level && levels[i]; i++)
        if (strcmp(level, levels[i]) == 0) {
            log_set_level(service->name, (enum rpd_log_level)i);
            log_line(RPD_LOG_INFO, service->name, "log: its level is %s now", level);
            if (subject->relay)
                subject->relay->level(subject->relay_arg, service, (enum rpd_log_level)i);
            return line_of(answer(question->id, true));
        }
    return refuse(question->id,
                  "expected \"level\": \"error\", \"warning\", \"info\" or \"debug\"");
}

enum { CLIENTS_SHOWN = 1000 };

/* Identifies the client: a process, as the kernel knew it at the connect, or an address. */
static void add_peer(json_t *json, int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address, size = sizeof(struct ucred);
    char host[INET6_ADDRSTRLEN] = "";
    struct ucred peer;
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&address;

    if (getpeername(fd, (struct sockaddr *)&address, &length) < 0)
        return;
    if (address.ss_family == AF_UNIX &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
        json_object_set_new(json, "pid", json_integer(peer.pid));
        json_object_set_new(json, "uid", json_integer(peer.uid));
    } else if (address.ss_family == AF_INET) {
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        json_object_set_new(json, "port", json_integer(ntohs(in->sin_port)));
    } else if (address.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        json_object_set_new(json, "port", json_integer(ntohs(in6->sin6_port)));
    }
    if (*host)
        json_object_set_new(json, "address", json_string(host));
}

static void add_client(void *arg, const struct client_view *client)
{
    json_t *json = json_pack("{s:I, s:I, s:s, s:s}", "id", (json_int_t)client->id, "age_ms",
                             (json_int_t)(client->age_us / 1000), "state", client->state,
                             "waits_for", client->waits_for);

    if (json && client->knows_bytes) {
        json_object_set_new(json, "received", json_integer((json_int_t)client->received));
        json_object_set_new(json, "sent", json_integer((json_int_t)client->sent));
        json_object_set_new(json, "input_waits", json_integer((json_int_t)client->input_waits));
        json_object_set_new(json, "output_waits", json_integer((json_int_t)client->output_waits));
    }
    if (json)
        add_peer(json, client->fd);
    json_array_append_new(arg, json);
}

/* A keeper lists the clients that wait in it, and its runner completes the list. */
static char *clients(struct question *question)
{
    const struct rpd_service *service = service_in(question);
    json_t *reply, *list = NULL;
    json_int_t count = 0;

    if (!service)
        return refuse(question->id, "no such \"service\" here");
    if (question->subject->completes) {
        list = json_incref(json_object_get(question->request, "clients"));
        count = json_integer_value(json_object_get(question->request, "count"));
    }
    if (!list)
        list = json_array();
    count += (json_int_t)service_visit_clients(service, CLIENTS_SHOWN, add_client, list);
    json_object_set_new(question->request, "clients", json_incref(list));
    json_object_set_new(question->request, "count", json_integer(count));
    question->needs_runner = true;
    reply = answer(question->id, true);
    json_object_set_new(reply, "count", json_integer(count));
    json_object_set_new(reply, "clients", list);
    return line_of(reply);
}

static char *end_client(struct question *question)
{
    struct rpd_service *service = service_in(question);
    const json_int_t client = json_integer_value(json_object_get(question->request, "client"));

    if (!service)
        return refuse(question->id, "no such \"service\" here");
    if (client > 0 && service_end_client(service, (uint64_t)client))
        return line_of(answer(question->id, true));
    question->needs_runner = true;
    return refuse(question->id, "no such \"client\" there");
}

/* ---- reload ------------------------------------------------------------------------------ */

static json_t *text_or_null(const char *text)
{
    return text ? text_of(text) : NULL;
}

static json_t *changes_of(const struct plan *plan)
{
    json_t *changes = json_array();

    for (size_t i = 0; plan && i < plan->count; i++) {
        const struct plan_change *change = &plan->changes[i];

        json_array_append_new(changes,
                              json_pack("{s:o, s:o?, s:o?, s:s}", "key", text_of(change->path),
                                        "old", text_or_null(change->old_text), "new",
                                        text_or_null(change->new_text), "how",
                                        config_effect_word(change->effect)));
    }
    return changes;
}

static json_t *errors_of(const struct control_reload_end *end)
{
    json_t *errors = json_array();

    for (size_t i = 0; i < end->error_count; i++)
        json_array_append_new(errors, text_of(end->errors[i].text));
    return errors;
}

char *control_reload_reply(const char *id, const struct control_reload_end *end)
{
    json_t *number = id ? json_loads(id, JSON_DECODE_ANY, NULL) : NULL;
    json_t *reply = answer(number, end->code == 0);

    json_decref(number);
    if (end->code != 0) {
        json_object_set_new(reply, "code", json_integer(end->code));
        json_object_set_new(reply, "error",
                            text_of(end->error_count > 0 ? end->errors[0].text : "out of memory"));
        json_object_set_new(reply, "errors", errors_of(end));
    }
    json_object_set_new(reply, "changes", changes_of(end->plan));
    json_object_set_new(reply, "generation", json_integer(end->generation));
    json_object_set_new(reply, "text", text_of(end->text));
    return line_of(reply);
}

static char *dump(const json_t *id)
{
    return id ? json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
}

/* "do": "reload", and "check", "fresh", "force", "timeout_ms". */
static char *reload(struct question *question, struct control_reply *reply)
{
    const struct control_subject *subject = question->subject;
    const json_t *request = question->request;
    const json_int_t timeout_ms = json_integer_value(json_object_get(request, "timeout_ms"));
    const struct control_reload asked = {
        .fresh = json_is_true(json_object_get(request, "fresh")),
        .force = json_is_true(json_object_get(request, "force")),
        .timeout_us = timeout_ms > 0 ? (uint64_t)timeout_ms * 1000 : 0,
    };
    char *id = dump(question->id), *line;

    if (!json_is_true(json_object_get(request, "check"))) {
        reply->ticket = subject->reload(subject->reload_arg, &asked);
        reply->id = id;
        return NULL;
    }
    line = control_reload_reply(id, subject->check(subject->reload_arg));
    free(id);
    return line;
}

static const struct {
    const char *name;
    char *(*reply)(struct question *question);
} requests[] = {{"ping", ping},   {"status", status},   {"watch", watch},
                {"log", set_log}, {"clients", clients}, {"end", end_client}};

/* False: no runner can answer, so this process answers with what it knows. */
static bool ask_runner(const struct question *question, uint64_t number)
{
    const struct control_subject *subject = question->subject;
    char *text = subject->relay && question->needs_runner
                     ? json_dumps(question->request, JSON_COMPACT)
                     : NULL;
    const bool is_asked = text &&
                          subject->relay->ask(subject->relay_arg, number, text, strlen(text));

    free(text);
    return is_asked;
}

static char *reply_to(struct question *question, struct control_reply *reply)
{
    const json_t *version = json_object_get(question->request, "v");
    const char *what = json_string_value(json_object_get(question->request, "do"));

    question->id = json_object_get(question->request, "id");
    if (!json_is_object(question->request))
        return refuse(NULL, "expected a JSON object in a line");
    if (!json_is_integer(version) || json_integer_value(version) != VERSION)
        return refuse(question->id, "expected \"v\": 1");
    for (size_t i = 0; what && i < sizeof requests / sizeof *requests; i++) {
        if (strcmp(what, requests[i].name) != 0)
            continue;
        reply->watches |= requests[i].reply == watch;
        return requests[i].reply(question);
    }
    if (what && strcmp(what, "reload") == 0 && question->subject->reload)
        return reload(question, reply);
    return refuse(question->id, "expected \"do\": \"ping\", \"status\", \"watch\", \"log\", "
                                "\"clients\", \"end\" or \"reload\"");
}

void control_reply(const struct control_subject *subject, const char *request, size_t size,
                   struct control_reply *reply)
{
    struct question question = {
        .subject = subject,
        .request = json_loadb(request, size, JSON_REJECT_DUPLICATES, NULL),
    };

    reply->line = reply_to(&question, reply);
    reply->is_asked = ask_runner(&question, reply->number);
    if (reply->is_asked) {
        free(reply->line);
        reply->line = NULL;
    }
    json_decref(question.request);
}

char *control_event(const struct rpd_service *service, enum rpd_phase phase)
{
    json_t *event = json_pack("{s:i, s:s, s:s, s:s}", "v", VERSION, "event", "phase", "service",
                              service->name, "phase", word_of_phase(phase));

    if (event && service_is_degraded(service))
        json_object_set_new(event, "degraded", json_boolean(true));
    return line_of(event);
}
