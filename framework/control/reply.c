/* Requests and answers. See control/reply.h. */
#include "control/reply.h"

#include "base/build.h"
#include "base/words.h"
#include "library/libjansson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static char *ping(const struct control_subject *subject, json_t *id)
{
    json_t *reply = answer(id, true);

    (void)subject;
    add_process(reply);
    return line_of(reply);
}

static char *status(const struct control_subject *subject, json_t *id)
{
    json_t *reply = answer(id, true);
    json_t *services = json_array();

    add_process(reply);
    FOR_EACH_SERVICE(subject, service)
        json_array_append_new(services, status_of(service));
    json_object_set_new(reply, "services", services);
    return line_of(reply);
}

static char *watch(const struct control_subject *subject, json_t *id)
{
    json_t *reply = answer(id, true);
    json_t *services = json_array();

    FOR_EACH_SERVICE(subject, service)
        json_array_append_new(services, phase_of(service, state_page_phase(&service->state_page)));
    json_object_set_new(reply, "services", services);
    return line_of(reply);
}

static const struct {
    const char *name;
    char *(*reply)(const struct control_subject *subject, json_t *id);
} requests[] = {{"ping", ping}, {"status", status}, {"watch", watch}};

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
        return requests[i].reply(subject, id);
    }
    return refuse(id, "expected \"do\": \"ping\", \"status\" or \"watch\"");
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
