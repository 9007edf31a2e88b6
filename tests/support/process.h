/* Black-box tests: start real daemons, watch them, talk to them, end them. Plain functions, for
 * Criterion tests and plain mains alike.
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
 * Nothing here sleeps: every wait is a poll on the thing itself, with one deadline, 20 s
 * (RPD_TEST_DEADLINE_S sets another). A wait whose deadline passes says so on stderr, together with
 * what the process had written.
 *
 * Nothing is left behind. Children die with the thread that started them (PR_SET_PDEATHSIG), so
 * start them on one that lives as long as the test; at exit(), even after a failed test, and in
 * test_die(), the remaining children are killed and the directories removed. Tests running in
 * parallel share nothing. Failures that no test is about, such as running out of memory or
 * descriptors in the test itself, end in test_die(). */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- Text and paths --------------------------------------------------- */

/* Prints the message, kills the started processes, removes the directories, and calls abort(). */
void test_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Formatted text that lives until the test ends. */
const char *textf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A new directory, 0700, with a path short enough for socket addresses, under $TMPDIR or /tmp. It
 * is removed with its content. */
const char *temp_dir_make(void);
void temp_dir_remove(const char *dir);

/* A file of the build tree: build_path("plugins/echo.so"). The tree is $RPD_BUILD, or else the
 * compiled-in RPD_BUILD_DIR. */
const char *build_path(const char *relative);

/* Sanitized daemons are slower, larger, and cannot be copied set-uid. */
bool is_sanitized(void);

/* RPD_TEST_KEEPER=1: each "rpd" is started with --keeper. */
bool with_keeper(void);

/* A file beside the running program, for a test's own helpers. */
const char *beside_path(const char *name);

/* file_write() writes a whole file; file_read() reads one as text (NULL and errno if it cannot).
 * The text lives until the test ends. */
void file_write(const char *path, const void *data, size_t size);
const char *file_read(const char *path);

/* The monotonic clock. */
int64_t now_ns(void);

/* ---- Processes -------------------------------------------------------- */

struct process;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

struct process_options {
    /* argv[0] without a slash is looked for in the build tree, then in PATH. */
    const char *const *argv;
    /* "NAME=value" sets, "NAME" removes; everything else is inherited, except LISTEN_* and
     * NOTIFY_SOCKET. */
    const char *const *env;
    const char *runtime_dir; /* RPD_RUNTIME_DIR */
    const char *directory;   /* working directory */
    bool notify;             /* appends "--notify-fd N", for process_wait_bound() */
    /* Inherited as descriptors 3, 4, ... with LISTEN_FDS and LISTEN_PID. */
    const int *listen_fds;
    size_t listen_count;
    /* If not 0: inherited, with "--start-fd N" as the first arguments. */
    int start_fd;
    /* If not 0: the child reads one byte from it before it calls exec. For starting many at the
     * same moment. */
    int gate_fd;
};

/* fork and exec: never waits for the child. stdin is /dev/null, stdout and stderr are captured,
 * signals are as by default, and no other descriptor is inherited. If exec fails, the child reports
 * it on stderr and ends with 127. */
struct process *process_start(const struct process_options *options);

/* The usual case: rpd with its run-time directory and the notification of BOUND. */
#define RPD_START(dir, ...)                                                                        \
    process_start(&(struct process_options){                                                       \
        .argv = ARGS("rpd", __VA_ARGS__), .runtime_dir = (dir), .notify = true})

/* Returns 0 when the process has announced BOUND: on the notification descriptor, or else by the
 * line on stderr. -1 if it ended first (errno ESRCH) or at the deadline (ETIMEDOUT). */
int process_wait_bound(struct process *process);

/* Returns 0 when stderr has `count` complete lines that contain the text (one, in the short form).
 * -1 as above. */
int process_wait_lines(struct process *process, const char *text, size_t count);
int process_wait_line(struct process *process, const char *text);

/* Waits for the end. Returns the wait status; -1 at the deadline. May be called again. */
int process_wait_exit(struct process *process);

/* Sends SIGTERM and waits for the end. Returns the wait status; -1 if the process did not end in
 * time: then it has been killed. */
int process_stop(struct process *process);

/* A wait status as a shell shows it: the exit code, or 128 + signal; -1 of -1. */
int process_code(int wait_status);

/* Sends a signal by pidfd. 0, or -1 if the process has ended. */
int process_signal(struct process *process, int signal_number);

/* Kills the process if it still runs. NULL is allowed. */
void process_free(struct process *process);

/* For tests with many processes: reads what any of them has written, once, and waits for it at most
 * timeout_ns. NULLs are skipped. Returns whether there was any output. */
bool process_poll(struct process *const *list, size_t count, int64_t timeout_ns);

/* The state so far, without waiting and without looking again. */
pid_t process_pid(const struct process *process);
bool process_bound(const struct process *process);       /* by the notification descriptor */
int64_t process_bound_ns(const struct process *process); /* when that was seen */
bool process_exited(const struct process *process, int *ret_wait_status);

/* The output so far, read now, so that a text that is missing has not been written yet. Lines from
 * a later turn of the daemon's loop are complete only when it has ended. Never NULL; valid until
 * the next call. */
const char *process_stderr(const struct process *process);
const char *process_stdout(const struct process *process);

/* Checks now whether the process has not ended yet. A zombie has. */
bool process_alive(const struct process *process);

/* The first endpoint of a "bound" line with this prefix: process_endpoint(p, "tcp:") has the actual
 * port. NULL if there is none (yet). */
const char *process_endpoint(const struct process *process, const char *prefix);

/* ---- Clients ---------------------------------------------------------- */

/* Connects to unix:/path, unix:@abstract, tcp:1.2.3.4:port or tcp:[::1]:port.
 * Blocking, with the deadline on every read and write. -1 and errno. */
int connect_to(const char *endpoint);

/* 0, or -1 and errno; ETIMEDOUT at the deadline. No SIGPIPE. */
int send_all(int fd, const void *data, size_t size);

/* These read at most size bytes: all of them; up to and including a newline, and no byte beyond it;
 * up to end-of-file. They return the number of bytes, which is smaller than requested at
 * end-of-file, or -1 and errno. The last two end the text with a NUL, for which the buffer has one
 * byte of its size. */
ssize_t read_exactly(int fd, void *buffer, size_t size);
ssize_t read_line(int fd, char *buffer, size_t size);
ssize_t read_to_end(int fd, char *buffer, size_t size);

/* The pid that listens at the other end of a unix socket; -1 and errno. */
pid_t peer_pid(int fd);

/* ---- Any process ------------------------------------------------------ */

/* -1 if it is gone. */
int count_fds(pid_t pid);
long rss_kib(pid_t pid);
int64_t cpu_time_ns(pid_t pid); /* user and system time of all threads */

#endif
