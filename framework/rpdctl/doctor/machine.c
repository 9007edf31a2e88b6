/* rpdctl doctor: the machine and the run-time directory. */
#include "base/proc.h"
#include "rpdctl/doctor/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the kernel ------------------------------------------------------------------------------ */

static int try_pidfd(void)
{
    return (int)syscall(SYS_pidfd_open, getpid(), 0);
}

/* Of descriptors that cannot be. */
static int try_close_range(void)
{
    return (int)syscall(SYS_close_range, ~0u, ~0u, 0) < 0 ? -1 : dup(STDOUT_FILENO);
}

static int try_inotify(void)
{
    return inotify_init1(IN_CLOEXEC);
}

static int try_lock(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = memfd_create("rpd-doctor", MFD_CLOEXEC);
    int cause;

    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return fd;
    cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

static const struct {
    const char *call;
    int (*try)(void);
    enum doctor_outcome outcome;
    const char *without;
} calls[] = {
    {"fcntl(F_OFD_SETLK)", try_lock, DOCTOR_FAIL, "no service can start without it"},
    {"pidfd_open", try_pidfd, DOCTOR_WARN,
     "processes are signalled by number, after a second look"},
    {"close_range", try_close_range, DOCTOR_WARN, "descriptors are closed one by one"},
    {"inotify_init1", try_inotify, DOCTOR_WARN, "files are looked at again and again"},
};

static void look_at_kernel(struct doctor *doctor)
{
    unsigned missing = 0;

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const int fd = calls[i].try();

        if (fd >= 0) {
            close(fd);
            continue;
        }
        missing++;
        doctor_find(doctor, calls[i].outcome, "machine", "kernel",
                    errno == EMFILE || errno == ENFILE || errno == ENOSPC
                        ? "raise the limit (fs.inotify.max_user_instances, or of descriptors)"
                        : "let the sandbox allow it, or use a newer kernel",
                    "%s: %s: %s", calls[i].call, strerror(errno), calls[i].without);
    }
    if (missing == 0)
        doctor_find(doctor, DOCTOR_PASS, "machine", "kernel", NULL, "all calls that rpd uses work");
}

static void look_at_proc(struct doctor *doctor)
{
    char boot_id[BOOT_ID_SIZE];

    if (!(proc_boot_id(boot_id), *boot_id) || access("/proc/self/stat", R_OK) < 0)
        doctor_find(doctor, DOCTOR_FAIL, "machine", "proc", "mount it: mount -t proc proc /proc",
                    "/proc does not have what identifies processes: no service can start");
    else
        doctor_find(doctor, DOCTOR_PASS, "machine", "proc", NULL, "/proc is there");
}

static void look_at_limits(struct doctor *doctor)
{
    enum { FEWEST = 1024 };
    struct rlimit limit = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < FEWEST)
        doctor_find(doctor, DOCTOR_WARN, "machine", "descriptors",
                    "raise the hard limit: ulimit -Hn, LimitNOFILE=",
                    "a service started from here may open %llu: each client takes one",
                    (unsigned long long)limit.rlim_max);
    else
        doctor_find(doctor, DOCTOR_PASS, "machine", "descriptors", NULL, "%llu may be open",
                    (unsigned long long)limit.rlim_max);
}

void doctor_machine(struct doctor *doctor)
{
    look_at_kernel(doctor);
    look_at_proc(doctor);
    look_at_limits(doctor);
}

/* ---- the run-time directory ---------------------------------------------------------------------
 */

