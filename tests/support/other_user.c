/* Processes of another user. See other_user.h. */
#include "other_user.h"

void become_member(uid_t user, gid_t group, gid_t more)
{
    if (setgroups(more != 0, &more) != 0 || setresgid(group, group, group) != 0 ||
        setresuid(user, user, user) != 0)
        test_die("cannot become user %d: %s", (int)user, strerror(errno));
}

void become_user(uid_t user, gid_t group)
{
    become_member(user, group, 0);
}

pid_t stay_as_user(uid_t user, void (*act)(const void *arg), const void *arg)
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

void end_user_process(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}
