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

/* A text of a plugin's, which may not be UTF-8. */
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

/* ---- what is known of a service ------------------------------------------------------- */

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

/* What its state page shows, but of now. */
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

static char *ping(const struct control_subject *subject, const json_t *request, json_t *id)
{
    json_t *reply = answer(id, true);

    (void)subject;
    (void)request;
    add_process(reply);
    return line_of(reply);
}

static char *status(const struct control_subject *subject, const json_t *request, json_t *id)
{
    json_t *reply = answer(id, true);
    json_t *services = json_array();

    (void)request;
    add_process(reply);
    FOR_EACH_SERVICE(subject, service)
        json_array_append_new(services, status_of(service));
    json_object_set_new(reply, "services", services);
    return line_of(reply);
}

static char *watch(const struct control_subject *subject, const json_t *request, json_t *id)
{
    json_t *reply = answer(id, true);
    json_t *services = json_array();

    (void)request;
    FOR_EACH_SERVICE(subject, service)
        json_array_append_new(services, phase_of(service, state_page_phase(&service->state_page)));
    json_object_set_new(reply, "services", services);
    return line_of(reply);
}

/* The service that a request names; NULL: there is none. */
static struct rpd_service *service_in(const struct control_subject *subject, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "service"));

    FOR_EACH_SERVICE(subject, service)
        if (name && strcmp(name, service->name) == 0)
            return service;
    return NULL;
}

/* Sets the level of a service's log. */
static char *set_log(const struct control_subject *subject, const json_t *request, json_t *id)
{
    const char *const *levels = config_key_at("log.level")->choices;
    const char *level = json_string_value(json_object_get(request, "level"));
    const struct rpd_service *service = service_in(subject, request);

    if (!service)
        return refuse(id, "no such \"service\" here");
    for (int i = 0; level && levels[i]; i++)
        if (strcmp(level, levels[i]) == 0) {
            log_set_level(service->name, (enum rpd_log_level)i);
            log_line(RPD_LOG_INFO, service->name, "log: its level is %s now", level);
            return line_of(answer(id, true));
        }
    return refuse(id, "expected \"level\": \"error\", \"warning\", \"info\" or \"debug\"");
}

enum { CLIENTS_SHOWN = 1000 };

/* Who it is: a process, by the kernel's word of when it connected, or an address. */
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

static char *clients(const struct control_subject *subject, const json_t *request, json_t *id)
{
    const struct rpd_service *service = service_in(subject, request);
    json_t *reply, *list;

    if (!service)
        return refuse(id, "no such \"service\" here");
    reply = answer(id, true);
    list = json_array();
    json_object_set_new(
        reply, "count",
        json_integer((json_int_t)service_visit_clients(service, CLIENTS_SHOWN, add_client, list)));
    json_object_set_new(reply, "clients", list);
    return line_of(reply);
}

static char *end_client(const struct control_subject *subject, const json_t *request, json_t *id)
{
    struct rpd_service *service = service_in(subject, request);
    const json_int_t client = json_integer_value(json_object_get(request, "client"));

    if (!service)
        return refuse(id, "no such \"service\" here");
    if (client <= 0 || !service_end_client(service, (uint64_t)client))
        return refuse(id, "no such \"client\" there");
    return line_of(answer(id, true));
}

static const struct {
    const char *name;
    char *(*reply)(const struct control_subject *subject, const json_t *request, json_t *id);
} requests[] = {{"ping", ping},   {"status", status},   {"watch", watch},
                {"log", set_log}, {"clients", clients}, {"end", end_client}};

static char *reply_to(const struct control_subject *subject, const json_t *request,
                      bool *ret_watches)
{
    const json_t *version = json_object_get(request, "v");
    const char *what = json_string_value(json_object_get(request, "do"));
    json_t *id = json_object_get(request, "id");

    if (!json_is_object(request))
        return refuse(NULL, "expected a JSON object in a line");
    if (!json_is_integer(version) || json_integer_value(version) != VERSION)
        return refuse(id, "expected \"v\": 1");
    for (size_t i = 0; what && i < sizeof requests / sizeof *requests; i++) {
        if (strcmp(what, requests[i].name) != 0)
            continue;
        *ret_watches |= requests[i].reply == watch;
        return requests[i].reply(subject, request, id);
    }
    return refuse(id, "expected \"do\": \"ping\", \"status\", \"watch\", \"log\", \"clients\" "
                      "or \"end\"");
}

char *control_reply(const struct control_subject *subject, const char *request, size_t size,
                    bool *ret_watches)
{
    json_t *json = json_loadb(request, size, JSON_REJECT_DUPLICATES, NULL);
    char *reply = reply_to(subject, json, ret_watches);

    json_decref(json);
    return reply;
}

char *control_event(const struct rpd_service *service, enum rpd_phase phase)
{
    json_t *event = json_pack("{s:i, s:s, s:s, s:s}", "v", VERSION, "event", "phase", "service",
                              service->name, "phase", word_of_phase(phase));

    if (event && service_is_degraded(service))
        json_object_set_new(event, "degraded", json_boolean(true));
    return line_of(event);
}
