/* Looks at services for `rpdctl status`: nothing is asked, nothing waits. See
 * rpdctl/status/status.h. */
#include "base/clock.h"
#include "observe/service_names.h"
#include "rpdctl/status/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool path_is_gone(const char *endpoint)
{
    static const char prefix[] = "unix:/";
    struct stat status;

    return strncmp(endpoint, prefix, sizeof prefix - 1) == 0 &&
           stat(endpoint + sizeof prefix - 2, &status) < 0 && errno == ENOENT;
}

static void look(int runtime_dirfd, const char *service, struct status_row *row)
{
    struct instance *instance = &row->instance;

    instance_look(runtime_dirfd, service, instance);
    history_view_end(runtime_dirfd, service, instance->verdict == STATE_DEAD ? instance->pid : 0,
                     instance->start_time, &row->end);
    /* While it drains its paths are withdrawn. */
    if (instance->verdict == STATE_DRAINING)
        return;
    for (size_t i = 0; i < instance->record.endpoint_count; i++)
        row->is_gone[i] = path_is_gone(instance->record.endpoints[i]);
}

/* Locks stay for ever; a record or a page that stays is one of a crash. */
static bool is_worth_a_row(const struct instance *instance)
{
    return instance->verdict != STATE_DEAD || instance->has_record || *instance->page.magic;
}

static int look_at_all(int runtime_dirfd, struct status *status)
{
    struct service_names names;
    int failed = service_names_read(runtime_dirfd, &names);

    if (!failed && names.count > 0) {
        status->rows = calloc(names.count, sizeof *status->rows);
        failed = status->rows ? 0 : -1;
    }
    for (size_t i = 0; !failed && i < names.count; i++) {
        struct status_row *row = &status->rows[status->count];

        *row = (struct status_row){0};
        look(runtime_dirfd, names.names[i], row);
        if (is_worth_a_row(&row->instance))
            status->count++;
        else
            instance_finish(&row->instance);
    }
    service_names_finish(&names);
    return failed;
}

static int look_at_one(int runtime_dirfd, const char *service, struct status *status)
{
    status->rows = calloc(1, sizeof *status->rows);
    if (!status->rows)
        return -1;
    status->count = 1;
    if (runtime_dirfd >= 0)
        look(runtime_dirfd, service, status->rows);
    else /* (It is a name: it fits.) */
        memccpy(status->rows->instance.service, service, '\0',
                sizeof status->rows->instance.service - 1);
    return 0;
}

static void note_time(struct status *status)
{
    struct timespec boot;

    clock_gettime(CLOCK_BOOTTIME, &boot);
    status->now_us = clock_us();
    status->boot_ms = (uint64_t)boot.tv_sec * 1000u + (uint64_t)boot.tv_nsec / 1000000u;
    status->time_s = time(NULL);
    status->ticks_a_second = sysconf(_SC_CLK_TCK);
}

int status_read(int runtime_dirfd, const char *service, struct status *ret)
{
    *ret = (struct status){0};
    note_time(ret);
    if (service)
        return look_at_one(runtime_dirfd, service, ret);
    return runtime_dirfd < 0 ? 0 : look_at_all(runtime_dirfd, ret);
}

void status_finish(struct status *status)
{
    for (size_t i = 0; i < status->count; i++)
        instance_finish(&status->rows[i].instance);
    free(status->rows);
    *status = (struct status){0};
}

uint64_t status_uptime_ms(const struct status *status, const struct instance *instance)
{
    uint64_t start_ms;

    if (instance->verdict == STATE_DEAD || instance->start_time == 0 || status->ticks_a_second <= 0)
        return 0;
    start_ms = instance->start_time * 1000u / (uint64_t)status->ticks_a_second;
    return status->boot_ms > start_ms ? status->boot_ms - start_ms : 0;
}

#define TEXT_OF(texts, at) ((at) < sizeof(texts) / sizeof *(texts) ? (texts)[at] : "unknown")

const char *status_phase_text(uint32_t phase)
{
    static const char *const texts[] = {"starting", "warming",  "ready",
                                        "draining", "stopping", "stopped"};

    return TEXT_OF(texts, phase);
}

const char *status_part_text(uint32_t part_state)
{
    static const char *const texts[] = {"waiting", "loading", "stalled",
                                        "paused",  "loaded",  "failed"};

    return TEXT_OF(texts, part_state);
}

const char *status_warmup_text(uint32_t warmup)
{
    static const char *const texts[] = {"hold", "serve", "refuse", "backlog"};

    return TEXT_OF(texts, warmup);
}
