/* Reloads with a keeper: live changes are made by the runner first, then here; everything else
 * takes the next generation. See reload.h. */
#include "daemon/reload.h"

#include "base/log.h"
#include "daemon/daemon_inside.h"
#include "daemon/memory_left.h"
#include "guard/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool reload_may_begin(const struct reload *reload)
{
    return keeper_may_renew(&reload->daemon->keeper);
}

/* ---- the start ------------------------------------------------------------------------- */

/* Two generations are loaded for a while, and the new one is likely to take what the old one
 * does. */
static bool has_memory(struct reload *reload)
{
    enum { MIB = 1 << 20 };
    const uint64_t needed = keeper_runner_memory(&reload->daemon->keeper), left = memory_left();

    if (reload->asked.force || needed <= left)
        return true;
    error_list_add(
        &reload->errors, EXIT_SYSTEM, "reload", "memory",
        "a new generation beside the old one, which has %llu MiB, and %llu MiB are left: "
        "free some, or --force",
        (unsigned long long)(needed / MIB), (unsigned long long)(left / MIB));
    return false;
}

static int copy_config(struct reload *reload)
{
    const int copy = config_copy(&reload->live.config);

    if (copy < 0)
        error_list_add(&reload->errors, EXIT_SYSTEM, "reload", "configuration",
                       "cannot copy it: %s; free memory or descriptors", strerror(errno));
    return copy;
}

static void begin_change(struct reload *reload)
{
    const int copy = copy_config(reload);

    if (copy >= 0)
        reload->is_prepared = live_prepare(reload->daemon, &reload->live, &reload->errors) == 0;
    if (reload->is_prepared) {
        keeper_change(&reload->daemon->keeper, copy);
        return;
    }
    if (copy > 0)
        close(copy);
    reload_end(reload);
}

static void begin_generation(struct reload *reload)
{
    const int copy = has_memory(reload) ? copy_config(reload) : -1;

    if (copy < 0) {
        reload_end(reload);
        return;
    }
    log_line(RPD_LOG_INFO, NULL, "reload: generation %u loads",
             reload->daemon->keeper.last_generation + 1);
    keeper_renew(&reload->daemon->keeper, copy, reload->asked.timeout_us);
}

void reload_by_keeper(struct reload *reload)
{
    if (reload->asked.fresh || plan_has(&reload->live.plan, EFFECT_GENERATION))
        begin_generation(reload);
    else
        begin_change(reload);
}

/* ---- live changes --------------------------------------------------------------------------- */

static void add_lines(struct reload *reload, int code, const char *lines)
{
    char *copy = strdup(lines), *rest = copy;

    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        struct error error = {.code = (enum exit_code)code};

        snprintf(error.text, sizeof error.text, "%s", line);
        if (*line)
            error_list_push(&reload->errors, &error);
    }
    free(copy);
}

void reload_changed(struct reload *reload, int code, const char *errors)
{
    struct daemon *daemon = reload->daemon;

    if (reload->state != RELOAD_RUNS)
        return;
    if (code != 0) {
        live_forget(daemon, &reload->live);
        add_lines(reload, code, errors);
    } else {
        notify_reloading(&daemon->notify);
        live_apply(daemon, &reload->live);
        notify_reloaded(&daemon->notify);
        reload_describe_live(reload);
    }
    reload_end(reload);
}

/* ---- a generation -----------------------------------------------------------------------------
 */

bool reload_switching(struct reload *reload)
{
    if (live_prepare(reload->daemon, &reload->live, &reload->errors) < 0)
        return false;
    reload->is_prepared = true;
    notify_reloading(&reload->daemon->notify);
    return true;
}

void reload_took_over(struct reload *reload, struct state_page *pages)
{
    struct daemon *daemon = reload->daemon;

    for (size_t i = 0; i < daemon->service_count; i++)
        state_page_take_over(&daemon->services[i].state_page, &pages[i]);
    live_apply(daemon, &reload->live);
    reload->took_over = true;
}

/* "said TEXT\n" each, before the last one. */
static void add_earlier(struct reload *reload, int code, const char *earlier)
{
    static const char said[] = "said ";

    for (const char *line = earlier; line && *line;) {
        const size_t size = strcspn(line, "\n");
        struct error error = {.code = (enum exit_code)code};

        if (size > sizeof said && strncmp(line, said, sizeof said - 1) == 0) {
            snprintf(error.text, sizeof error.text, "%.*s", (int)(size - sizeof said + 1),
                     line + sizeof said - 1);
            error_list_push(&reload->errors, &error);
        }
        line += size + (line[size] == '\n');
    }
}

static void fail(struct reload *reload, const struct keeper_renewed *how)
{
    add_earlier(reload, how->code, how->earlier);
    if (*how->text)
        add_lines(reload, how->code, how->text);
    if (!reload->is_prepared)
        return;
    live_forget(reload->daemon, &reload->live);
    notify_reloaded(&reload->daemon->notify);
}

void reload_renewed(struct reload *reload, const struct keeper_renewed *how)
{
    struct daemon *daemon = reload->daemon;

    if (reload->state != RELOAD_RUNS)
        return;
    if (how->code != 0) {
        fail(reload, how);
    } else {
        notify_reloaded(&daemon->notify);
        outcome_generation(daemon->keeper.generation, "serves");
        snprintf(reload->text, sizeof reload->text, "generation %u serves",
                 daemon->keeper.generation);
    }
    reload_end(reload);
}

/* ---- after it
 * ------------------------------------------------------------------------------------ */

void reload_rolled_back(struct reload *reload, const char *how)
{
    struct daemon *daemon = reload->daemon;

    char text[400];

    snprintf(text, sizeof text,
             "reload: rolled back: %s; generation %u, which was still warm, serves again", how,
             daemon->keeper.generation);
    log_line(RPD_LOG_ERROR, NULL, "%s", text);
    reload_show_error(reload, text);
    outcome_generation(daemon->keeper.generation, "serves again: rolled back");
    live_forget(daemon, &reload->trial);
    live_apply(daemon, &reload->trial);
    live_finish(&reload->trial);
}

void reload_settled(struct reload *reload)
{
    if (reload->state == RELOAD_RUNS && reload->took_over)
        reload->is_settled = true;
    else
        live_finish(&reload->trial);
}
