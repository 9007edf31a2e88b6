/* The process's surroundings. See process.h. */
#include "daemon/process.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
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
                             "cannot open it: %s; create it as on any system", strerror(errno));
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
            descriptors_close(first, (unsigned)kept[i] - 1);
        first = (unsigned)kept[i] + 1;
    }
    descriptors_close(first, ~0U);
}

/* close_range() came with it: the newest of the calls that rpd cannot do without where no sandbox
 * denies them. */
static bool is_old(const struct utsname *kernel)
{
    char *end;
    const unsigned long major = strtoul(kernel->release, &end, 10);
    const unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

    return major > 0 && (major < 5 || (major == 5 && minor < 9));
}

static int check_kernel(struct error *error)
{
    struct utsname kernel;

    if (uname(&kernel) < 0 || !is_old(&kernel))
        return 0;
    return error_set(error, EXIT_SYSTEM, "start", "kernel",
                     "Linux %s has no close_range(); rpd needs Linux 5.9 or newer", kernel.release);
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
                         "the user that it is to run as");
    umask(077);
    if (open_standard_streams(error) < 0)
        return -1;
    if (take_descriptors(listen_fds, notify_fd, start_fd, error) < 0)
        return -1;
    close_inherited(listen_fds, *notify_fd, *start_fd);
    if (check_kernel(error) < 0)
        return -1;
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

/* glibc raises its threshold for mmap up to 32 MiB with what is freed, and what is below it stays
 * where anything small lies behind it: after 100 clients with 15 MiB each 800 MiB did. With fixed
 * ones it all went back. Lower than this, answers of 1 MiB took twice as long or more, for the
 * pages that come and go; those beyond it are slower for that. */
void process_give_memory_back(void)
{
    enum { MMAP_THRESHOLD = 4 << 20, TRIM_THRESHOLD = 16 << 20 };
    const char *tunables = getenv("GLIBC_TUNABLES");

    if (getenv("MALLOC_MMAP_THRESHOLD_") || getenv("MALLOC_TRIM_THRESHOLD_") ||
        (tunables && strstr(tunables, "glibc.malloc.")))
        return;
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
}
