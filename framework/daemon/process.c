/* The process's surroundings. See process.h. */
#include "daemon/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_INHERITED = 3 };

/* Otherwise the first socket would be descriptor 2, and be logged to. */
static int open_standard_streams(struct error *error)
{
    for (int fd = 0; fd < FIRST_INHERITED; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            return error_set(error, EXIT_SYSTEM, "start", "/dev/null",
                             "cannot open it: %s; make it as on any system", strerror(errno));
    }
    return 0;
}

/* All but the listeners and these two, each of which may be -1. */
static void close_inherited(int listen_fds, int a, int b)
{
    const int kept[] = {a < b ? a : b, a < b ? b : a};
    unsigned first = FIRST_INHERITED + (unsigned)listen_fds;

    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (kept[i] < (int)first)
            continue;
        if ((unsigned)kept[i] > first)
            close_range(first, (unsigned)kept[i] - 1, 0);
        first = (unsigned)kept[i] + 1;
    }
    close_range(first, ~0U, 0);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* It will be closed when it has been used. A standard stream must not be: the
 * next client would become it. */
static int take_descriptor(int listen_fds, const char *option, int *fd, struct error *error)
{
    if (*fd < 0)
        return 0;
    if (*fd >= FIRST_INHERITED && *fd < FIRST_INHERITED + listen_fds)
        return error_set(error, EXIT_COMMAND_LINE, "command line", option,
                         "descriptor %d is a listener of LISTEN_FDS; pass another", *fd);
    if (fcntl(*fd, F_GETFD) < 0)
        return error_set(error, EXIT_COMMAND_LINE, "command line", option,
                         "descriptor %d is not open; open it before you start rpd", *fd);
    if (*fd < FIRST_INHERITED)
        *fd = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_INHERITED + listen_fds);
    else
        fcntl(*fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

static int take_descriptors(int listen_fds, int *notify_fd, int *start_fd, struct error *error)
{
    const int start = *start_fd;

    *start_fd = -1;
    if (start >= 0 && start == *notify_fd)
        return error_set(error, EXIT_COMMAND_LINE, "command line", "--start-fd",
                         "descriptor %d is --notify-fd's; pass another", start);
    *start_fd = start;
    if (take_descriptor(listen_fds, "--start-fd", start_fd, error) == 0)
        return take_descriptor(listen_fds, "--notify-fd", notify_fd, error);
    *start_fd = -1;
    return -1;
}

int process_prepare(int listen_fds, int *notify_fd, int *start_fd, struct error *error)
{
    if (getauxval(AT_SECURE) || geteuid() != getuid() || getegid() != getgid())
        return error_set(error, EXIT_SECURITY, "start", "rpd",
                         "refuses to run set-uid, set-gid or with file capabilities; start it as "
                         "the user that it shall run as");
    umask(077);
    if (open_standard_streams(error) < 0)
        return -1;
    if (take_descriptors(listen_fds, notify_fd, start_fd, error) < 0)
        return -1;
    close_inherited(listen_fds, *notify_fd, *start_fd);
    raise_descriptor_limit();
    return 0;
}

void process_identity(char ret_boot_id[BOOT_ID_SIZE], unsigned long long *ret_start_time)
{
    struct proc_stat stat = {0};

    proc_boot_id(ret_boot_id);
    proc_read_stat("self", &stat);
    *ret_start_time = stat.start_time;
}