static void look_at_space(struct doctor *doctor)
{
    enum { LEAST = 1024 * 1024, LITTLE = 4 * LEAST };
    struct statvfs space;
    unsigned long long free_bytes;

    if (fstatvfs(doctor->runtime_dirfd, &space) < 0)
        return;
    free_bytes = (unsigned long long)space.f_bavail * space.f_frsize;
    if (space.f_flag & ST_RDONLY)
        doctor_find(doctor, DOCTOR_FAIL, doctor->runtime_dir, "space",
                    "mount it read-write, or set RPD_RUNTIME_DIR", "its file system is read-only");
    else if (space.f_blocks > 0 && (free_bytes < LEAST || (space.f_files > 0 && !space.f_favail)))
        doctor_find(doctor, DOCTOR_FAIL, doctor->runtime_dir, "space",
                    "free space there, or set RPD_RUNTIME_DIR",
                    "%llu KiB and %llu files are free: no service can start", free_bytes / 1024,
                    (unsigned long long)space.f_favail);
    else if (space.f_blocks > 0 && free_bytes < LITTLE)
        doctor_find(doctor, DOCTOR_WARN, doctor->runtime_dir, "space", "free space there",
                    "%llu KiB are free", free_bytes / 1024);
    else
        doctor_find(doctor, DOCTOR_PASS, doctor->runtime_dir, "space", NULL, "there is space");
}

static void look_at_length(struct doctor *doctor)
{
    static const char example[] = "/NAME.sock";

    if (strlen(doctor->runtime_dir) + sizeof example > sizeof(struct sockaddr_un){0}.sun_path)
        doctor_find(doctor, DOCTOR_WARN, doctor->runtime_dir, "path",
                    "set RPD_RUNTIME_DIR to a shorter one, or listen elsewhere",
                    "it is too long for the address of a socket in it");
}

/* ".demo.json.1234.tmp": the pid of its maker; 0: it is no such file. */
static pid_t maker_of(const char *name)
{
    static const char suffix[] = ".tmp";
    const size_t size = strlen(name);
    const char *end = name + size - (sizeof suffix - 1), *digits = end;

    if (name[0] != '.' || size < sizeof suffix || strcmp(end, suffix) != 0)
        return 0;
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    return digits > name && digits < end && digits[-1] == '.' ? (pid_t)strtol(digits, NULL, 10) : 0;
}

static void look_at_private_files(struct doctor *doctor)
{
    const int fd = openat(doctor->runtime_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    char first[NAME_MAX + 1] = "";
    unsigned count = 0;

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        const pid_t maker = maker_of(entry->d_name);

        if (maker > 0 && kill(maker, 0) < 0 && errno == ESRCH && count++ == 0)
            snprintf(first, sizeof first, "%s", entry->d_name);
    }
    if (stream)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
    if (count > 0)
        doctor_find(doctor, DOCTOR_WARN, doctor->runtime_dir, "leftovers",
                    "the next start of their services removes them",
                    "%u private files of processes that are gone, such as %s", count, first);
    else
        doctor_find(doctor, DOCTOR_PASS, doctor->runtime_dir, "leftovers", NULL,
                    "there are no private files of processes that are gone");
}

/* Only in the user's own services are started. */
static bool look_at_rights(struct doctor *doctor, struct error *error)
{
    struct stat status;

    return fstat(doctor->runtime_dirfd, &status) < 0 || status.st_uid != geteuid() ||
           directory_check_to_start(doctor->runtime_dirfd, doctor->runtime_dir, error) == 0;
}

void doctor_runtime(struct doctor *doctor)
{
    struct error error;
    const char *warning = directory_runtime_warning();
    const int found = directory_find_runtime(doctor->runtime_dir, &doctor->runtime_dirfd, &error);

    if (warning)
        doctor_find_error(doctor, DOCTOR_WARN, "machine", "directory", warning);
    if (found > 0) {
        doctor->runtime_dirfd = -1;
        doctor_find(doctor, DOCTOR_PASS, doctor->runtime_dir, "rights", NULL,
                    "it is not there: nothing runs");
        return;
    }
    if (found < 0 || !look_at_rights(doctor, &error)) {
        doctor_find_error(doctor, DOCTOR_FAIL, "directory", "rights", error.text);
        if (found < 0)
            doctor->runtime_dirfd = -1;
        return;
    }
    doctor_find(doctor, DOCTOR_PASS, doctor->runtime_dir, "rights", NULL,
                "only its owner can write to it");
    look_at_space(doctor);
    look_at_length(doctor);
    look_at_private_files(doctor);
}
