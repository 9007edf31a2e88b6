/* Black-box tests: start real daemons, watch them, talk to them, end them.
 * Plain functions, for Criterion tests and plain mains alike.
 *
 *     const char *dir = temp_dir_make();
 *     const char *endpoint = textf("unix:%s/x.sock", dir);
 *     struct process *rpd = RPD_START(dir, build_path("plugins/echo.so"), "-l", endpoint);
 *
 *     cr_assert_eq(process_wait_bound(rpd), 0, "%s", process_stderr(rpd));
 *     int fd = connect_to(endpoint);
 *     cr_assert_eq(send_all(fd, "hello\n", 6), 0);
 *     ...
 *     cr_assert_eq(process_code(process_stop(rpd)), 0);
 *     process_free(rpd);
 *     temp_dir_remove(dir);
 *
 * Nothing here sleeps: every wait is a poll on the thing itself, with one
 * deadline, 20 s (RPD_TEST_DEADLINE_S sets another). A wait whose deadline
 * passes says so on stderr, together with what the process had written.
 *
 * Nothing is left behind. Children die with the thread that started them
 * (PR_SET_PDEATHSIG), so start them on one that lives as long as the test;
 * at exit(), also that of a test that failed, and in test_die(), the children
 * that are left are killed and the directories removed. Tests running in
 * parallel share nothing. What is not a test's business, such as no memory or
 * no descriptors for the test itself, ends in test_die(). */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- Text and paths --------------------------------------------------- */

/* Prints the message, kills what was started, removes the directories, abort(). */
void test_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Formatted text that lives until the test ends. */
const char *textf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A new directory, 0700, with a path short enough for socket addresses, under
 * $TMPDIR or /tmp. Removed with all that is in it. */
const char *temp_dir_make(void);
void temp_dir_remove(const char *dir);

/* A file of the build tree: build_path("plugins/echo.so"). The tree is
 * $RPD_BUILD, else RPD_BUILD_DIR as compiled in. */
const char *build_path(const char *relative);

/* Sanitized daemons are slower, larger, and cannot be copied set-uid. */
bool is_sanitized(void);

/* A file beside the running program, for a test's own helpers. */
const char *beside_path(const char *name);

/* Writes a whole file; reads one as text (NULL and errno if it cannot). The
 * text lives until the test ends. */
void file_write(const char *path, const void *data, size_t size);
const char *file_read(const char *path);

/* Monotonic. */
int64_t now_ns(void);

/* ---- Processes -------------------------------------------------------- */

struct process;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

struct process_options {
    /* argv[0] without a slash is looked for in the build tree, then in PATH. */
    const char *const *argv;
    /* "NAME=value" sets, "NAME" removes; the rest is inherited, but without
     * LISTEN_* and NOTIFY_SOCKET. */
    const char *const *env;
    const char *runtime_dir; /* RPD_RUNTIME_DIR */
    const char *directory;   /* working directory */
    bool notify;             /* appends "--notify-fd N", for process_wait_bound() */
    /* Inherited as descriptors 3, 4, ... with LISTEN_FDS and LISTEN_PID. */
    const int *listen_fds;
    size_t listen_count;
    /* If not 0: inherited, with "--start-fd N" as the first arguments. */
    int start_fd;
    /* If not 0: the child reads one byte from it before it calls exec. For
     * starting many at the same moment. */
    int gate_fd;
};

/* fork and exec: never waits for the child. stdin is /dev/null, stdout and
 * stderr are captured, signals are as by default, and no other descriptor is
 * inherited. If exec fails the child says so on stderr and ends with 127. */
struct process *process_start(const struct process_options *options);

/* The usual case: rpd, with its run-time directory, and told when bound. */
#define RPD_START(dir, ...)                                                                        \
    process_start(&(struct process_options){                                                       \
        .argv = ARGS("rpd", __VA_ARGS__), .runtime_dir = (dir), .notify = true})

/* 0 when it has announced BOUND: on the notification descriptor, else by the
 * line on stderr. -1 if it ended first (errno ESRCH) or at the deadline
 * (ETIMEDOUT). */
int process_wait_bound(struct process *process);

/* 0 when stderr has `count` whole lines that contain the text (one, in the
 * short form). -1 as above. */
int process_wait_lines(struct process *process, const char *text, size_t count);
int process_wait_line(struct process *process, const char *text);

/* Waits for the end. The wait status; -1 at the deadline. Again and again, if
 * you like. */
int process_wait_exit(struct process *process);

/* SIGTERM, then the end. The wait status; -1 if it did not end in time: then it
 * has been killed. */
int process_stop(struct process *process);

/* A wait status as a shell shows it: the exit code, or 128 + signal; -1 of -1. */
int process_code(int wait_status);

/* By pidfd; 0, or -1 if it has ended. */
int process_signal(struct process *process, int signal_number);

/* Kills it if it still runs. NULL is fine. */
void process_free(struct process *process);

/* For tests with many: takes in whatever comes from any of them, once, and
 * waits for it at most timeout_ns. NULLs are skipped. Whether anything came. */
bool process_poll(struct process *const *list, size_t count, int64_t timeout_ns);

/* What is known so far, without waiting and without looking again. */
pid_t process_pid(const struct process *process);
bool process_bound(const struct process *process);       /* told by the notification descriptor */
int64_t process_bound_ns(const struct process *process); /* when that was seen */
bool process_exited(const struct process *process, int *ret_wait_status);

/* What it has written so far: taken in now, so that also what is not there can be relied on.
 * What a daemon says in a later turn of its loop is there when it has ended. Never NULL; until
 * the next call. */
const char *process_stderr(const struct process *process);
const char *process_stdout(const struct process *process);

/* Looks now: has not ended yet. A zombie has. */
bool process_alive(const struct process *process);

/* The first endpoint of the "bound" line that begins so: process_endpoint(p,
 * "tcp:") has the port that was given. NULL if there is none (yet). */
const char *process_endpoint(const struct process *process, const char *prefix);

/* ---- Clients ---------------------------------------------------------- */

/* Connects to unix:/path, unix:@abstract, tcp:1.2.3.4:port or tcp:[::1]:port.
 * Blocking, with the deadline on every read and write. -1 and errno. */
int connect_to(const char *endpoint);

/* 0, or -1 and errno; ETIMEDOUT at the deadline. No SIGPIPE. */
int send_all(int fd, const void *data, size_t size);

/* These read up to size bytes: all of them; up to and with a newline, not a
 * byte beyond it; up to end-of-file. The number of bytes, which is less than
 * asked for at end-of-file, or -1 and errno. The last two end the text with a
 * NUL, for which the buffer has one byte of its size. */
ssize_t read_exactly(int fd, void *buffer, size_t size);
ssize_t read_line(int fd, char *buffer, size_t size);
ssize_t read_to_end(int fd, char *buffer, size_t size);

/* The pid that listens at the other end of a unix socket; -1 and errno. */
pid_t peer_pid(int fd);

/* ---- Of any process --------------------------------------------------- */

/* -1 if it is gone. */
int count_fds(pid_t pid);
long rss_kib(pid_t pid);
int64_t cpu_time_ns(pid_t pid); /* user and system, all threads */

#endif
