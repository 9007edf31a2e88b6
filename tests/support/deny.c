/* Runs a program to which the kernel denies some system calls, as a sandbox would.
 *
 *     deny EPERM|ENOSYS CALL[,CALL]... PROGRAM [ARGUMENT]...
 *
 * A call is one of the table below; those of fcntl() are selected by their command. All programs
 * that this one starts inherit the filter. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { INSTRUCTIONS_MAX = 128 };

static const struct call {
    const char *name;
    unsigned number;
    unsigned command; /* of fcntl(); 0: any */
} calls[] = {
    {"accept", SYS_accept, 0},
    {"accept4", SYS_accept4, 0},
    {"close_range", SYS_close_range, 0},
    {"getsockname", SYS_getsockname, 0},
    {"getsockopt", SYS_getsockopt, 0},
    {"inotify_init1", SYS_inotify_init1, 0},
#ifdef SYS_mkdir
    {"mkdir", SYS_mkdir, 0},
#else
    {"mkdir", SYS_mkdirat, 0},
#endif
    {"pidfd_open", SYS_pidfd_open, 0},
    {"pidfd_send_signal", SYS_pidfd_send_signal, 0},
    {"F_DUPFD_CLOEXEC", SYS_fcntl, F_DUPFD_CLOEXEC},
    {"F_OFD_GETLK", SYS_fcntl, F_OFD_GETLK},
    {"F_OFD_SETLK", SYS_fcntl, F_OFD_SETLK},
    {"F_OFD_SETLKW", SYS_fcntl, F_OFD_SETLKW},
};

static struct sock_filter program[INSTRUCTIONS_MAX];
static unsigned short used;

static void add(struct sock_filter instruction)
{
    if (used == INSTRUCTIONS_MAX)
        exit(64);
    program[used++] = instruction;
}

static void load(size_t offset)
{
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

/* If the value is not equal, the next `skipped` instructions are skipped. */
static void go_on_if_not(unsigned value, unsigned char skipped)
{
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped));
}

static void deny(const struct call *call, unsigned error)
{
    load(offsetof(struct seccomp_data, nr));
    if (call->command != 0) {
        go_on_if_not(call->number, 3);
        load(offsetof(struct seccomp_data, args[1])); /* the lower half: little-endian */
        go_on_if_not(call->command, 1);
    } else {
        go_on_if_not(call->number, 1);
    }
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
}

static void deny_by_name(const char *name, unsigned error)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0) {
            deny(&calls[i], error);
            return;
        }
    fprintf(stderr, "deny: %s: not in its table\n", name);
    exit(64);
}

int main(int argc, char **argv)
{
    struct sock_fprog filter = {.filter = program};
    unsigned error;

    if (argc < 4) {
        fputs("usage: deny EPERM|ENOSYS CALL[,CALL]... PROGRAM [ARGUMENT]...\n", stderr);
        return 64;
    }
    error = strcmp(argv[1], "ENOSYS") == 0 ? ENOSYS : EPERM;
    for (char *name = strtok(argv[2], ","); name; name = strtok(NULL, ","))
        deny_by_name(name, error);
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    filter.len = used;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        fprintf(stderr, "deny: %s\n", strerror(errno));
        return 126;
    }
    execvp(argv[3], argv + 3);
    fprintf(stderr, "deny: %s: %s\n", argv[3], strerror(errno));
    return 127;
}
