/* What another user does, or an attacker: in a child that becomes that user. For tests
 * that run as root. Header only, on top of process.h. */
#ifndef TESTS_SUPPORT_OTHER_USER_H
#define TESTS_SUPPORT_OTHER_USER_H

#include "process.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OTHER_USER = 12345, THIRD_USER = 23456, OTHER_GROUP = 34567 };

/* In the child: becomes that user, with this group and no other but, if it is not 0, one more. */
__attribute__((unused)) static void become_member(uid_t user, gid_t group, gid_t more)
{
    if (setgroups(more != 0, &more) != 0 || setresgid(group, group, group) != 0 ||
        setresuid(user, user, user) != 0)
        test_die("cannot become user %d: %s", (int)user, strerror(errno));
}

__attribute__((unused)) static void become_user(uid_t user, gid_t group)
{
    become_member(user, group, 0);
}

/* A process of that user that runs act(arg) and stays until it is killed. It is there,
 * and act() is over, when this returns. */
__attribute__((unused)) static pid_t stay_as_user(uid_t user, void (*act)(const void *arg),
                                                  const void *arg)
{
    int done[2];
    char byte = 0;
    pid_t pid;

    if (pipe(done) != 0)
        test_die("pipe: %s", strerror(errno));
    pid = fork();
    if (pid == 0) {
        become_user(user, user);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        act(arg);
        close(done[0]);
        if (write(done[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(done[1]);
    if (pid < 0 || read(done[0], &byte, 1) != 1)
        test_die("the process of user %d: it failed", (int)user);
    close(done[0]);
    return pid;
}

__attribute__((unused)) static void end_user_process(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

#endif
