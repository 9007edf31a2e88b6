/* Looks at services for `rpdctl status`: it asks nothing of them, and waits only for a loop that
 * rests. See rpdctl/status/status.h. */
#include "base/clock.h"
#include "base/owner.h"
#include "observe/instance_ask.h"
#include "observe/service_names.h"
#include "rpdctl/program.h"
#include "rpdctl/status/status.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An upgrade puts another file in the place of the file that runs. /proc shows this to the
 * process's owner and to root.
 */
static bool runs_a_file_that_is_gone(pid_t pid)
{
    static const char suffix[] = " (deleted)";
    char path[32], target[PATH_MAX];
    ssize_t size;

    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    size = readlink(path, target, sizeof target);
    return size >= (ssize_t)sizeof suffix - 1 &&
           memcmp(target + size - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0;
}

static void look(int runtime_dirfd, const char *service, struct status_row *row)
{
    struct instance *instance = &row->instance;

    instance_look(runtime_dirfd, service, instance);
    row->has_next = instance->verdict != STATE_DEAD &&
                    state_view_read_next(runtime_dirfd, service, &row->next) == 0;
    instance_ask(instance);
    history_view_end(runtime_dirfd, service, instance->verdict == STATE_DEAD ? instance->pid : 0,
                     instance->start_time, &row->end);
    row->is_old = instance->verdict != STATE_DEAD && instance->pid > 0 &&
                  runs_a_file_that_is_gone(instance->pid);
    /* While a service drains, its paths are withdrawn. */
    if (instance->verdict == STATE_DRAINING)
        return;
    for (size_t i = 0; i < instance->record.endpoint_count; i++)
        row->is_gone[i] = instance_is_path_lost(instance->record.endpoints[i]);
}

/* Locks stay for ever; a record or a page that stays was left by a crash. */
static bool is_worth_a_row(const struct instance *instance)
{
    return instance->verdict != STATE_DEAD || instance->has_record || *instance->page.magic;
}

static int add_rows(const char *directory, int runtime_dirfd, const struct service_names *names,
                    struct status *status)
{
    struct status_row *grown = names->count > 0
                                   ? realloc(status->rows,
                                             (status->count + names->count) * sizeof *grown)
                                   : status->rows;

    if (!grown && names->count > 0)
        return -1;
    status->rows = grown;
    for (size_t i = 0; i < names->count; i++) {
        struct status_row *row = &status->rows[status->count];

        memset(row, 0, sizeof *row);
        snprintf(row->directory, sizeof row->directory, "%s", directory);
        look(runtime_dirfd, names->names[i], row);
        if (is_worth_a_row(&row->instance))
            status->count++;
        else
            instance_finish(&row->instance);
    }
    return 0;
}

static int look_at_all(const char *directory, int runtime_dirfd, struct status *status)
{
    struct service_names names;
    int failed = service_names_read(runtime_dirfd, &names);

    if (!failed)
        failed = add_rows(directory, runtime_dirfd, &names, status);
    service_names_finish(&names);
    return failed;
}

static int look_at_one(const char *directory, int runtime_dirfd, const char *service,
                       struct status *status)
{
    status->rows = calloc(1, sizeof *status->rows);
    if (!status->rows)
        return -1;
    status->count = 1;
    snprintf(status->rows->directory, sizeof status->rows->directory, "%s", directory);
    if (runtime_dirfd >= 0)
        look(runtime_dirfd, service, status->rows);
    else /* It is a name: it fits. */
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

int status_read(const char *runtime_dir, int runtime_dirfd, const char *service, struct status *ret)
{
    *ret = (struct status){0};
    note_time(ret);
    if (service)
        return look_at_one(runtime_dir, runtime_dirfd, service, ret);
    return runtime_dirfd < 0 ? 0 : look_at_all(runtime_dir, runtime_dirfd, ret);
}

/* ---- of all users ------------------------------------------------------------------------- */

/* Sockets and other files are named like directories; the directories of other users may be closed
 * to this process. */
static int look_into(const char *path, struct status *status)
{
    struct stat what;
    struct error error;
    int fd, failed;

    if (lstat(path, &what) < 0 || !S_ISDIR(what.st_mode) || access(path, R_OK | X_OK) < 0)
        return 0;
    failed = directory_look(path, &fd, &error);
    if (failed) {
        if (failed < 0)
            rpdctl_say("%s", error.text);
        return 0;
    }
    failed = look_at_all(path, fd, status);
    close(fd);
    return failed;
}

static bool is_one_of(const glob_t *paths, const char *path)
{
    for (size_t i = 0; i < paths->gl_pathc; i++)
        if (strcmp(paths->gl_pathv[i], path) == 0)
            return true;
    return false;
}

/* Any user can make a directory in /tmp: rpdctl looks only into a directory of the user whose
 * number it bears.
 */
static bool is_of_its_user(const char *path)
{
    char name[64];
    struct stat what;

    if (lstat(path, &what) < 0 || !S_ISDIR(what.st_mode) || owner_is_unmapped(what.st_uid))
        return false;
    snprintf(name, sizeof name, "/tmp/rpd-%u", what.st_uid);
    return strcmp(path, name) == 0 && (geteuid() == 0 || owner_is_us(what.st_uid));
}

int status_read_all_users(struct status *ret)
{
    char own[RUNTIME_PATH_MAX];
    struct error error;
    glob_t paths = {0};
    int failed = 0;

    *ret = (struct status){.is_of_all_users = true};
    note_time(ret);
    if (glob("/run/rpd*", 0, NULL, &paths) == GLOB_NOSPACE ||
        glob("/run/user/*/rpd", GLOB_APPEND, NULL, &paths) == GLOB_NOSPACE ||
        glob("/tmp/rpd-[0-9]*", GLOB_APPEND, NULL, &paths) == GLOB_NOSPACE) {
        errno = ENOMEM;
        failed = -1;
    }
    for (size_t i = 0; !failed && i < paths.gl_pathc; i++)
        if (strncmp(paths.gl_pathv[i], "/tmp/", 5) != 0 || is_of_its_user(paths.gl_pathv[i]))
            failed = look_into(paths.gl_pathv[i], ret);
    if (!failed && directory_runtime_path(own, &error) == 0 && !is_one_of(&paths, own))
        failed = look_into(own, ret);
    globfree(&paths);
    return failed;
}

void status_finish(struct status *status)
{
    for (size_t i = 0; i < status->count; i++)
        instance_finish(&status->rows[i].instance);
    free(status->rows);
    *status = (struct status){0};
}

bool status_knows_times(const struct instance *instance)
{
    const struct rpd_state_page *page = &instance->page;

    return !*page->magic ||
           (state_view_has_our_clock(page) &&
            (instance->verdict == STATE_ELSEWHERE || !state_view_is_of_another_boot(page)));
}

uint64_t status_uptime_ms(const struct status *status, const struct instance *instance)
{
    uint64_t start_ms;

    if (instance->verdict == STATE_DEAD || !status_knows_times(instance) ||
        instance->start_time == 0 || status->ticks_a_second <= 0)
        return 0;
    start_ms = instance->start_time * 1000u / (uint64_t)status->ticks_a_second;
    return status->boot_ms > start_ms ? status->boot_ms - start_ms : 0;
}
