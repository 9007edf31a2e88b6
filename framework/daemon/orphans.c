/* Orphans. See orphans.h. */
#include "daemon/orphans.h"

#include "base/proc.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* When it was first seen to have ended; now, for one that is new. */
static uint64_t ended_since(const struct orphans *orphans, pid_t pid, uint64_t now_us)
{
    for (size_t i = 0; i < orphans->count; i++)
        if (orphans->ended[i].pid == pid)
            return orphans->ended[i].ended_us;
    return now_us;
}

static int is_zombie(pid_t pid)
{
    char digits[16];
    struct proc_stat stat;

    snprintf(digits, sizeof digits, "%d", (int)pid);
    return proc_read_stat(digits, &stat) == 0 && stat.state == 'Z';
}

static void look(struct orphans *orphans, FILE *children, uint64_t now_us)
{
    struct orphans seen = {.looked_us = now_us};
    int pid;

    /* The kernel wrote these numbers. NOLINTNEXTLINE(cert-err34-c) */
    while (seen.count < ORPHANS_MAX && fscanf(children, "%d", &pid) == 1) {
        const uint64_t since_us = is_zombie(pid) ? ended_since(orphans, pid, now_us) : 0;

        if (since_us == 0 ||
            (now_us - since_us >= ORPHANS_GRACE_US && waitpid(pid, NULL, WNOHANG) == pid))
            continue;
        seen.ended[seen.count].pid = pid;
        seen.ended[seen.count++].ended_us = since_us;
    }
    *orphans = seen;
}

void orphans_reap(struct orphans *orphans, uint64_t now_us)
{
    siginfo_t found = {0};
    FILE *children;

    if (getpid() != 1 || now_us - orphans->looked_us < ORPHANS_LOOK_US)
        return;
    orphans->looked_us = now_us;
    /* None has ended, as usual: one system call. */
    if (waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT | __WNOTHREAD) < 0 ||
        found.si_pid == 0)
        return;
    children = fopen("/proc/thread-self/children", "re");
    if (!children)
        return;
    look(orphans, children, now_us);
    fclose(children);
}
