/* Instances. See instance.h. */
#include "observe/instance.h"

#include "base/proc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* A record that was left by one that was killed may lie beside the page of the next. */
static bool record_fits(const struct instance *instance)
{
    const struct rpd_state_page *page = &instance->page;

    return !*page->magic || (instance->record.pid == (long long)page->pid &&
                             (page->start_time == 0 || instance->record.start_time == 0 ||
                              instance->record.start_time == page->start_time));
}

static void look_at_record(int runtime_dirfd, struct instance *instance)
{
    instance->has_record = record_view_read(runtime_dirfd, instance->service, &instance->record) ==
                               0 &&
                           record_fits(instance);
    if (!instance->has_record)
        record_view_finish(&instance->record);
}

void instance_look(int runtime_dirfd, const char *service, struct instance *ret)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->service, sizeof ret->service, "%s", service);
    ret->has_page = state_view_look(runtime_dirfd, service, &ret->page, &ret->verdict) == 0;
    look_at_record(runtime_dirfd, ret);
    if (*ret->page.magic) {
        ret->pid = (pid_t)ret->page.pid;
        ret->start_time = ret->page.start_time;
    } else if (ret->has_record) {
        ret->pid = (pid_t)ret->record.pid;
        ret->start_time = ret->record.start_time;
    }
}

void instance_finish(struct instance *instance)
{
    record_view_finish(&instance->record);
}

bool instance_is_same(const struct instance *one, const struct instance *other)
{
    return one->pid == other->pid && one->start_time == other->start_time;
}

static bool is_of_this_boot(const struct instance *instance)
{
    char now[BOOT_ID_SIZE];

    if (*instance->page.magic)
        return !state_view_is_of_another_boot(&instance->page);
    proc_boot_id(now);
    return !*now || !instance->record.boot_id || strcmp(now, instance->record.boot_id) == 0;
}

bool instance_has_ended(int pidfd)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    return poll(&end, 1, 0) > 0;
}

/* Its start time is asked when the pidfd is there: if the number was another's by
 * then, so is that. */
static int open_process(const struct instance *instance, char *ret_state)
{
    char pid[16];
    struct proc_stat stat;
    int fd = -1;

    errno = ESRCH;
    if (instance->pid <= 0 || instance->start_time == 0 || !is_of_this_boot(instance))
        return -1;
    fd = pidfd_open(instance->pid, 0);
    if (fd < 0)
        return -1;
    snprintf(pid, sizeof pid, "%d", (int)instance->pid);
    if (proc_read_stat(pid, &stat) == 0 && stat.start_time == instance->start_time) {
        *ret_state = stat.state;
        return fd;
    }
    close(fd);
    errno = ESRCH;
    return -1;
}

int instance_open(int runtime_dirfd, const struct instance *instance)
{
    char state;
    const int fd = open_process(instance, &state);

    if (fd < 0)
        return -1;
    if (state != 'Z' && state != 'X' && state_view_is_locked(runtime_dirfd, instance->service))
        return fd;
    close(fd);
    errno = ESRCH;
    return -1;
}

int instance_open_ending(const struct instance *instance)
{
    char state;
    const int fd = open_process(instance, &state);

    if (fd < 0 || !instance_has_ended(fd))
        return fd;
    close(fd);
    errno = ESRCH;
    return -1;
}
