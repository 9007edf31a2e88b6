/* rpdctl doctor: one service, by what its files and its process show. */
#include "rpdctl/service.h"
#include "base/build.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "observe/crash_loop.h"
#include "observe/history_view.h"
#include "observe/instance.h"
#include "observe/instance_ask.h"
#include "observe/metrics_view.h"
#include "plugin/plugin.h"
#include "rpdctl/doctor/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HISTORY_MAX = 200 };

struct patient {
    struct doctor *doctor;
    const char *name;
    struct instance instance;
    struct history_entry *entries; /* oldest first */
    size_t entry_count;
    unsigned found; /* warnings and failures */
};

/* Of a check of this service. */
#define FIND(patient, outcome, check, remedy, ...)                                                 \
    ((patient)->found++,                                                                           \
     doctor_find((patient)->doctor, outcome, (patient)->name, check, remedy, __VA_ARGS__))

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* 0: it is not there. */
static uint64_t changed_ms(const char *path)
{
    struct stat status;

    if (!path || stat(path, &status) < 0)
        return 0;
    return (uint64_t)status.st_mtim.tv_sec * 1000u + (uint64_t)status.st_mtim.tv_nsec / 1000000u;
}

/* ---- its past ------------------------------------------------------------------------------ */

static const struct history_entry *last_end(const struct patient *patient)
{
    for (size_t i = patient->entry_count; i-- > 0;)
        if (patient->entries[i].ended)
            return &patient->entries[i];
    return NULL;
}

static void look_at_clock(struct patient *patient)
{
    enum { A_MINUTE_MS = 60000 };
    const struct history_entry *newest = patient->entry_count > 0
                                             ? &patient->entries[patient->entry_count - 1]
                                             : NULL;

    if (newest && newest->time_ms > now_ms() + A_MINUTE_MS)
        FIND(patient, DOCTOR_WARN, "clock", "set the clock; pauses after crashes go by it",
             "its history has a time that is %llu s ahead: the clock was set back",
             (unsigned long long)(newest->time_ms - now_ms()) / 1000);
}

static void look_at_crashes(struct patient *patient)
{
    enum { A_LOOP = 3 };
    const struct crash_loop loop = crash_loop_judge(patient->entries, patient->entry_count,
                                                    now_ms(), 0);
    const struct history_entry *end = last_end(patient);
    char how[RPDCTL_TEXT_MAX];

    if (!end || end->code == 0)
        return;
    rpdctl_describe_end(end, how);
    if (loop.failures >= A_LOOP)
        FIND(patient, DOCTOR_FAIL, "crash loop",
             "correct what its log says (rpdctl log), then rpdctl forget",
             "%u starts in a row have failed; the last %s", loop.failures, how);
    else if (patient->instance.verdict == STATE_DEAD)
        FIND(patient, DOCTOR_WARN, "end", "see rpdctl log; its next start clears this",
             "its last run %s", how);
}

/* ---- one that does not run ---------------------------------------------------------------------
 */

