/* Reading state pages. See state_view.h. */
#include "observe/state_view.h"

#include "base/directory.h"
#include "base/proc.h"
#include "base/safe_text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOR_EVER_SIZE = offsetof(struct rpd_state_page, service) };

/* Nothing that stands there can hold us up, or lead elsewhere. */
enum { OPEN_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

/* ---- reading --------------------------------------------------------------------- */

/* As rpd has them: otherwise "../x" would lead out of the directory. */
bool state_view_is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    const size_t size = strlen(name);

    return size > 0 && size < sizeof((struct rpd_state_page *)NULL)->service &&
           strspn(name, allowed) == size && *name != '_' && *name != '-';
}

/* Where another user could make files once, theirs may lie there still. */
static int keep_if_believed(int runtime_dirfd, int fd)
{
    struct stat status;

    if (fd < 0 || (fstat(fd, &status) == 0 && directory_believes(runtime_dirfd, status.st_uid)))
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

int state_view_open(int runtime_dirfd, const char *service, const char *suffix)
{
    char name[NAME_MAX + 1];

    if (!state_view_is_name(service)) {
        errno = EINVAL;
        return -1;
    }
    snprintf(name, sizeof name, "%s%s", service, suffix);
    return keep_if_believed(runtime_dirfd, openat(runtime_dirfd, name, OPEN_FLAGS));
}

/* How much there is, up to the size of a page; -1 and errno. */
static ssize_t read_whole(int fd, struct rpd_state_page *ret)
{
    size_t used = 0;

    while (used < sizeof *ret) {
        const ssize_t got = pread(fd, (char *)ret + used, sizeof *ret - used, (off_t)used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

static void make_safe(char *text, size_t size)
{
    text[size - 1] = '\0';
    safe_text(text);
}

static void make_all_safe(struct rpd_state_page *page)
{
    make_safe(page->service, sizeof page->service);
    make_safe(page->build, sizeof page->build);
    make_safe(page->error, sizeof page->error);
    make_safe(page->slow, sizeof page->slow);
    for (size_t i = 0; i < RPD_STATE_PARTS; i++) {
        make_safe(page->parts[i].name, sizeof page->parts[i].name);
        make_safe(page->parts[i].unit, sizeof page->parts[i].unit);
    }
    if (page->part_count > RPD_STATE_PARTS)
        page->part_count = RPD_STATE_PARTS;
}

/* How many bytes of what was read can be used: all, the first 64, or none. */
static size_t usable_size(const struct rpd_state_page *page, size_t size, off_t file_size)
{
    if (size < FOR_EVER_SIZE || memcmp(page->magic, RPD_STATE_MAGIC, sizeof page->magic) != 0)
        return 0;
    if (page->layout != RPD_STATE_LAYOUT)
        return FOR_EVER_SIZE;
    return size == RPD_STATE_SIZE && file_size == RPD_STATE_SIZE && page->size == RPD_STATE_SIZE
               ? RPD_STATE_SIZE
               : 0;
}

static int read_page(int fd, struct rpd_state_page *ret)
{
    struct stat status;
    ssize_t size;
    size_t usable = 0;

    if (fstat(fd, &status) < 0)
        return -1;
    if (S_ISREG(status.st_mode)) {
        size = read_whole(fd, ret);
        if (size < 0)
            return -1;
        usable = usable_size(ret, (size_t)size, status.st_size);
    }
    if (usable == RPD_STATE_SIZE) {
        make_all_safe(ret);
        return 0;
    }
    memset((char *)ret + usable, 0, sizeof *ret - usable);
    errno = EPROTO;
    return -1;
}

static int read_file(int runtime_dirfd, const char *service, const char *suffix,
                     struct rpd_state_page *ret)
{
    int fd, failed, cause;

    memset(ret, 0, sizeof *ret);
    fd = state_view_open(runtime_dirfd, service, suffix);
    if (fd < 0) {
        if (errno == ELOOP || errno == ENXIO) /* a symbolic link; a socket */
            errno = EPROTO;
        return -1;
    }
    failed = read_page(fd, ret);
    cause = errno;
    close(fd);
    if (failed && cause != EPROTO)
        memset(ret, 0, sizeof *ret);
    errno = cause;
    return failed;
}

int state_view_read(int runtime_dirfd, const char *service, struct rpd_state_page *ret)
{
    return read_file(runtime_dirfd, service, ".state", ret);
}

int state_view_read_next(int runtime_dirfd, const char *service, struct rpd_state_page *ret)
{
    return read_file(runtime_dirfd, service, ".next.state", ret);
}

/* ---- judging ---------------------------------------------------------------------- */

/* Without opening it: other users may not, nor one that must ask the kernel in another way. */
static bool is_listed_as_locked(int runtime_dirfd, const char *service)
{
    char name[NAME_MAX + 1];
    struct stat status;

    snprintf(name, sizeof name, "%s.lock", service);
    if (fstatat(runtime_dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno != ENOENT;
    return S_ISREG(status.st_mode) && directory_believes(runtime_dirfd, status.st_uid) &&
           proc_is_locked(status.st_dev, status.st_ino) != 0;
}

/* Asks; where a lock is only tested, a descriptor for reading will do. */
bool state_view_is_locked(int runtime_dirfd, const char *service)
{
    struct flock probe = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd, asked;

    if (!state_view_is_name(service))
        return false;
    fd = state_view_open(runtime_dirfd, service, ".lock");
    asked = fd < 0 ? -1 : fcntl(fd, F_OFD_GETLK, &probe);
    if (fd >= 0)
        close(fd);
    return asked < 0 ? is_listed_as_locked(runtime_dirfd, service) : probe.l_type != F_UNLCK;
}

bool state_view_is_of_another_boot(const struct rpd_state_page *page)
{
    static const uint8_t unknown[BOOT_ID_BYTES];
    char text[BOOT_ID_SIZE];
    uint8_t now[BOOT_ID_BYTES];

    proc_boot_id(text);
    proc_parse_boot_id(text, now);
    return memcmp(now, unknown, sizeof now) != 0 &&
           memcmp(page->boot_id, unknown, sizeof unknown) != 0 &&
           memcmp(page->boot_id, now, sizeof now) != 0;
}

enum state_place state_view_place(const struct rpd_state_page *page)
{
    struct proc_namespaces ours;

    if (!proc_is_ours())
        return STATE_WITHOUT_PROC;
    proc_namespaces(&ours);
    if (page->namespaces[RPD_STATE_PID_NAMESPACE] != 0 &&
        page->namespaces[RPD_STATE_PID_NAMESPACE] != ours.pid)
        return STATE_OTHER_PID_NAMESPACE;
    if (page->namespaces[RPD_STATE_PID_NAMESPACE] != 0 &&
        page->namespaces[RPD_STATE_TIME_NAMESPACE] != ours.time)
        return STATE_OTHER_TIME_NAMESPACE;
    return state_view_is_of_another_boot(page) ? STATE_OTHER_BOOT_ID : STATE_HERE;
}

bool state_view_has_our_clock(const struct rpd_state_page *page)
{
    struct proc_namespaces ours;

    proc_namespaces(&ours);
    return page->namespaces[RPD_STATE_PID_NAMESPACE] == 0 ||
           page->namespaces[RPD_STATE_TIME_NAMESPACE] == ours.time;
}

enum process_state { PROCESS_GONE, PROCESS_STOPPED, PROCESS_RUNS };

/* /proc may be hidden, of other users at least. */
static bool is_there(pid_t pid)
{
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

static bool read_text(const char *path, char *ret, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd >= 0 ? read(fd, ret, size - 1) : -1;

    if (fd >= 0)
        close(fd);
    ret[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* Of the process that made the page. One whose first thread is a zombie has no
 * loop any more, even if its lock is still held. */
static enum process_state process_of(const struct rpd_state_page *page)
{
    char pid[16];
    struct proc_stat stat;

    snprintf(pid, sizeof pid, "%u", page->pid);
    if (proc_read_stat(pid, &stat) < 0)
        return (errno == ENOENT || errno == ESRCH) && !is_there((pid_t)page->pid) ? PROCESS_GONE
                                                                                  : PROCESS_RUNS;
    if ((page->start_time != 0 && page->start_time != stat.start_time) || stat.state == 'Z' ||
        stat.state == 'X')
        return PROCESS_GONE;
    return stat.state == 'T' || stat.state == 't' ? PROCESS_STOPPED : PROCESS_RUNS;
}

/* By its cgroup's freezer, which /proc/PID/stat does not show. As far as it can be seen. */
static bool is_frozen(pid_t pid)
{
    static const char root[] = "/sys/fs/cgroup";
    char name[64], groups[PATH_MAX], path[PATH_MAX + 64], events[256];
    const char *group;

    snprintf(name, sizeof name, "/proc/%d/cgroup", (int)pid);
    if (!read_text(name, groups, sizeof groups))
        return false;
    group = strncmp(groups, "0::", 3) == 0 ? groups : strstr(groups, "\n0::");
    if (!group)
        return false;
    group = strchr(group, '/');
    if (!group)
        return false;
    snprintf(path, sizeof path, "%s%.*s/cgroup.events", root, (int)strcspn(group, "\n"), group);
    return read_text(path, events, sizeof events) && strstr(events, "frozen 1");
}

bool state_view_has_lost_lock(int runtime_dirfd, const char *service,
                              const struct rpd_state_page *page)
{
    char name[NAME_MAX + 1];
    struct stat status;

    snprintf(name, sizeof name, "%s.lock", service);
    return state_view_is_name(service) && page->start_time != 0 &&
           fstatat(runtime_dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

enum state_verdict state_view_judge(int runtime_dirfd, const char *service,
                                    const struct rpd_state_page *page, uint64_t now_us)
{
    enum process_state process;

    const bool is_here = state_view_place(page) == STATE_HERE;

    /* Of a lock file that is gone nothing is known but by the process. */
    if (!state_view_is_locked(runtime_dirfd, service) &&
        (!is_here || !state_view_has_lost_lock(runtime_dirfd, service, page)))
        return STATE_DEAD;
    if (!is_here)
        return STATE_ELSEWHERE;
    process = process_of(page);
    /* After a keeper was killed, its runner, which is being killed, still holds the lock. */
    if (process == PROCESS_GONE)
        return page->generation != 0 && state_view_is_locked(runtime_dirfd, service)
                   ? STATE_DRAINING
                   : STATE_DEAD;
    if (process == PROCESS_STOPPED ||
        (page->turned_us == RPD_STATE_RESTS && is_frozen((pid_t)page->pid)) ||
        (now_us > page->turned_us && now_us - page->turned_us > RPD_STATE_STALL_US))
        return STATE_STALLED;
    switch (page->phase) {
    case RPD_PHASE_STARTING:
    case RPD_PHASE_WARMING: return STATE_WARMING;
    case RPD_PHASE_DRAINING:
    case RPD_PHASE_STOPPING:
    case RPD_PHASE_STOPPED: return STATE_DRAINING;
    default: return STATE_ALIVE;
    }
}

uint64_t state_view_last_turn_us(const struct rpd_state_page *page)
{
    return page->turned_us == RPD_STATE_RESTS ? page->rests_us : page->turned_us;
}

int state_view_look(int runtime_dirfd, const char *service, struct rpd_state_page *ret,
                    enum state_verdict *ret_verdict)
{
    struct timespec now;
    int failed, cause;

    /* First: what delays us from here on is no stall of the service. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    failed = state_view_read(runtime_dirfd, service, ret);
    cause = errno;
    if (*ret->magic)
        *ret_verdict = state_view_judge(runtime_dirfd, service, ret,
                                        (uint64_t)now.tv_sec * 1000000u +
                                            (uint64_t)now.tv_nsec / 1000u);
    else
        *ret_verdict = !state_view_is_locked(runtime_dirfd, service) ? STATE_DEAD : STATE_WARMING;
    errno = cause;
    return failed;
}

const char *state_verdict_text(enum state_verdict verdict)
{
    static const char *const texts[] = {"dead",    "stalled", "draining",
                                        "warming", "alive",   "alive, elsewhere"};

    return (size_t)verdict < sizeof texts / sizeof *texts ? texts[verdict] : "unknown";
}

const char *state_place_text(enum state_place place)
{
    static const char *const texts[] = {"here", "another pid namespace", "another time namespace",
                                        "a system that shows another boot id in /proc",
                                        "a place that cannot be looked at without its /proc"};

    return (size_t)place < sizeof texts / sizeof *texts ? texts[place] : "unknown";
}
