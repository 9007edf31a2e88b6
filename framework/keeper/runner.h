/* One runner, as its keeper sees it: the process, what it reports, and how it ended.
 *
 * The keeper starts it with /proc/self/exe --runner-fd N --start-fd M [--config-fd K] and the
 * keeper's own arguments: by an exec, so that each runner has an address layout of its own. The
 * runner dies with its keeper (PR_SET_PDEATHSIG), and the kernel ends it first when memory runs
 * out. */
#ifndef FRAMEWORK_RUNNER_H
#define FRAMEWORK_RUNNER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RUNNER_WORDS_MAX = PIPE_BUF + 2048, RUNNER_BOARD_MAX = 512 };

/* Memory that a runner shares with its keeper, one word a service: how many clients of the waiting
 * room it has admitted. The runner writes the word just before the backend's code sees the client,
 * so that after a crash the keeper knows which clients were not admitted. */
struct runner_board {
    uint64_t admitted[RUNNER_BOARD_MAX];
};

struct runner {
    pid_t pid; /* 0: there is none */
    unsigned long long start_time;
    int pidfd; /* -1: there is none, or the system gives none */
    int channel, words_fd, notices_fd;
    struct runner_board *board;
    char words[RUNNER_WORDS_MAX]; /* what it wrote to its start descriptor */
    size_t words_size;
};

/* How it ended. */
struct runner_end {
    int code; /* the exit code, or 128 and the signal */
    int signal_number;
    bool was_told; /* by rpd itself, as the last thing */
    char *text;    /* the last error line, without "rpd: "; "": none. In the runner's words[] */
    char *earlier; /* "said TEXT\n" for each line before that */
};

void runner_init(struct runner *runner);

/* [start][loop] argv: the keeper's own. config_fd: the copy of its configuration, which stays the
 * caller's; 0: there is none. ret_child_fds: the far ends that the setup passes on: the
 * notices' socket and the board; the caller closes them. 0, or -1 and errno. */
int runner_start(struct runner *runner, char **argv, int config_fd, int ret_child_fds[2]);

/* [start][loop] Reads what the runner has reported. Legal at any time. */
void runner_hear(struct runner *runner);

/* [start][loop] Whether the process has ended; if so, *ret says how, until runner_close(). */
bool runner_has_ended(struct runner *runner, struct runner_end *ret);

/* [start][loop] Sends a signal by the runner's pidfd. */
void runner_signal(const struct runner *runner, int number);

/* [start][loop] Kills it if it runs, and closes what belongs to it. Legal at any time. */
void runner_close(struct runner *runner);

#endif