static bool is_left(const struct patient *patient, const char *suffix)
{
    char name[NAME_MAX + 1];

    snprintf(name, sizeof name, "%s%s", patient->name, suffix);
    return faccessat(patient->doctor->runtime_dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void look_at_leftovers(struct patient *patient)
{
    static const char *const suffixes[] = {".json", ".state", ".metrics", ".control"};
    char left[128] = "";
    size_t used = 0;

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (is_left(patient, suffixes[i]))
            used += (size_t)snprintf(left + used, sizeof left - used, " %s%s", patient->name,
                                     suffixes[i]);
    if (used > 0)
        FIND(patient, DOCTOR_WARN, "leftovers", "rpdctl forget, or its next start, removes them",
             "it does not run, and has left%s", left);
}

/* ---- one that runs ------------------------------------------------------------------------------
 */

static bool is_stopped(pid_t pid)
{
    char path[48], text[512] = "";
    const char *state;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            *text = '\0';
        close(fd);
    }
    state = strrchr(text, ')');
    return state && (state[2] == 'T' || state[2] == 't');
}

static void look_at_loop(struct patient *patient)
{
    const struct instance *instance = &patient->instance;
    const pid_t runner = (pid_t)instance->page.runner_pid;

    if (instance->verdict == STATE_ELSEWHERE) {
        FIND(patient, DOCTOR_WARN, "namespace", "look at it from there",
             "it runs in %s: not all can be seen from here", state_place_text(instance->place));
        return;
    }
    if (instance->verdict != STATE_STALLED)
        return;
    if (is_stopped(instance->pid) || (runner > 0 && is_stopped(runner)))
        FIND(patient, DOCTOR_FAIL, "loop", "let it go on: kill -CONT", "its process %d is stopped",
             (int)instance->pid);
    else
        FIND(patient, DOCTOR_FAIL, "loop",
             "its log names the callback; rpdctl restart ends and starts it",
             "its loop has not turned for %.1f s",
             (double)(clock_us() - state_view_last_turn_us(&instance->page)) / 1e6);
}

static void look_at_files(struct patient *patient)
{
    const struct instance *instance = &patient->instance;
    const char *unreachable = instance_unreachable(instance);

    if (unreachable)
        FIND(patient, DOCTOR_FAIL, "endpoint",
             "if it does not come back, rpdctl restart makes it again",
             "%s: there is no socket, though it runs", unreachable);
    if (instance->has_page && !instance->has_record)
        FIND(patient, DOCTOR_WARN, "record", "if it does not come back, rpdctl restart",
             "it runs, and has no record: rpdctl does not know its endpoints");
    if (!instance->has_page)
        FIND(patient, DOCTOR_WARN, "state page", "see whether that passes; else stop its process",
             "its lock is held, and it has no state page");
}

static void look_at_load(struct patient *patient)
{
    const struct rpd_state_page *page = &patient->instance.page;

    for (size_t i = 0; i < page->part_count; i++) {
        const struct rpd_state_part *part = &page->parts[i];

        if (part->state == RPD_PART_PAUSED)
            FIND(patient, DOCTOR_WARN, "load", "see rpdctl log",
                 "part %s has failed %u times, and is tried again", part->name, part->attempts);
        if (part->state == RPD_PART_STALLED)
            FIND(patient, DOCTOR_WARN, "load", "see rpdctl log", "part %s makes no progress",
                 part->name);
    }
    if (page->flags & RPD_STATE_DEGRADED)
        FIND(patient, DOCTOR_WARN, "degraded", "see rpdctl log",
             "it serves without all that it should have");
}

static void look_at_counts(struct patient *patient)
{
    const struct rpd_state_page *page = &patient->instance.page;

    if (page->errors > 0)
        FIND(patient, DOCTOR_WARN, "errors", "see rpdctl log", "%llu so far; the last: %s",
             (unsigned long long)page->errors, page->error);
    if (page->slow_callbacks > 0)
        FIND(patient, DOCTOR_WARN, "slow callbacks",
             "let it do less in one, or use rpd_job_submit(); slow_ms is the limit",
             "%llu so far; the last took %llu ms: %s", (unsigned long long)page->slow_callbacks,
             (unsigned long long)page->slow_us / 1000, page->slow);
    if (page->accept_pauses > 0)
        FIND(patient, DOCTOR_WARN, "accept pauses", "raise its limits: LimitNOFILE=, MemoryMax=",
             "it had no descriptors or memory for clients %llu times",
             (unsigned long long)page->accept_pauses);
    if (page->jobs_refused > 0)
        FIND(patient, DOCTOR_WARN, "jobs", "more workers, or fewer jobs of a request",
             "%llu were refused, as their queue was full", (unsigned long long)page->jobs_refused);
}

static void look_at_keeper(struct patient *patient)
{
    const struct rpd_state_page *page = &patient->instance.page;

    if (page->generation == 0)
        return;
    if (page->restarts > 0)
        FIND(patient, DOCTOR_WARN, "restarts", "see rpdctl log, and a core file if there is one",
             "its runner has crashed %u times, the last time with %u", page->restarts,
             page->crash_code);
    if (page->runner_pid == 0 && page->phase < RPD_PHASE_DRAINING)
        FIND(patient, DOCTOR_FAIL, "runner", "see rpdctl log", "none runs now; clients wait");
}

/* Of a process that may be looked at. */
static void look_at_descriptors(struct patient *patient)
{
    const pid_t pid = patient->instance.page.runner_pid > 0
                          ? (pid_t)patient->instance.page.runner_pid
                          : patient->instance.pid;
    char path[64], line[256];
    unsigned long long limit = 0, count = 0;
    FILE *limits;
    DIR *stream;

    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    limits = fopen(path, "re");
    while (limits && fgets(line, sizeof line, limits))
        if (strncmp(line, "Max open files", 14) == 0)
            limit = strtoull(line + 14, NULL, 10);
    if (limits)
        fclose(limits);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    stream = limit > 0 ? opendir(path) : NULL;
    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        count += entry->d_name[0] != '.';
    if (stream)
        closedir(stream);
    if (stream && count * 10 >= limit * 9)
        FIND(patient, DOCTOR_WARN, "descriptors",
             "raise its limit: LimitNOFILE=", "%llu of %llu are open", count, limit);
}

/* ---- what it runs, and what is there now -------------------------------------------------------
 */

static bool runs_a_file_that_is_gone(pid_t pid)
{
    static const char suffix[] = " (deleted)";
    char path[48], target[PATH_MAX];
    ssize_t size;

    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    size = readlink(path, target, sizeof target);
    return size >= (ssize_t)sizeof suffix - 1 &&
           memcmp(target + size - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0;
}

/* The version; the rest is each program's own. */
static bool is_same_version(const char *one, const char *other)
{
    const size_t size = strcspn(one, " ");

    return size == strcspn(other, " ") && memcmp(one, other, size) == 0;
}

static void look_at_build(struct patient *patient)
{
    const struct instance *instance = &patient->instance;
    char build[sizeof instance->page.build];

    build_text(build, sizeof build);
    if (runs_a_file_that_is_gone(instance->pid))
        FIND(patient, DOCTOR_WARN, "build", "rpdctl restart",
             "its rpd was replaced or removed since it was started");
    else if (!is_same_version(instance->page.build, build))
        FIND(patient, DOCTOR_WARN, "build", "rpdctl restart, or use the rpdctl beside its rpd",
             "it runs rpd %s, and this is %s", instance->page.build, build);
}

/* When its endpoints were up, of the wall clock. */
static uint64_t started_ms(const struct instance *instance)
{
    const uint64_t since_us = clock_us() - instance->page.bound_us;

    return state_view_has_our_clock(&instance->page) ? now_ms() - since_us / 1000 : 0;
}

static void look_at_plugin(struct patient *patient)
{
    const struct instance *instance = &patient->instance;
    const char *path = instance->record.plugin;
    const struct plugin_search search = {0};
    struct plugin plugin = {.fd = -1};
    const uint64_t started = started_ms(instance);
    struct error error;

    if (!path)
        return;
    if (access(path, F_OK) < 0) {
        FIND(patient, DOCTOR_WARN, "plugin", "install it again: the next start fails (66)",
             "%s: %s", path, strerror(errno));
        return;
    }
    if (plugin_inspect(&plugin, path, &search, &error) < 0) {
        patient->found++;
        doctor_find_error(patient->doctor, DOCTOR_FAIL, patient->name, "plugin", error.text);
    } else if (started > 0 && changed_ms(path) > started) {
        FIND(patient, DOCTOR_WARN, "plugin", "rpdctl restart",
             "%s was changed since it was started", path);
    }
    plugin_finish(&plugin);
}

static void look_at_config(struct patient *patient)
{
    const struct record_view *record = &patient->instance.record;

    if (!record->config)
        return;
    if (access(record->config, F_OK) < 0)
        FIND(patient, DOCTOR_WARN, "configuration", "put it back: the next start fails (66)",
             "%s: %s", record->config, strerror(errno));
    else if (started_ms(&patient->instance) > 0 &&
             changed_ms(record->config) > started_ms(&patient->instance) &&
             doctor_config_differs(patient->doctor, patient->name, record->config,
                                   record->config_digest))
        FIND(patient, DOCTOR_WARN, "configuration", "rpdctl restart",
             "%s differs from what it runs with", record->config);
}

/* ---- snapshots --------------------------------------------------------------------------------
 */

static bool ends_in(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* By the names of two metrics: rpd/metrics.h has them. */
static void look_at_snapshots(struct patient *patient)
{
    enum { OLD_S = 6 * 3600 };
    int64_t saved_s = 0, changes = 0;
    struct metrics_view view;

    if (metrics_view_read(patient->doctor->runtime_dirfd, patient->name, &view) < 0) {
        FIND(patient, DOCTOR_WARN, "metrics", "see rpdctl log",
             "its page of metrics cannot be read: %s", strerror(errno));
        return;
    }
    for (size_t i = 0; i < view.count; i++) {
        if (ends_in(view.rows[i].name, "_last_save"))
            saved_s = view.rows[i].value;
        if (ends_in(view.rows[i].name, "_unsaved_changes"))
            changes = view.rows[i].value;
    }
    if (saved_s > 0 && changes > 0 && (int64_t)time(NULL) - saved_s > OLD_S)
        FIND(patient, DOCTOR_WARN, "snapshot", "see rpdctl log, and how often it saves",
             "%lld changes are not saved, and the last snapshot is %lld h old", (long long)changes,
             (long long)((int64_t)time(NULL) - saved_s) / 3600);
    metrics_view_finish(&view);
}

/* ---- all of it --------------------------------------------------------------------------------
 */

static void look_at_living(struct patient *patient)
{
    look_at_loop(patient);
    look_at_files(patient);
    if (!patient->instance.has_page)
        return;
    look_at_load(patient);
    look_at_counts(patient);
    look_at_keeper(patient);
    if (patient->instance.verdict == STATE_ELSEWHERE)
        return;
    look_at_descriptors(patient);
    look_at_build(patient);
    look_at_plugin(patient);
    look_at_config(patient);
    look_at_snapshots(patient);
}

static void look_at(struct patient *patient, bool is_named)
{
    const struct instance *instance = &patient->instance;

    if (instance->verdict != STATE_DEAD)
        look_at_living(patient);
    else
        look_at_leftovers(patient);
    look_at_clock(patient);
    look_at_crashes(patient);
    if (patient->found > 0)
        return;
    if (instance->verdict != STATE_DEAD)
        doctor_find(patient->doctor, DOCTOR_PASS, patient->name, "service", NULL, "%s, pid %d",
                    state_verdict_text(instance->verdict), (int)instance->pid);
    else if (is_named)
        doctor_find(patient->doctor, DOCTOR_PASS, patient->name, "service", NULL,
                    "it does not run");
}

void doctor_service(struct doctor *doctor, const char *name, bool is_named)
{
    struct patient patient = {.doctor = doctor, .name = name};
    int count;

    patient.entries = calloc(HISTORY_MAX, sizeof *patient.entries);
    instance_look(doctor->runtime_dirfd, name, &patient.instance);
    instance_ask(&patient.instance);
    count = patient.entries && doctor->runtime_dirfd >= 0
                ? history_view_read(doctor->runtime_dirfd, name, patient.entries, HISTORY_MAX)
                : 0;
    patient.entry_count = count > 0 ? (size_t)count : 0;
    look_at(&patient, is_named);
    instance_finish(&patient.instance);
    free(patient.entries);
}
