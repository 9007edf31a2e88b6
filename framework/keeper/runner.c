/* A runner's process. See runner.h. */
#include "keeper/runner.h"

#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_LINE = 10 };

void runner_init(struct runner *runner)
{
    memset(runner, 0, sizeof *runner);
    runner->pidfd = runner->channel = runner->words_fd = runner->notices_fd = -1;
}

/* ---- the start ---------------------------------------------------------------------- */

/* What the child gets; -1 where there is none (yet). */
struct far_ends {
    int channel, words, notices, board;
    int config; /* the caller's; 0: none */
};

static int make_board(struct runner *runner)
{
    const int fd = memfd_create("rpd-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *map;

    if (fd < 0)
        return -1;
    if (ftruncate(fd, sizeof *runner->board) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0) {
        map = mmap(NULL, sizeof *runner->board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) {
            runner->board = map;
            return fd;
        }
    }
    close(fd);
    return -1;
}

static int make_ends(struct runner *runner, struct far_ends *ret)
{
    int pair[2];

    *ret = (struct far_ends){-1, -1, -1, -1, 0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    runner->channel = pair[0];
    ret->channel = pair[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -1;
    runner->notices_fd = pair[0];
    ret->notices = pair[1];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -1;
    runner->words_fd = pair[0];
    ret->words = pair[1];
    fcntl(runner->words_fd, F_SETFL, O_NONBLOCK);
    ret->board = make_board(runner);
    return ret->board < 0 ? -1 : 0;
}

static void close_far(const struct far_ends *far)
{
    const int all[] = {far->channel, far->words, far->notices, far->board};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] >= 0)
            close(all[i]);
}

/* The arguments of the runner: options of its own first, then the keeper's. */
static char **make_arguments(char **argv, char *channel, char *words, char *config)
{
    static char runner_fd[] = "--runner-fd", start_fd[] = "--start-fd", config_fd[] = "--config-fd";
    size_t count = 0, used = 5;
    char **made;

    while (argv[count])
        count++;
    made = calloc(count + 7, sizeof *made);
    if (!made)
        return NULL;
    made[0] = argv[0];
    made[1] = runner_fd;
    made[2] = channel;
    made[3] = start_fd;
    made[4] = words;
    if (*config) {
        made[used++] = config_fd;
        made[used++] = config;
    }
    for (size_t i = 1; i < count; i++)
        made[used++] = argv[i];
    return made;
}

/* Only a privileged process can lower the score again. */
static void offer_to_oom(void)
{
    enum { MORE = 100, MOST = 1000 };
    char text[24] = "";
    const int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    long score;

    if (fd < 0)
        return;
    if (read(fd, text, sizeof text - 1) > 0) {
        score = strtol(text, NULL, END_LINE) + MORE;
        snprintf(text, sizeof text, "%ld", score > MOST ? (long)MOST : score);
        if (pwrite(fd, text, strlen(text), 0) < 0) {
            /* then the kernel is as likely to end the runner as its keeper */
        }
    }
    close(fd);
}

/* In the child. A keeper that died before the prctl() sends no signal any more. */
static _Noreturn void become_runner(pid_t keeper, const struct far_ends *far, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper)
        _exit(1);
    offer_to_oom();
    fcntl(far->channel, F_SETFD, 0);
    fcntl(far->words, F_SETFD, 0);
    if (far->config > 0)
        fcntl(far->config, F_SETFD, 0);
    execv("/proc/self/exe", argv);
    dprintf(far->words, "ended 71 start: /proc/self/exe: cannot be run: %s; mount /proc\n",
            strerror(errno));
    dprintf(STDERR_FILENO, "rpd: start: /proc/self/exe: cannot be run: %s; mount /proc\n",
            strerror(errno));
    _exit(71);
}

static unsigned long long start_time_of(pid_t pid)
{
    char digits[16];
    struct proc_stat stat = {0};

    snprintf(digits, sizeof digits, "%d", (int)pid);
    return proc_read_stat(digits, &stat) == 0 ? stat.start_time : 0;
}

