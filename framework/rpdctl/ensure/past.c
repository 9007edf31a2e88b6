/* What has happened before. See rpdctl/ensure/past.h. */
#include "rpdctl/ensure/past.h"

#include "base/clock.h"
#include "observe/crash_loop.h"
#include "observe/history_view.h"
#include "rpdctl/ensure/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { ENTRIES = 32 };

struct ensure_past {
    struct history_entry entries[ENTRIES]; /* of the first service */
    size_t count;
};

/* ---- reading it ------------------------------------------------------------------------ */

static void look_up(const struct ensure_request *request, struct ensure_past *ret)
{
    const int count = history_view_read(request->dirfd, request->names[0], ret->entries, ENTRIES);

    ret->count = count > 0 ? (size_t)count : 0;
}

/* One that was killed could not say so. No daemon lives, and it is our turn, so we do. */
static void bury_the_silent(const struct ensure_request *request, struct ensure_past *past,
                            const struct instance *seen)
{
    const struct history_entry *last = past->count ? &past->entries[past->count - 1] : NULL;

    if (!last || last->ended)
        return;
    ensure_start_bury(request, last, seen);
    look_up(request, past);
}

struct ensure_past *ensure_past_read(const struct ensure_request *request,
                                     const struct instance *seen)
{
    struct ensure_past *past = calloc(1, sizeof *past);

    if (!past)
        return NULL;
    look_up(request, past);
    bury_the_silent(request, past, seen);
    return past;
}

/* ---- reporting it ------------------------------------------------------------------------- */

static int tell_end(const struct history_entry *end, struct error *error)
{
    error->code = (enum exit_code)end->code;
    if (*end->text)
        snprintf(error->text, sizeof error->text, "%.*s", ERROR_TEXT_MAX - 1, end->text);
    else
        error_set(error, (enum exit_code)end->code, "start", "rpd",
                  "pid %d ended with code %d, without a message", (int)end->pid, end->code);
    return end->code;
}

/* One that was there when we came, and drained, say. */
static bool was_bound_before(const struct ensure_past *past, const struct history_entry *end,
                             uint64_t began_ms)
{
    for (size_t i = 0; i < past->count; i++) {
        const struct history_entry *entry = &past->entries[i];

        if (!entry->ended && entry->pid == end->pid && entry->start_time == end->start_time)
            return entry->time_ms < began_ms;
    }
    return false;
}

/* What others have tried while we were waiting for our turn, or what became of
 * our own start once it was bound. A daemon that was killed is started again; and of a clock
 * that was put back nothing can be said. */
static const struct history_entry *failure_since(const struct ensure_past *past, uint64_t began_ms)
{
    const struct history_entry *last = past->count ? &past->entries[past->count - 1] : NULL;

    return last && last->ended && last->code != 0 && last->code != ENSURE_KILLED &&
                   last->time_ms >= began_ms && last->time_ms <= clock_wall_ms() &&
                   !was_bound_before(past, last, began_ms)
               ? last
               : NULL;
}

int ensure_past_tell_failure(const struct ensure_past *past, uint64_t began_ms, struct error *error)
{
    const struct history_entry *failure = failure_since(past, began_ms);

    return failure ? tell_end(failure, error) : 0;
}

int ensure_past_tell_end(const struct ensure_request *request, const struct instance *instance,
                         struct error *error)
{
    struct history_entry end;

    if (history_view_end(request->dirfd, instance->service, instance->pid, instance->start_time,
                         &end)) {
        if (end.code != 0)
            return tell_end(&end, error);
        error_set(error, EXIT_INTERNAL, "ensure", instance->service,
                  "pid %d was stopped before it was ready", (int)instance->pid);
        return EXIT_INTERNAL;
    }
    error_set(error, (enum exit_code)ENSURE_KILLED, "ensure", instance->service,
              "pid %d was gone before it was ready, without a message: was it killed?; see its log",
              (int)instance->pid);
    return ENSURE_KILLED;
}

/* ---- crash loops ------------------------------------------------------------------------- */

static uint64_t changed_ms(const char *path)
{
    struct stat status;

    if (!path || stat(path, &status) < 0)
        return 0;
    return (uint64_t)status.st_ctim.tv_sec * 1000u + (uint64_t)status.st_ctim.tv_nsec / 1000000u;
}

/* Of the configuration and the plugins: a caller that fixes one need not wait. */
static uint64_t last_change_ms(const struct ensure_request *request)
{
    uint64_t last = changed_ms(request->config->path);

    for (size_t i = 0; i < request->count; i++) {
        struct plugin plugin;
        struct error error;
        uint64_t changed = 0;

        if (ensure_request_inspect(request, i, &plugin, &error) == 0)
            changed = changed_ms(plugin.path);
        plugin_finish(&plugin);
        if (changed > last)
            last = changed;
    }
    return last;
}

int ensure_past_tell_crash_loop(const struct ensure_past *past,
                                const struct ensure_request *request, uint64_t since_ms,
                                struct error *error)
{
    const uint64_t now_ms = clock_wall_ms(), changed = last_change_ms(request);
    const struct crash_loop loop = crash_loop_judge(past->entries, past->count, now_ms,
                                                    changed > since_ms ? changed : since_ms);
    const struct history_entry *last;
    char line[ERROR_TEXT_MAX - 100]; /* what is added must have room, too */
    int code;

    if (loop.left_ms == 0)
        return 0;
    for (last = &past->entries[past->count - 1]; !last->ended || last->code == EXIT_RUNNING; last--)
        continue;
    code = tell_end(last, error);
    snprintf(line, sizeof line, "%.*s", (int)sizeof line - 1, error->text);
    snprintf(error->text, sizeof error->text,
             "%s (failed %u times in a row; not tried again for %llu s)", line, loop.failures,
             (unsigned long long)(loop.left_ms + 999) / 1000);
    return code;
}
