/* A keeper on its loop: how it handles messages of its runner, and its end. See running.h. */
#include "daemon/running_inside.h"

#include "base/log.h"
#include "daemon/daemon_inside.h"
#include "daemon/publishing.h"
#include "daemon/reload.h"
#include "guard/outcome.h"

#include <stdlib.h>
#include <string.h>

/* The runner has already written its lines to stderr itself. */
void running_note_words(const struct runner_end *end)
{
    static const char said[] = "said ";
    char *lines = strdup(end->earlier), *rest = lines;

    for (char *line; rest && (line = strsep(&rest, "\n"));)
        if (strncmp(line, said, sizeof said - 1) == 0)
            outcome_note(line + sizeof said - 1);
    free(lines);
    if (*end->text)
        outcome_note(end->text);
}

static void on_make_state_pages(void *arg)
{
    const struct running *running = arg;

    running->make_state_pages(running->daemon);
}

static void on_make_metrics_pages(void *arg)
{
    const struct running *running = arg;

    running->make_metrics_pages(running->daemon);
}

static void on_notice(void *arg, const char *text)
{
    struct running *running = arg;

    if (!running->stopping)
        notify_relay(running->notify, text);
}

static void call_idle_exit_off(struct running *running)
{
    running->hidden = false;
    FOR_EACH_SERVICE(running, service)
        service_unhide(service);
}

static void on_serves(void *arg, bool serves)
{
    struct running *running = arg;

    running->notify->relays = serves;
    if (!serves)
        control_lose_answers(running->control);
    if (!serves && running->hidden)
        call_idle_exit_off(running);
}

/* The first word of it; and the answer to running_on_hidden_long_enough(). */
static void on_idle(void *arg, bool is_idle)
{
    struct running *running = arg;

    if (running->stopping)
        return;
    if (!running->hidden) {
        if (is_idle && !running->idle_is_asked && keeper_may_rest(running->keeper))
            running_try_idle_exit(running);
        running->idle_is_asked = false;
        return;
    }
    if (!running->idle_is_asked)
        return;
    running->idle_is_asked = false;
    if (is_idle && keeper_may_rest(running->keeper)) {
        running->hidden = false;
        running_stop(running, EXIT_STOPPED, "no client came for idle_exit_s");
        return;
    }
    call_idle_exit_off(running);
    log_line(RPD_LOG_INFO, NULL, "idle exit cancelled: a client came");
}

static void on_ending(void *arg, int code)
{
    struct running *running = arg;

    running_stop(running, code, "a service cannot go on");
}

static void on_answered(void *arg, uint64_t number, char *take_line)
{
    const struct running *running = arg;

    control_answer(running->control, number, take_line);
}

/* A requested stop keeps the code of its reason. */
static void on_ended(void *arg, const struct runner_end *end)
{
    struct running *running = arg;

    if (end->code != 0 && (running->exit_code == 0 || running->exit_code == end->code)) {
        running_note_words(end);
        running->exit_code = end->code;
        running->end_signal = end->signal_number;
    }
    if (!running->stopping)
        running_stop(running, running->exit_code, "the runner has ended");
    running_leave_when_stopped(running);
}

/* ---- reloads ------------------------------------------------------------------------- */

static struct daemon *daemon_of(void *arg)
{
    return ((struct running *)arg)->daemon;
}

static bool on_make_next_pages(void *arg, struct state_page *pages)
{
    return daemon_publish_pages_of_next(daemon_of(arg), pages);
}

static bool on_switching(void *arg)
{
    return reload_switching(daemon_of(arg)->reload);
}

static void on_took_over(void *arg, struct state_page *pages)
{
    reload_took_over(daemon_of(arg)->reload, pages);
}

static void on_renewed(void *arg, const struct keeper_renewed *how)
{
    reload_renewed(daemon_of(arg)->reload, how);
}

static void on_changed(void *arg, int code, const char *errors)
{
    reload_changed(daemon_of(arg)->reload, code, errors);
}

static void on_rolled_back(void *arg, const char *how)
{
    reload_rolled_back(daemon_of(arg)->reload, how);
}

static void on_settled(void *arg)
{
    reload_settled(daemon_of(arg)->reload);
}

static const struct keeper_events events = {
    .make_state_pages = on_make_state_pages,
    .make_metrics_pages = on_make_metrics_pages,
    .notice = on_notice,
    .serves = on_serves,
    .idle = on_idle,
    .ending = on_ending,
    .answered = on_answered,
    .ended = on_ended,
    .make_next_pages = on_make_next_pages,
    .switching = on_switching,
    .took_over = on_took_over,
    .renewed = on_renewed,
    .changed = on_changed,
    .rolled_back = on_rolled_back,
    .settled = on_settled,
};

static void on_level(void *arg, const struct rpd_service *service, enum rpd_log_level level)
{
    const struct running *running = arg;

    keeper_set_level(running->keeper, service, level);
}

static bool on_ask(void *arg, uint64_t number, const char *request, size_t size)
{
    const struct running *running = arg;

    return keeper_ask(running->keeper, number, request, size);
}

const struct control_relay *running_relay(void)
{
    static const struct control_relay relay = {on_level, on_ask};

    return &relay;
}

int running_keep(struct running *running)
{
    const uint64_t now_us = running->beat_us;

    FOR_EACH_SERVICE(running, service) {
        service->phase = RPD_PHASE_WARMING;
        state_page_set_phase(&service->state_page, RPD_PHASE_WARMING, now_us);
    }
    running->keeper->events = &events;
    running->keeper->arg = running;
    return keeper_serve(running->keeper, running->base, &running->place_pool);
}