static int start(struct runner *runner, char **argv, const struct far_ends *far)
{
    char channel[16], words[16], config[16] = "";
    const pid_t keeper = getpid();
    char **arguments;

    if (far->config > 0)
        snprintf(config, sizeof config, "%d", far->config);
    arguments = make_arguments(argv, channel, words, config);

    if (!arguments)
        return -1;
    snprintf(channel, sizeof channel, "%d", far->channel);
    snprintf(words, sizeof words, "%d", far->words);
    runner->pid = fork();
    if (runner->pid == 0)
        become_runner(keeper, far, arguments);
    free(arguments);
    if (runner->pid < 0) {
        runner->pid = 0;
        return -1;
    }
    runner->pidfd = pidfd_open(runner->pid, 0);
    runner->start_time = start_time_of(runner->pid);
    return 0;
}

int runner_start(struct runner *runner, char **argv, int config_fd, int ret_child_fds[2])
{
    struct far_ends far;
    int started, cause;

    runner_init(runner);
    started = make_ends(runner, &far);
    far.config = config_fd;
    if (started == 0)
        started = start(runner, argv, &far);
    cause = errno;
    ret_child_fds[0] = ret_child_fds[1] = -1;
    if (started == 0) {
        ret_child_fds[0] = far.notices;
        ret_child_fds[1] = far.board;
        far.notices = far.board = -1;
    }
    close_far(&far);
    if (started < 0)
        runner_close(runner);
    errno = cause;
    return started;
}

/* ---- what it says ------------------------------------------------------------------------ */

void runner_hear(struct runner *runner)
{
    ssize_t got = 1;

    while (got > 0 && runner->words_fd >= 0 && runner->words_size < sizeof runner->words - 1) {
        got = read(runner->words_fd, runner->words + runner->words_size,
                   sizeof runner->words - 1 - runner->words_size);
        if (got > 0)
            runner->words_size += (size_t)got;
    }
    runner->words[runner->words_size] = '\0';
}

/* Returns the TEXT of "ended CODE TEXT"; NULL: it is another line. */
static char *text_of_end(char *line, int *ret_code)
{
    static const char ended[] = "ended ";
    char *space;

    if (strncmp(line, ended, sizeof ended - 1) != 0)
        return NULL;
    *ret_code = (int)strtol(line + sizeof ended - 1, &space, END_LINE);
    return *space == ' ' ? space + 1 : NULL;
}

static void read_end(struct runner *runner, struct runner_end *ret)
{
    static char none[] = "";
    char *line = strstr(runner->words, "ended "), *rest;
    int told = -1;

    ret->text = ret->earlier = none;
    if (!line || (line > runner->words && line[-1] != '\n'))
        return;
    rest = strchr(line, '\n');
    if (!rest)
        return;
    *rest = '\0';
    ret->earlier = rest + 1;
    ret->text = text_of_end(line, &told);
    ret->was_told = ret->text && told == ret->code;
    if (!ret->text || strcmp(ret->text, "-") == 0)
        ret->text = none;
}

bool runner_has_ended(struct runner *runner, struct runner_end *ret)
{
    int status;

    if (runner->pid == 0 || waitpid(runner->pid, &status, WNOHANG) <= 0)
        return false;
    runner->pid = 0;
    *ret = (struct runner_end){0};
    ret->signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    ret->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    runner_hear(runner);
    read_end(runner, ret);
    return true;
}

void runner_signal(const struct runner *runner, int number)
{
    if (runner->pid <= 0)
        return;
    /* It is our child, and was not waited for, so the number is still its own. */
    kill(runner->pid, number);
}

void runner_close(struct runner *runner)
{
    const int all[] = {runner->pidfd, runner->channel, runner->words_fd, runner->notices_fd};

    if (runner->pid > 0) {
        runner_signal(runner, SIGKILL);
        while (waitpid(runner->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] >= 0)
            close(all[i]);
    if (runner->board)
        munmap(runner->board, sizeof *runner->board);
    runner_init(runner);
}
