/* The beginning of the daemon's step "code", and its step "publish". See publishing.h. */
#include "daemon/publishing.h"

#include "base/clock.h"
#include "base/output.h"
#include "config/digest.h"
#include "daemon/daemon_inside.h"
#include "daemon/own_process.h"
#include "daemon/restart.h"
#include "guard/outcome.h"
#include "guard/watchdog.h"
#include "observe/history_view.h"
#include "publish/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- recall ---- */

/* They only inform: a daemon works equally well without one. */
static void open_histories(const struct daemon *daemon, unsigned long long start_time)
{
    FOR_EACH_SERVICE(daemon, service) {
        const int fd = history_open(daemon->runtime_dirfd, service->name);

        if (fd < 0)
            log_line(RPD_LOG_WARNING, service->name,
                     "cannot open %s/%s.history: %s; its end will not be recorded",
                     daemon->runtime_dir, service->name, strerror(errno));
        else if (outcome_add_history(fd, service->name, start_time) < 0)
            log_line(RPD_LOG_WARNING, service->name, "out of memory: its end will not be recorded");
    }
}

static uint64_t last_change_ms(const struct daemon *daemon)
{
    uint64_t last_ms = restart_changed_ms(daemon->config->path);

    FOR_EACH_SERVICE(daemon, service) {
        const uint64_t changed_ms = restart_changed_ms(service->plugin.path);

        if (changed_ms > last_ms)
            last_ms = changed_ms;
    }
    return last_ms;
}

/* Under a manager, the endpoints are up while we wait, so clients wait, too. */
int daemon_recall(struct daemon *daemon, struct error *error)
{
    char boot_id[BOOT_ID_SIZE];
    unsigned long long start_time;
    struct restart restart;

    (void)error;
    if (!is_managed(daemon))
        return 0;
    watchdog_disarm(WATCHDOG_START);
    own_process_identity(boot_id, &start_time);
    FOR_EACH_SERVICE(daemon, service) {
        /* It has no name here: a history that is moved or made again is not this one. */
        const int kept = restart_recall(daemon->runtime_dirfd, service->name);

        if (kept >= 0 && outcome_add_kept_history(kept, service->name, start_time) < 0)
            log_line(RPD_LOG_WARNING, service->name, "out of memory: its end will not be kept");
    }
    open_histories(daemon, start_time);
    restart = restart_judge(daemon->runtime_dirfd, daemon->services[0].name,
                            last_change_ms(daemon));
    if (restart.left_ms > 0)
        restart_wait(&restart, &daemon->notify);
    return 0;
}

/* ---- publish ---- */

/* What the history knows of earlier starts. */
static void show_past(const struct daemon *daemon)
{
    enum { LOOKED_AT = 1000 };
    struct history_entry *entries = calloc(LOOKED_AT, sizeof *entries);

    FOR_EACH_SERVICE(daemon, service) {
        uint64_t *const *metrics = service->metrics.metrics;
        const int count = entries ? history_view_read(daemon->runtime_dirfd, service->name, entries,
                                                      LOOKED_AT)
                                  : 0;
        int64_t starts = 1, failed = 0;

        for (int i = 0; i < count; i++) {
            starts += !entries[i].ended;
            failed += entries[i].ended && entries[i].code != 0;
        }
        rpd_metric_set(metrics[METRIC_STARTS], starts);
        rpd_metric_set(metrics[METRIC_FAILED_ENDS], failed);
        rpd_metric_set(metrics[METRIC_GENERATION], 1);
    }
    free(entries);
}

static int publish_records(const struct daemon *daemon, const char *boot_id,
                           unsigned long long start_time, struct error *error)
{
    char digest[CONFIG_DIGEST_SIZE];
    const struct record_content common = {
        .config = daemon->config->path,
        .config_digest = digest,
        .control = daemon->control.path,
        .log = output_place(),
        .boot_id = boot_id,
        .start_time = start_time,
    };

    config_digest(daemon->config, digest);
    FOR_EACH_SERVICE(daemon, service)
        if (service_publish_record(service, daemon->runtime_dirfd, daemon->runtime_dir, &common,
                                   error) < 0)
            return -1;
    return 0;
}

