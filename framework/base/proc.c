/* What /proc says. See proc.h. */
#include "base/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static ssize_t read_file(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, to, room - 1);
    const int cause = errno;

    if (fd >= 0)
        close(fd);
    to[size > 0 ? size : 0] = '\0';
    errno = cause;
    return size;
}

void proc_boot_id(char ret_text[BOOT_ID_SIZE])
{
    read_file("/proc/sys/kernel/random/boot_id", ret_text, BOOT_ID_SIZE);
}

static int hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, digit);

    return at ? (int)(at - digits) : -1;
}

void proc_parse_boot_id(const char *text, uint8_t ret_id[BOOT_ID_BYTES])
{
    uint8_t id[BOOT_ID_BYTES] = {0};
    size_t digits = 0;

    for (; *text && digits < 2 * sizeof id; text++) {
        const int digit = hex_digit(*text);

        if (digit < 0)
            continue; /* a dash */
        id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | digit);
        digits++;
    }
    if (digits < 2 * sizeof id)
        memset(id, 0, sizeof id);
    memcpy(ret_id, id, sizeof id);
}

int proc_read_stat(const char *pid, struct proc_stat *ret)
{
    enum { FIELDS_TO_START_TIME = 20 };
    char path[64], text[1024];
    const char *at;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    if (read_file(path, text, sizeof text) < 0)
        return -1;
    /* The name, in brackets, may contain spaces and brackets. */
    at = strrchr(text, ')');
    if (at && at[1] == ' ') {
        ret->state = at[2];
        for (int i = 0; at && i < FIELDS_TO_START_TIME; i++)
            at = strchr(at + 1, ' ');
        if (at) {
            ret->start_time = strtoull(at, NULL, 10);
            return 0;
        }
    }
    errno = EPROTO;
    return -1;
}

int proc_read_user(const char *pid, uid_t *ret)
{
    char path[64], text[4096];
    const char *at;
    unsigned user;

    snprintf(path, sizeof path, "/proc/%.20s/status", pid);
    if (read_file(path, text, sizeof text) < 0)
        return -1;
    /* The real, effective, saved and file-system user. */
    at = strstr(text, "\nUid:");
    /* The kernel wrote these numbers. NOLINTNEXTLINE(cert-err34-c) */
    if (!at || sscanf(at, "\nUid: %*u %u", &user) != 1) {
        errno = EPROTO;
        return -1;
    }
    *ret = user;
    return 0;
}

/* "1: OFDLCK ADVISORY  WRITE -1 00:1a:42 0 EOF". A waiting process has "->" before the kind. The
 * kernel names the owner of POSIX locks only: here the pid is -1. */
static bool is_lock_on(const char *line, dev_t device, ino_t inode)
{
    unsigned device_major, device_minor;
    unsigned long long number;

    /* The kernel wrote these numbers. NOLINTNEXTLINE(cert-err34-c) */
    return sscanf(line, "%*d: OFDLCK %*s WRITE %*d %x:%x:%llu", &device_major, &device_minor,
                  &number) == 3 &&
           device_major == major(device) && device_minor == minor(device) && number == inode;
}

int proc_is_locked(dev_t device, ino_t inode)
{
    FILE *locks = fopen("/proc/locks", "re");
    char line[256];
    int is_locked = 0;

    if (!locks)
        return -1;
    while (!is_locked && fgets(line, sizeof line, locks))
        is_locked = is_lock_on(line, device, inode);
    fclose(locks);
    return is_locked;
}

static uint32_t namespace_of(const char *pid, const char *kind)
{
    char path[64];
    struct stat status;

    snprintf(path, sizeof path, "/proc/%.20s/ns/%s", pid, kind);
    return stat(path, &status) == 0 ? (uint32_t)status.st_ino : 0;
}

void proc_namespaces(struct proc_namespaces *ret)
{
    ret->pid = namespace_of("self", "pid");
    ret->time = namespace_of("self", "time");
}

bool proc_is_there(void)
{
    return access("/proc/self", F_OK) == 0;
}

bool proc_is_ours(void)
{
    char pid[16];
    const ssize_t size = readlink("/proc/self", pid, sizeof pid - 1);

    if (size <= 0)
        return false;
    pid[size] = '\0';
    return strtol(pid, NULL, 10) == (long)getpid();
}

/* The last number of "NSpid:\t4711\t7" is the pid in the innermost namespace of the process. */
static pid_t innermost_pid(const char *pid)
{
    char path[64], text[4096];
    char *at, *last;

    snprintf(path, sizeof path, "/proc/%.20s/status", pid);
    if (read_file(path, text, sizeof text) < 0 || !(at = strstr(text, "\nNSpid:")))
        return 0;
    at[1 + strcspn(at + 1, "\n")] = '\0';
    last = strrchr(at, '\t');
    return last ? (pid_t)strtol(last + 1, NULL, 10) : 0;
}

pid_t proc_find_in_namespace(uint32_t pid_namespace, pid_t pid_there)
{
    DIR *directory = pid_namespace ? opendir("/proc") : NULL;
    pid_t found = 0;

    if (!directory)
        return 0;
    for (const struct dirent *entry; !found && (entry = readdir(directory));)
        if (isdigit((unsigned char)*entry->d_name) &&
            namespace_of(entry->d_name, "pid") == pid_namespace &&
            innermost_pid(entry->d_name) == pid_there)
            found = (pid_t)strtol(entry->d_name, NULL, 10);
    closedir(directory);
    return found;
}
