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
static void ask_for_reload(const struct control_subject *subject, const json_t *request,
                           struct control_answer *ret)
{
    const json_int_t timeout_ms = json_integer_value(json_object_get(request, "timeout_ms"));
    const struct control_reload asked = {
        .fresh = json_is_true(json_object_get(request, "fresh")),
        .force = json_is_true(json_object_get(request, "force")),
        .timeout_us = timeout_ms > 0 ? (uint64_t)timeout_ms * 1000 : 0,
    };
    char *id = dump(json_object_get(request, "id"));

    if (json_is_true(json_object_get(request, "check"))) {
        ret->line = control_reload_reply(id, subject->check(subject->arg));
        free(id);
        return;
    }
    ret->ticket = subject->reload(subject->arg, &asked);
    ret->id = id;
}

/* ---- which request it is ------------------------------------------------------------------ */

static const struct {
    const char *name;
    char *(*reply)(const struct control_subject *subject, json_t *id);
} requests[] = {{"ping", ping}, {"status", status}, {"watch", watch}};

static void reply_to(const struct control_subject *subject, const json_t *request,
                     struct control_answer *ret)
{
    const json_t *version = json_object_get(request, "v");
    const char *what = json_string_value(json_object_get(request, "do"));
    json_t *id = json_object_get(request, "id");

    if (!json_is_object(request)) {
        ret->line = refuse(NULL, "expected a JSON object in a line");
        return;
    }
    if (!json_is_integer(version) || json_integer_value(version) != VERSION) {
        ret->line = refuse(id, "expected \"v\": 1");
        return;
    }
    for (size_t i = 0; what && i < sizeof requests / sizeof *requests; i++) {
        if (strcmp(what, requests[i].name) != 0)
            continue;
        ret->watches = requests[i].reply == watch;
        ret->line = requests[i].reply(subject, id);
        return;
    }
    if (what && strcmp(what, "reload") == 0 && subject->reload)
        ask_for_reload(subject, request, ret);
    else
        ret->line = refuse(id, "expected \"do\": \"ping\", \"status\", \"watch\" or \"reload\"");
}

struct control_answer control_reply(const struct control_subject *subject, const char *request,
                                    size_t size)
{
    json_t *json = json_loadb(request, size, JSON_REJECT_DUPLICATES, NULL);
    struct control_answer answer = {0};

    reply_to(subject, json, &answer);
    json_decref(json);
    return answer;
}

char *control_event(const struct rpd_service *service, enum rpd_phase phase)
{
    json_t *event = json_pack("{s:i, s:s, s:s, s:s}", "v", VERSION, "event", "phase", "service",
                              service->name, "phase", word_of_phase(phase));

    if (event && service_is_degraded(service))
        json_object_set_new(event, "degraded", json_boolean(true));
    return line_of(event);
}
