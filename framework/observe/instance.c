/* Instances. See instance.h. */
#include "observe/instance.h"

#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
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
    /* All other verdicts are of processes that were looked at. */
    if (*ret->page.magic && (ret->verdict == STATE_DEAD || ret->verdict == STATE_ELSEWHERE))
        ret->place = state_view_place(&ret->page);
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

bool instance_is_path_lost(const char *endpoint)
{
    static const char prefix[] = "unix:/";
    struct stat status;

    if (strncmp(endpoint, prefix, sizeof prefix - 1) != 0)
        return false;
    if (stat(endpoint + sizeof prefix - 2, &status) == 0)
        return !S_ISSOCK(status.st_mode);
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
}

const char *instance_unreachable(const struct instance *instance)
{
    if (instance->verdict == STATE_DEAD || instance->verdict == STATE_DRAINING)
        return NULL;
    for (size_t i = 0; i < instance->record.endpoint_count; i++)
        if (instance_is_path_lost(instance->record.endpoints[i]))
            return instance->record.endpoints[i];
    return NULL;
}

bool instance_is_same(const struct instance *one, const struct instance *other)
{
    return one->pid == other->pid && one->start_time == other->start_time;
}

bool instance_is_draining(const struct instance *instance)
{
    return instance->verdict == STATE_DRAINING ||
           (instance->verdict == STATE_ELSEWHERE && instance->page.phase >= RPD_PHASE_DRAINING);
}

/* A record alone has only a boot id. */
static bool is_here(const struct instance *instance)
{
    char now[BOOT_ID_SIZE];

    if (*instance->page.magic)
        return instance->place == STATE_HERE;
    proc_boot_id(now);
    return !*now || !instance->record.boot_id || strcmp(now, instance->record.boot_id) == 0;
}

bool instance_has_ended(int pidfd)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    return poll(&end, 1, 0) > 0;
}

/* -1 and errno, which is ENOSYS where a sandbox denies it, in whatever words. */
static int open_pidfd(pid_t pid)
{
    const int fd = pidfd_open(pid, 0);

    if (fd < 0 && (errno == EPERM || errno == EACCES))
        errno = ENOSYS;
    return fd;
}

/* Whether the pid is that process. Where there is a pidfd it was opened before: if the number was
 * another's by then, so is that. */
static bool has_start_time(const struct instance *instance, char *ret_state)
{
    char pid[16];
    struct proc_stat stat;

    snprintf(pid, sizeof pid, "%d", (int)instance->pid);
    if (proc_read_stat(pid, &stat) < 0 || stat.start_time != instance->start_time)
        return false;
    *ret_state = stat.state;
    return true;
}

/* A pidfd; or -1 and errno, which is ENOSYS if it is there, and has none. */
static int open_process(const struct instance *instance, char *ret_state)
{
    int fd, cause;

    errno = instance->pid > 0 && instance->start_time > 0 && !is_here(instance) ? EXDEV : ESRCH;
    if (instance->pid <= 0 || instance->start_time == 0 || errno == EXDEV)
        return -1;
    fd = open_pidfd(instance->pid);
    if (fd < 0 && errno != ENOSYS)
        return -1;
    cause = errno;
    if (has_start_time(instance, ret_state)) {
        errno = cause;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    errno = ESRCH;
    return -1;
}

/* A page may name any process; its lock can only be made by the daemon's own user. Of a
 * lock that is lost the page itself says whose it was. */
static bool is_of_the_locks_user(int runtime_dirfd, const struct instance *instance)
{
    char pid[16], lock[NAME_MAX + 1], page[NAME_MAX + 1];
    struct stat status;
    uid_t user;

    snprintf(pid, sizeof pid, "%d", (int)instance->pid);
    snprintf(lock, sizeof lock, "%s.lock", instance->service);
    snprintf(page, sizeof page, "%s.state", instance->service);
    if (fstatat(runtime_dirfd, lock, &status, AT_SYMLINK_NOFOLLOW) < 0 &&
        (errno != ENOENT || fstatat(runtime_dirfd, page, &status, AT_SYMLINK_NOFOLLOW) < 0))
        return false;
    return proc_read_user(pid, &user) == 0 && user == status.st_uid;
}

/* 0, or errno's value. */
static int judge_process(int runtime_dirfd, const struct instance *instance, char state)
{
    if (state == 'Z' || state == 'X')
        return ESRCH;
    if (!state_view_is_locked(runtime_dirfd, instance->service) &&
        !state_view_has_lost_lock(runtime_dirfd, instance->service, &instance->page))
        return ESRCH;
    return is_of_the_locks_user(runtime_dirfd, instance) ? 0 : EPERM;
}

int instance_open(int runtime_dirfd, const struct instance *instance)
{
    char state = '\0';
    int fd = open_process(instance, &state), cause;

    if (fd < 0 && errno != ENOSYS)
        return -1;
    cause = judge_process(runtime_dirfd, instance, state);
    if (cause && fd >= 0) {
        close(fd);
        fd = -1;
    }
    if (fd < 0)
        errno = cause ? cause : ENOSYS;
    return fd;
}

int instance_signal(int runtime_dirfd, const struct instance *instance, int pidfd, int number)
{
    char state;
    int cause;

    if (pidfd >= 0 && pidfd_send_signal(pidfd, number, NULL, 0) == 0)
        return 0;
    if (pidfd >= 0 && errno != ENOSYS && errno != EPERM)
        return -1;
    cause = has_start_time(instance, &state) ? judge_process(runtime_dirfd, instance, state)
                                             : ESRCH;
    if (!cause)
        return kill(instance->pid, number);
    errno = cause;
    return -1;
}

int instance_open_ending(const struct instance *instance)
{
    char state = '\0';
    const int fd = open_process(instance, &state);

    if (fd < 0 && errno == ENOSYS && (state == 'Z' || state == 'X'))
        errno = ESRCH;
    if (fd < 0 || !instance_has_ended(fd))
        return fd;
    close(fd);
    errno = ESRCH;
    return -1;
}