int daemon_publish(struct daemon *daemon, struct error *error)
{
    char boot_id[BOOT_ID_SIZE];
    struct state_page_identity state = {.boot_id = boot_id, .bound_us = daemon->bound_us};

    own_process_identity(boot_id, &state.start_time);
    show_past(daemon);
    FOR_EACH_SERVICE(daemon, service)
        if (service_publish_state(service, daemon->runtime_dirfd, daemon->runtime_dir, &state,
                                  error) < 0 ||
            service_publish_metrics(service, daemon->runtime_dirfd, daemon->runtime_dir, &state,
                                    error) < 0)
            return -1;
    if (publish_records(daemon, boot_id, state.start_time, error) < 0)
        return -1;
    if (!is_managed(daemon))
        open_histories(daemon, state.start_time);
    return 0;
}

void daemon_publish_records(const struct daemon *daemon)
{
    char boot_id[BOOT_ID_SIZE];
    unsigned long long start_time;
    struct error error;

    own_process_identity(boot_id, &start_time);
    if (publish_records(daemon, boot_id, start_time, &error) < 0)
        log_line(RPD_LOG_ERROR, NULL, "%s", error.text);
}

bool daemon_publish_pages_of_next(const struct daemon *daemon, struct state_page *pages)
{
    char boot_id[BOOT_ID_SIZE];
    struct state_page_identity identity = {
        .boot_id = boot_id, .bound_us = daemon->bound_us, .is_next = true};
    struct error error;

    own_process_identity(boot_id, &identity.start_time);
    for (size_t i = 0; i < daemon->service_count; i++) {
        identity.service = daemon->services[i].name;
        if (state_page_create(&pages[i], daemon->runtime_dirfd, daemon->runtime_dir, &identity,
                              &error) == 0)
            continue;
        log_line(RPD_LOG_ERROR, identity.service, "%s", error.text);
        return false;
    }
    return true;
}

static void publish_next_page(struct daemon *daemon, struct rpd_service *service,
                              const struct state_page_identity *identity)
{
    struct state_page old = service->state_page;
    struct error error;

    state_page_init(&service->state_page);
    service->state_page.keeps_fd = true;
    if (service_publish_state(service, daemon->runtime_dirfd, daemon->runtime_dir, identity,
                              &error) < 0) {
        log_line(RPD_LOG_ERROR, service->name, "%s", error.text);
        service->state_page = old;
        return;
    }
    state_page_set_phase(&service->state_page, service->phase, clock_us());
    state_page_remove(&old);
}

void daemon_publish_next_metrics(void *arg)
{
    struct daemon *daemon = arg;
    char boot_id[BOOT_ID_SIZE];
    struct state_page_identity identity = {.boot_id = boot_id};
    struct error error;

    own_process_identity(boot_id, &identity.start_time);
    FOR_EACH_SERVICE(daemon, service)
        if (service_publish_metrics(service, daemon->runtime_dirfd, daemon->runtime_dir, &identity,
                                    &error) < 0)
            log_line(RPD_LOG_ERROR, service->name, "%s", error.text);
}

void daemon_publish_next_pages(void *arg)
{
    struct daemon *daemon = arg;
    char boot_id[BOOT_ID_SIZE];
    struct state_page_identity identity = {.boot_id = boot_id, .bound_us = daemon->bound_us};

    own_process_identity(boot_id, &identity.start_time);
    FOR_EACH_SERVICE(daemon, service)
        publish_next_page(daemon, service, &identity);
}

void daemon_unpublish(struct daemon *daemon)
{
    FOR_EACH_SERVICE(daemon, service)
        service_unpublish(service);
}
