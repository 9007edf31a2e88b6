/* The table of faults as tests. A fault is a row, a phase is a column, and each cell says how the
 * fault is provoked and what must be observed. It is the part of FAULTS.md about a running daemon,
 * in the columns LD, SRV and DRN; a separate test compares the two.
 *
 *     stage.h      the daemon, the clients that must not notice the fault, and the shared checks
 *     provoke.h    how each fault is provoked
 *
 * Each variant of a cell is a test. RPD_TEST_LONG=1 asks for the long forms, RPD_TEST_ROW=31 for
 * that row alone. */
#include "provoke.h"

#include <criterion/parameterized.h>

/* ---- what must be observed ------------------------------------------------------------ */

enum ending {
    GOES_ON, /* only the affected client has noticed; then a clean stop */
    ENDS,    /* with an exit code, leaving no files */
    DIES     /* by the signal; the next start wins at the first try */
};

/* An expectation in the words of FAULTS.md's legend. code: the exit code, or 128 + signal;
 * VARIANTS: the signal of the variant. All words are in one line on stderr; "$" among them stands
 * for the variant's last word, "%" for the name of its signal. */
struct expectation {
    const char *legend;
    enum ending ending;
    int code;
    const char *words[6];
};

enum { VARIANTS = -1 };

#define DIES_BY(number, ...)                                                                       \
    {                                                                                              \
        "†", DIES, number,                                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define IS_NAMED(...)                                                                              \
    {                                                                                              \
        "named", GOES_ON, 0,                                                                       \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define IS_NAMED_AND_ENDED(...)                                                                    \
    {                                                                                              \
        "named; ended where it cannot go on", ENDS, 70,                                            \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define IS_COUNTED(...)                                                                            \
    {                                                                                              \
        "counted", GOES_ON, 0,                                                                     \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define STOPS_WITH(exit_code, ...)                                                                 \
    {                                                                                              \
        "S", ENDS, exit_code,                                                                      \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define IS_TOLD_AND_ENDED(exit_code, ...)                                                          \
    {                                                                                              \
        "T", ENDS, exit_code,                                                                      \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define FAILS_ALONE                                                                                \
    {                                                                                              \
        "K", GOES_ON, 0,                                                                           \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }
#define IS_SHED(...)                                                                               \
    {                                                                                              \
        "B", GOES_ON, 0,                                                                           \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define LOAD_FAILS(...)                                                                            \
    {                                                                                              \
        "E", GOES_ON, 0,                                                                           \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define IS_HELD                                                                                    \
    {                                                                                              \
        "L", GOES_ON, 0,                                                                           \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }
#define HAS_NO_EFFECT                                                                              \
    {                                                                                              \
        "R, I", GOES_ON, 0,                                                                        \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }
#define ITS_OWN_WIN                                                                                \
    {                                                                                              \
        "its own win", GOES_ON, 0,                                                                 \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }
#define WORKS                                                                                      \
    {                                                                                              \
        "works", GOES_ON, 0,                                                                       \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }
#define WAITS                                                                                      \
    {                                                                                              \
        "W", GOES_ON, 0,                                                                           \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }

#define IS_BOUNDED                                                                                 \
    {                                                                                              \
        "≤ limits.buffer_bytes", GOES_ON, 0,                                                       \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }

/* ---- the table -------------------------------------------------------------------------- */

enum { MOST_VARIANTS = 12 };

struct cell {
    provoke_fn *arrange; /* called before the daemon is told to drain */
    provoke_fn *provoke; /* NULL: no cell */
    const char *variants[MOST_VARIANTS];
    struct setup setup; /* "$" in its texts stands for the variant's last word */
    struct expectation expect;
    unsigned long_rounds; /* in the long form */
    const char *not_under_tsan;
};

struct row {
    int number; /* in FAULTS.md */
    const char *fault;
    struct cell cells[PHASES];
};

#define LOAD_DOES "\"load\":\"$\","
#define SUMS "\"limits\":{\"buffer_bytes\":33554432,\"request_s\":0},"
#define DRAINS_1_S "\"drain_s\":1,"
#define STALL_TEXT "faulty.so): stood still for 2 s in "
#define FORCED "rpd: stop: drain: not over one second after drain_s had passed"

#define TOOLS "valgrind", "strace", "malloc", "tls", "sigchld"
/* Under a tool the daemon is slow, and its deadlines are not tested. */
#define PATIENT                                                                                    \
    "\"endpoint_deadline_ms\":20000,\"code_deadline_ms\":60000,\"stall_s\":0,\"drain_s\":60,"

/* clang-format off */
static const struct row table[] = {
    {1, "SIGKILL at any syscall", {
        [LOADING] = {NULL, provoke_kill,
            {"read", "write", "epoll_wait", "accept4", "futex", "%network", "%desc", "at random"},
            .expect = DIES_BY(128 + SIGKILL), .long_rounds = 25},
        [SERVING] = {NULL, provoke_kill,
            {"read", "write", "epoll_wait", "accept4", "futex", "close", "at random"},
            .expect = DIES_BY(128 + SIGKILL), .long_rounds = 25},
        [DRAINING] = {arrange_kill, provoke_kill,
            {"/^rename", "/^unlink", "close", "write", "futex", "munmap", "exit_group", "at random"},
            .expect = DIES_BY(128 + SIGKILL), .long_rounds = 25}}},
    {2, "SIGSEGV/BUS/FPE/ILL in plugin, main or worker thread", {
        [LOADING] = {NULL, provoke_crash,
            {"loop segv", "loop bus", "loop fpe", "loop ill",
             "worker segv", "worker bus", "worker fpe", "worker ill"},
            .setup = {.options = LOAD_DOES},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "step serve", "service ",
                "faulty.so")},
        [SERVING] = {NULL, provoke_crash,
            {"loop segv", "loop bus", "loop fpe", "loop ill",
             "worker segv", "worker bus", "worker fpe", "worker ill"},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "service faulty", "faulty.so")},
        [DRAINING] = {arrange_crash, provoke_crash,
            {"loop segv", "loop bus", "loop fpe", "loop ill",
             "worker segv", "worker bus", "worker fpe", "worker ill"},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "service faulty", "faulty.so")}}},
    {3, "stack overflow", {
        [LOADING] = {NULL, provoke_crash, {"loop overflow", "worker overflow"},
            .setup = {.options = LOAD_DOES},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "stack overflow", "service ",
                "faulty.so")},
        [SERVING] = {NULL, provoke_crash, {"loop overflow", "worker overflow"},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "stack overflow", "service faulty")},
        [DRAINING] = {arrange_crash, provoke_crash, {"loop overflow", "worker overflow"},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "stack overflow", "service faulty")}}},
    {4, "abort()/assert in plugin", {
        [LOADING] = {NULL, provoke_crash,
            {"loop abort", "loop assert", "worker abort", "worker assert"},
            .setup = {.options = LOAD_DOES},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "step serve", "service ",
                "faulty.so")},
        [SERVING] = {NULL, provoke_crash,
            {"loop abort", "loop assert", "worker abort", "worker assert"},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "service faulty", "faulty.so")},
        [DRAINING] = {arrange_crash, provoke_crash,
            {"loop abort", "loop assert", "worker abort", "worker assert"},
            .expect = DIES_BY(VARIANTS, "rpd: crash: ", "%", "service faulty", "faulty.so")}}},
    {6, "infinite loop / sleep in plugin", {
        [LOADING] = {NULL, provoke_hung_load, {"sleep", "spin"},
            .setup = {.top = DRAINS_1_S, .service = "\"no_progress_s\":1,",
             .options = LOAD_DOES "\"reports\":true,"},
            .expect = IS_TOLD_AND_ENDED(69, "load: load (", "faulty.so", "no progress for 1 s",
                "$_for_ever"),
            .not_under_tsan = "a signal handler waits there until the code makes some call"},
        [SERVING] = {NULL, provoke_stall, {"sleep", "spin"}, .setup = {.top = "\"stall_s\":2,"},
            .expect = IS_TOLD_AND_ENDED(70, "service faulty (", STALL_TEXT, "$_for_ever"),
            .not_under_tsan = "a signal handler waits there until the code makes some call"},
        [DRAINING] = {NULL, provoke_forced_end, {"drain", "unload"},
            .setup = {.top = DRAINS_1_S, .options = "\"$\":\"sleep\","},
            .expect = IS_TOLD_AND_ENDED(70, FORCED)}}},
    {7, "deadlock in a worker", {
        [LOADING] = {NULL, provoke_hung_load, {"deadlock"},
            .setup = {.top = DRAINS_1_S, .service = "\"no_progress_s\":1,", .options = LOAD_DOES},
            .expect = IS_TOLD_AND_ENDED(69, "load: load (", "faulty.so", "no progress for 1 s",
                "deadlock"),
            .not_under_tsan = "a signal handler waits there until the code makes some call"},
        [SERVING] = {NULL, provoke_deadlocked_job, {"job"},
            .setup = {.top = DRAINS_1_S "\"workers\":1,"},
            .expect = IS_TOLD_AND_ENDED(70, "job of service faulty has been running for ", "deadlock",
                "faulty.so"),
            .not_under_tsan = "a signal handler waits there until the code makes some call"},
        [DRAINING] = {arrange_deadlocked_job, provoke_forced_end, {"job"},
            .setup = {.top = DRAINS_1_S},
            .expect = IS_TOLD_AND_ENDED(70, FORCED)}}},
    {14, "EMFILE", {
        [LOADING] = {NULL, provoke_emfile_in_load, {"read"},
            .setup = {.service = "\"on_load_failure\":\"retry\",", .options = LOAD_DOES},
            .expect = LOAD_FAILS("faulty: warning: load failed: ",
                "Too many open files; trying again in 1 s")},
        [SERVING] = {NULL, provoke_emfile, {"of accept4"},
            .expect = IS_SHED("faulty: warning: cannot accept clients (")},
        [DRAINING] = {arrange_emfile, provoke_after_emfile, {"of accept4"},
            .expect = HAS_NO_EFFECT}}},
    {15, "ENFILE / ENOBUFS / ENOMEM from accept", {
        [SERVING] = {NULL, provoke_accept_error, {"ENFILE", "ENOBUFS", "ENOMEM"},
            .setup = {.has_shim = true},
            .expect = IS_SHED("faulty: warning: cannot accept clients (")},
        [DRAINING] = {arrange_accept_error, NULL, {"ENFILE", "ENOBUFS", "ENOMEM"},
            .setup = {.has_shim = true}, .expect = HAS_NO_EFFECT}}},
    {17, "ECONNABORTED, EPROTO, EPERM from accept", {
        [LOADING] = {NULL, provoke_accept_hiccup, {"ECONNABORTED", "EPROTO", "EPERM"},
            .setup = {.has_shim = true}, .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_accept_hiccup, {"ECONNABORTED", "EPROTO", "EPERM"},
            .setup = {.has_shim = true}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {arrange_accept_hiccup, provoke_after_hiccup,
            {"ECONNABORTED", "EPROTO", "EPERM"},
            .setup = {.has_shim = true, .service = "\"limits\":{\"clients\":1},"},
            .expect = HAS_NO_EFFECT}}},
    {26, "state dir / disk vanishes", {
        [LOADING] = {NULL, provoke_missing_file, {"read"},
            .setup = {.service = "\"on_load_failure\":\"retry\",", .options = LOAD_DOES},
            .expect = LOAD_FAILS("faulty: warning: load failed: ",
                "No such file or directory; trying again in 1 s")},
        [SERVING] = {NULL, provoke_missing_file, {"read"}, .expect = FAILS_ALONE},
        [DRAINING] = {arrange_missing_file, provoke_after_missing_file, {"read"},
            .expect = FAILS_ALONE}}},
    {26, "NFS hang", {
        [LOADING] = {NULL, provoke_hung_load_of_file, {"read"},
            .setup = {.top = DRAINS_1_S, .service = "\"no_progress_s\":1,", .options = LOAD_DOES},
            .expect = IS_TOLD_AND_ENDED(69, "load: load (", "faulty.so", "no progress for 1 s",
                "read_all"),
            .not_under_tsan = "a signal handler waits there until the code makes some call"},
        [SERVING] = {NULL, provoke_hung_disk, {"read"}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {arrange_hung_disk, provoke_forced_end, {"read"}, .setup = {.top = DRAINS_1_S},
            .expect = IS_TOLD_AND_ENDED(70, FORCED)}}},
    {27, "slow disk", {
        [LOADING] = {NULL, provoke_slow_disk, {"read"}, .setup = {.options = LOAD_DOES},
            .expect = IS_HELD},
        [SERVING] = {NULL, provoke_slow_disk, {"read"}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {arrange_slow_disk, provoke_slow_disk, {"read"}, .expect = WAITS}}},
    {28, "SIGTERM", {
        [LOADING] = {NULL, provoke_sigterm, {"1", "10000"},
            .expect = STOPS_WITH(0, "test: load cancelled")},
        [SERVING] = {NULL, provoke_sigterm, {"1", "10000"},
            .expect = STOPS_WITH(0, "stopping: requested by SIGTERM from pid ")},
        [DRAINING] = {NULL, provoke_sigterm, {"1", "10000"}, .expect = HAS_NO_EFFECT}}},
    {28, "a second SIGINT", {
        [DRAINING] = {NULL, provoke_second_sigint, {"SIGINT"},
            .expect = STOPS_WITH(70, "rpd: stop: SIGINT: interrupted twice")}}},
    {30, "SIGPIPE, SIGCHLD, USR1, WINCH, unknown RT signals", {
        [LOADING] = {NULL, provoke_harmless_signals, {"process", "threads"},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_harmless_signals, {"process", "threads"},
            .expect = HAS_NO_EFFECT},
        [DRAINING] = {NULL, provoke_harmless_signals, {"process", "threads"},
            .expect = HAS_NO_EFFECT}}},
    {31, "SIGSTOP 60 s then CONT", {
        [LOADING] = {NULL, provoke_sigstop, {"SIGSTOP"},
            .setup = {.service = "\"no_progress_s\":2,", .options = "\"reports\":true,"},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_sigstop, {"SIGSTOP"}, .setup = {.top = "\"stall_s\":1,"},
            .expect = HAS_NO_EFFECT},
        [DRAINING] = {NULL, provoke_sigstop, {"SIGSTOP"}, .setup = {.top = "\"drain_s\":3,"},
            .expect = HAS_NO_EFFECT}}},
    {33, "full backlog", {
        [LOADING] = {NULL, provoke_full_backlog, {"backlog"},
            .setup = {.service = "\"warmup\":\"backlog\",", .listen = ",\"backlog\":4"},
            .expect = WAITS},
        [SERVING] = {NULL, provoke_full_backlog, {"clients"},
            .setup = {.service = "\"limits\":{\"clients\":2},", .listen = ",\"backlog\":4"},
            .expect = WAITS},
        [DRAINING] = {arrange_full_backlog, provoke_after_full_backlog, {"clients"},
            .setup = {.service = "\"limits\":{\"clients\":1},", .listen = ",\"backlog\":4"},
            .expect = WAITS}}},
    {34, "slowloris", {
        [LOADING] = {NULL, provoke_slow_senders, {"unix"}, .expect = IS_HELD},
        [SERVING] = {NULL, provoke_slow_senders, {"unix"},
            .setup = {.service = "\"limits\":{\"request_s\":2},"}, .expect = FAILS_ALONE},
        [DRAINING] = {arrange_slow_senders, provoke_after_slow_senders, {"unix"},
            .setup = {.top = DRAINS_1_S},
            .expect = STOPS_WITH(0, "faulty: warning: drain_s has passed: ", "are cut off")}}},
    {35, "half-close (FIN then wait)", {
        [LOADING] = {NULL, provoke_half_close, {"both"}, .expect = IS_HELD},
        [SERVING] = {NULL, provoke_half_close, {"both"}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {arrange_half_close, provoke_after_half_close, {"both"},
            .expect = HAS_NO_EFFECT}}},
    {36, "RST mid-request, mid-reply, in backlog", {
        [LOADING] = {NULL, provoke_reset, {"silent", "mid-request", "backlog"},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_reset, {"silent", "mid-request", "mid-reply", "backlog"},
            .expect = FAILS_ALONE},
        [DRAINING] = {arrange_reset, provoke_after_reset, {"mid-request", "mid-reply"},
            .expect = STOPS_WITH(0, "faulty: stopped")}}},
    {37, "1-byte writes, splits at every offset", {
        [LOADING] = {NULL, provoke_splits, {"unix", "tcp"}, .expect = IS_HELD},
        [SERVING] = {NULL, provoke_splits, {"unix", "tcp"}, .expect = HAS_NO_EFFECT}}},
    {39, "never-reading client", {
        [SERVING] = {NULL, provoke_never_reading,
            {"is paused", "asks for more than may wait", "takes nothing for write_stall_s"},
            .setup = {.service = "\"limits\":{\"write_stall_s\":2},"}, .expect = FAILS_ALONE},
        [DRAINING] = {arrange_never_reading, provoke_after_never_reading, {"unix"},
            .setup = {.top = DRAINS_1_S},
            .expect = STOPS_WITH(0, "faulty: warning: drain_s has passed: 1 clients")}}},
    {40, "idle connections up to fd limit -32", {
        [SERVING] = {NULL, provoke_idle_crowd, {"unix"},
            .setup = {.nofile = 1100}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {arrange_idle_crowd, provoke_after_idle_crowd, {"unix"},
            .setup = {.nofile = 1100}, .expect = HAS_NO_EFFECT}}},
    {42, "worker queue full / 10^6 posted jobs", {
        [LOADING] = {NULL, provoke_flood, {"flood"}, .setup = {.service = "\"warmup\":\"serve\","},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_flood, {"flood"}, .expect = FAILS_ALONE},
        [DRAINING] = {arrange_flood, provoke_after_flood, {"flood"},
            .expect = STOPS_WITH(0, "test: faulty: jobs accepted ")}}},
    {54, "the run-time directory, or an endpoint's, is removed, moved", {
        [LOADING] = {NULL, provoke_lost_directory, {"run removed", "run moved", "endpoint moved"},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_lost_directory, {"run removed", "run moved", "endpoint moved"},
            .expect = HAS_NO_EFFECT},
        [DRAINING] = {NULL, provoke_lost_directory, {"run removed", "run moved", "endpoint moved"},
            .expect = HAS_NO_EFFECT}}},
    {54, "the run-time directory, or an endpoint's, is mounted over, unmounted", {
        [LOADING] = {NULL, provoke_mounts, {"run mounted over", "endpoint mounted over"},
            .setup = {.has_mounts = true}, .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_mounts, {"run mounted over", "endpoint mounted over"},
            .setup = {.has_mounts = true}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {NULL, provoke_mounts, {"run mounted over", "endpoint mounted over"},
            .setup = {.has_mounts = true}, .expect = HAS_NO_EFFECT}}},
    {55, "another user writes in the run-time directory", {
        [LOADING] = {NULL, provoke_forgery, {"lock", "page", "record", "history", "service"},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_forgery, {"lock", "page", "record", "history", "service"},
            .expect = HAS_NO_EFFECT},
        [DRAINING] = {NULL, provoke_forgery, {"service"}, .expect = HAS_NO_EFFECT}}},
    {56, "daemon and observer in different namespaces, other boot id, no /proc", {
        [LOADING] = {NULL, provoke_elsewhere, {"pid", "time", "user", "mount", "boot-id", "no-proc"},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_elsewhere, {"pid", "time", "user", "mount", "boot-id", "no-proc"},
            .expect = HAS_NO_EFFECT},
        [DRAINING] = {NULL, provoke_elsewhere,
            {"pid", "time", "user", "mount", "boot-id", "no-proc"}, .expect = HAS_NO_EFFECT}}},
    {57, "a system call is denied by the sandbox", {
        [LOADING] = {NULL, provoke_denied,
            {"close_range", "accept4", "inotify_init1", "pidfd_open", "F_OFD_GETLK"},
            .setup = {.denied = "$"}, .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_accept_error, {"ECONNABORTED", "EPROTO"},
            .setup = {.has_shim = true},
            .expect = IS_SHED("faulty: warning: cannot accept clients (accept: ")},
        [DRAINING] = {NULL, provoke_denied,
            {"close_range", "accept4", "inotify_init1", "pidfd_open", "F_OFD_GETLK"},
            .setup = {.denied = "$"}, .expect = HAS_NO_EFFECT}}},
    {58, "a plugin's own names equal libevent's, jansson's, librpd's", {
        [LOADING] = {NULL, provoke_names, {"load names"},
            .setup = {.options = LOAD_DOES}, .expect = ITS_OWN_WIN},
        [SERVING] = {NULL, provoke_names, {"loop names", "worker names"}, .expect = ITS_OWN_WIN},
        [DRAINING] = {NULL, provoke_names, {"drain names"},
            .setup = {.options = "\"drain\":\"$\","}, .expect = ITS_OWN_WIN}}},
    {59, "valgrind, strace, preloaded malloc, large static TLS, inherited SIGCHLD=ignore", {
        [LOADING] = {NULL, NULL, {TOOLS}, .setup = {.top = PATIENT, .tool = "$"}, .expect = WORKS},
        [SERVING] = {NULL, NULL, {TOOLS}, .setup = {.top = PATIENT, .tool = "$"}, .expect = WORKS},
        [DRAINING] = {NULL, NULL, {TOOLS}, .setup = {.top = PATIENT, .tool = "$"},
            .expect = WORKS}}},
    {60, "thousands of clients busy at once; one client with much work", {
        [LOADING] = {NULL, provoke_busy, {"many clients", "one client"},
            .setup = {.top = "\"stall_s\":5,"}, .expect = IS_HELD},
        [SERVING] = {NULL, provoke_busy, {"many clients", "one client"},
            .setup = {.top = "\"stall_s\":5,"}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {arrange_busy, provoke_after_busy, {"many clients", "one client"},
            .setup = {.top = "\"stall_s\":5,\"drain_s\":60,"}, .expect = HAS_NO_EFFECT}}},
    {61, "sum of all buffers: many slow readers, many unfinished requests", {
        [LOADING] = {NULL, provoke_sums, {"unread answers", "unfinished requests"},
            .setup = {.service = "\"warmup\":\"serve\"," SUMS}, .expect = IS_BOUNDED},
        [SERVING] = {NULL, provoke_sums, {"unread answers", "unfinished requests"},
            .setup = {.service = SUMS}, .expect = IS_BOUNDED},
        [DRAINING] = {arrange_sums, provoke_after_sums, {"unfinished requests"},
            .setup = {.top = "\"drain_s\":60,", .service = SUMS}, .expect = IS_BOUNDED}}},
    {63, "two services with one state file", {
        [LOADING] = {NULL, provoke_held_state, {"retry", "exit"},
            .setup = {.service = "\"on_load_failure\":\"$\",", .options = "\"load\":\"claim\","},
            .expect = STOPS_WITH(75, "rpd: claim: ", "this state is in use: pid 1 (service other)",
                " has it")}}},
    {64, "a plugin forks and returns", {
        [LOADING] = {NULL, provoke_offence, {"loop fork", "worker fork"},
            .setup = {.options = LOAD_DOES},
            .expect = IS_NAMED("rpd: ", "faulty.so: its ", " forked a child that returned to rpd")},
        [SERVING] = {NULL, provoke_offence, {"loop fork", "worker fork"},
            .expect = IS_NAMED("rpd: faulty: ", "faulty.so: its ",
                " forked a child that returned to rpd")},
        [DRAINING] = {arrange_offence, provoke_offence, {"loop fork", "worker fork"},
            .expect = IS_NAMED("rpd: faulty: ", "faulty.so: its ",
                " forked a child that returned to rpd")}}},
    {64, "changes signals on the loop", {
        [LOADING] = {NULL, provoke_offence, {"loop signals"},
            .expect = IS_NAMED("rpd: warning: loop: ", "services faulty, witness", " changed ", "handler of SIGTERM",
                "put back")},
        [SERVING] = {NULL, provoke_offence, {"loop signals"},
            .expect = IS_NAMED("rpd: warning: loop: ", "services faulty, witness",
                " changed the signal mask, the handler of SIGTERM", "put back")}}},
    {64, "closes rpd's descriptors", {
        [LOADING] = {NULL, provoke_closing, {"loop close:unix:x.sock", "loop close:unix:faulty.control",
                "loop close:/faulty.lock", "loop close:/.x.sock.lock",
                "loop close:inotify"},
            .expect = IS_NAMED("rpd: warning: loop: ", "services faulty, witness",
                " closed descriptor ")},
        [SERVING] = {NULL, provoke_closing, {"loop close:unix:x.sock", "loop close:unix:faulty.control",
                "loop close:/faulty.lock", "loop close:/.x.sock.lock", "loop close:inotify",
                "worker close:unix:x.sock"},
            .expect = IS_NAMED("rpd: warning: loop: ", "services faulty, witness", " closed descriptor ")}}},
    {64, "closes what wakes the loop", {
        [LOADING] = {NULL, provoke_closing, {"loop close:[eventfd]"},
            .expect = IS_NAMED("rpd: warning: loop: ", " closed descriptor ",
                ", the loop's, for workers")},
        [SERVING] = {NULL, provoke_closing, {"loop close:[eventfd]"},
            .expect = IS_NAMED("rpd: warning: loop: ", " closed descriptor ",
                ", the loop's, for signals")}}},
    {64, "closes the loop's epoll descriptor", {
        [LOADING] = {NULL, provoke_fatal_closing, {"loop close:[eventpoll]"},
            .expect = IS_NAMED_AND_ENDED("rpd: loop: event loop: ", "services faulty, witness",
                " closed its descriptor; ended")},
        [SERVING] = {NULL, provoke_fatal_closing, {"loop close:[eventpoll]"},
            .expect = IS_NAMED_AND_ENDED("rpd: loop: event loop: ", "services faulty, witness",
                " closed its descriptor; ended")}}},
    {64, "closes a listener that cannot be made again", {
        [LOADING] = {NULL, provoke_fatal_closing, {"loop close:tcp"},
            .expect = IS_NAMED_AND_ENDED("rpd: loop: faulty: a listener was closed, and cannot be "
                "made again")},
        [SERVING] = {NULL, provoke_fatal_closing, {"loop close:tcp"},
            .expect = IS_NAMED_AND_ENDED("rpd: loop: faulty: a listener was closed, and cannot be "
                "made again")}}},
    {64, "calls [loop] from a worker", {
        [LOADING] = {NULL, provoke_offence, {"worker foreign"}, .setup = {.options = LOAD_DOES},
            .expect = IS_NAMED("rpd: faulty: warning: ", "called rpd_conn_write() on the thread of "
                "a worker; refused")},
        [SERVING] = {NULL, provoke_offence, {"worker foreign"},
            .expect = IS_NAMED("rpd: faulty: warning: ", "called rpd_conn_write() on the thread of "
                "a worker; refused")},
        [DRAINING] = {arrange_offence, provoke_offence, {"worker foreign"},
            .expect = IS_NAMED("rpd: faulty: warning: ", "called rpd_conn_write() on the thread of "
                "a worker; refused")}}},
    {64, "ends its worker", {
        [LOADING] = {NULL, provoke_offence, {"worker leave"},
            .setup = {.service = "\"on_load_failure\":\"retry\",",
             .options = LOAD_DOES},
            .expect = IS_NAMED("rpd: faulty: warning: ", "its load called pthread_exit()")},
        [SERVING] = {NULL, provoke_offence, {"worker leave"}, .setup = {.top = "\"workers\":1,"},
            .expect = IS_NAMED("rpd: faulty: warning: ", "its run called pthread_exit()")},
        [DRAINING] = {arrange_offence, provoke_offence, {"worker leave"},
            .expect = IS_NAMED("rpd: faulty: warning: ", "its run called pthread_exit()")}}},
    {64, "throws", {
        [LOADING] = {NULL, provoke_offence, {"loop throw", "worker throw"},
            .setup = {.options = LOAD_DOES},
            .expect = DIES_BY(128 + SIGABRT, "rpd: crash: SIGABRT as an exception left ",
                "service ", "faulty.so")},
        [SERVING] = {NULL, provoke_offence, {"loop throw", "worker throw"},
            .expect = DIES_BY(128 + SIGABRT, "rpd: crash: SIGABRT as an exception left ",
                "service faulty")},
        [DRAINING] = {arrange_offence, provoke_offence, {"loop throw", "worker throw"},
            .expect = DIES_BY(128 + SIGABRT, "rpd: crash: SIGABRT as an exception left ",
                "service faulty")}}},
    {65, "service manager does not read for 10 s; watchdog configured", {
        [LOADING] = {NULL, provoke_slow_manager, {"it does not read"},
            .setup = {.top = "\"notify\":\"ready\",", .has_manager = true},
            .expect = HAS_NO_EFFECT},
        [SERVING] = {NULL, provoke_watchdog, {"it reads", "it does not read"},
            .setup = {.has_manager = true}, .expect = HAS_NO_EFFECT},
        [DRAINING] = {arrange_slow_manager, provoke_after_slow_manager, {"it does not read"},
            .setup = {.top = "\"drain_s\":60,", .has_manager = true},
            .expect = HAS_NO_EFFECT}}},
    {66, "a cause 10,000 times a second", {
        [LOADING] = {NULL, provoke_log, {"worker log"}, .setup = {.options = LOAD_DOES},
            .expect = IS_COUNTED("rpd: faulty: warning: ", " more such lines were left out "
                "(log.limit): test line ")},
        [SERVING] = {NULL, provoke_log, {"loop log", "worker log"},
            .expect = IS_COUNTED("rpd: faulty: warning: ", " more such lines were left out "
                "(log.limit): test line ")},
        [DRAINING] = {arrange_offence, provoke_log, {"loop log", "worker log"},
            .expect = IS_COUNTED("rpd: faulty: warning: ", " more such lines were left out "
                "(log.limit): test line ")}}},
};
/* clang-format on */

enum { ROWS = sizeof table / sizeof *table };

/* ---- a cell as a test ---------------------------------------------------------------------- */

static bool is_cell(const struct cell *cell)
{
    return cell->variants[0] != NULL;
}

/* Each "$" of the text replaced. */
static const char *of_variant(const char *text, char mark, const char *word)
{
    const char *result = "";

    if (!text)
        return NULL;
    for (const char *at; (at = strchr(text, mark)); text = at + 1)
        result = textf("%s%.*s%s", result, (int)(at - text), text, word);
    return textf("%s%s", result, text);
}

static struct setup setup_of(const struct setup *setup, const char *variant)
{
    struct setup result = *setup;

    result.top = of_variant(setup->top, '$', last_word(variant));
    result.service = of_variant(setup->service, '$', last_word(variant));
    result.options = of_variant(setup->options, '$', last_word(variant));
    result.denied = of_variant(setup->denied, '$', last_word(variant));
    result.tool = of_variant(setup->tool, '$', last_word(variant));
    return result;
}

static void assert_told(struct stage *stage, const struct expectation *expect, const char *variant)
{
    const char *words[7] = {NULL};
    const char *name = textf("SIG%s", sigabbrev_np(signal_of_act(variant)));

    for (size_t i = 0; i < 6 && expect->words[i]; i++)
        words[i] = of_variant(of_variant(expect->words[i], '%', name), '$', last_word(variant));
    if (words[0])
        stage_assert_told(stage, words);
}

static void assert_died(struct stage *stage, const struct expectation *expect, const char *variant)
{
    const int code = expect->code == VARIANTS ? 128 + signal_of_act(variant) : expect->code;
    char rest[64];

    if (stage->spared) {
        stage_assert_clean(stage);
        return;
    }
    stage_assert_ended(stage, code);
    cr_assert_leq(lines_with(process_stderr(stage->rpd), "rpd: crash: "), 1, "%s",
                  process_stderr(stage->rpd));
    assert_told(stage, expect, variant);
    cr_assert_eq(stage_verdict(stage), STATE_DEAD);
    cr_assert_leq(read_to_end(stage->guest, rest, sizeof rest), 32);
    witness_end(&stage->witness);
    stage_assert_next_start_wins(stage);
}

static void assert_observed(struct stage *stage, const struct expectation *expect,
                            const char *variant)
{
    switch (expect->ending) {
    case GOES_ON:
        stage_assert_unharmed(stage);
        assert_told(stage, expect, variant);
        break;
    case ENDS:
        stage_assert_ended(stage, expect->code);
        assert_told(stage, expect, variant);
        stage_assert_clean(stage);
        stage_assert_next_start_wins(stage);
        break;
    case DIES: assert_died(stage, expect, variant); break;
    }
}

static struct setup in_long_form(struct setup setup)
{
    if (setup.nofile && is_long() && !is_slow())
        setup.nofile = 19500 + 100;
    return setup;
}

static void run_cell(const struct cell *cell, enum phase phase, const char *variant, unsigned round)
{
    const struct setup setup = in_long_form(setup_of(&cell->setup, variant));
    struct stage *stage = stage_make(phase, &setup);

    stage->round = round;
    stage_start(stage);
    stage_enter(stage);
    if (cell->arrange)
        cell->arrange(stage, variant);
    if (phase == DRAINING)
        stage_drain(stage);
    if (cell->provoke)
        cell->provoke(stage, variant);
    assert_observed(stage, &cell->expect, variant);
    stage_free(stage);
}

struct place {
    size_t row;
    enum phase phase;
    size_t variant;
};

ParameterizedTestParameters(fault, cell)
{
    static struct place places[ROWS * PHASES * MOST_VARIANTS];
    const char *only = getenv("RPD_TEST_ROW");
    size_t count = 0;

    for (size_t row = 0; row < ROWS; row++)
        for (enum phase phase = LOADING; phase < PHASES; phase++)
            for (size_t i = 0; i < MOST_VARIANTS && table[row].cells[phase].variants[i]; i++)
                if (!only || atoi(only) == table[row].number)
                    places[count++] = (struct place){row, phase, i};
    return cr_make_param_array(struct place, places, count);
}

ParameterizedTest(struct place *place, fault, cell)
{
    const struct row *row = &table[place->row];
    const struct cell *cell = &row->cells[place->phase];
    const char *variant = cell->variants[place->variant];
    const unsigned rounds = is_long() && cell->long_rounds ? cell->long_rounds : 1;

    if (is_tsan() && cell->not_under_tsan)
        cr_skip("%s", cell->not_under_tsan);
    cr_log_info("row %d, %s, %s: %s, as %s", row->number, row->fault, phase_names[place->phase],
                variant, cell->expect.legend);
    if (cell->setup.tool && !stage_has_tool(variant))
        cr_skip("%s is not here, or a sanitizer does not bear it", variant);
    for (unsigned round = 0; round < rounds; round++)
        run_cell(cell, place->phase, variant, round);
}

/* ---- the two tables are one ---------------------------------------------------------------- */

static const int rows_here[] = {1,  2,  3,  4,  6,  7,  14, 15, 17, 26, 27, 28, 30, 31, 33, 34, 35,
                                36, 37, 39, 40, 42, 54, 55, 56, 57, 58, 59, 60, 61, 63, 64, 65, 66};

static bool has_cell(int number, enum phase phase)
{
    for (size_t row = 0; row < ROWS; row++)
        if (table[row].number == number && is_cell(&table[row].cells[phase]))
            return true;
    return false;
}

/* The text of a column, where 0 is the first, without the blanks around it. */
static const char *column(const char *line, int number)
{
    const char *end = line + strcspn(line, "\n");

    for (int i = 0; i <= number; i++) {
        line = memchr(line, '|', (size_t)(end - line));
        if (!line)
            return "";
        line++;
    }
    line += strspn(line, " ");
    size_t size = strcspn(line, "|\n");
    while (size > 0 && line[size - 1] == ' ')
        size--;
    return textf("%.*s", (int)size, line);
}

static const char *line_that_begins(const char *text, const char *begin)
{
    const char *found = strstr(text, textf("\n%s", begin));

    return found ? found + 1 : NULL;
}

static int column_of(const char *header, const char *name)
{
    for (int i = 0; i < 20; i++)
        if (strcmp(column(header, i), name) == 0)
            return i;
    cr_assert_fail("no column %s in %s", name, header);
    return -1;
}

static const char *faults_file(void)
{
    const char *shared = getenv("RPD_SHARED");

    return textf("%s/FAULTS.md", shared ? shared : textf("%s/../shared", RPD_SOURCE_DIR));
}

Test(fault, table_is_that_of_the_document)
{
    const char *text = file_read(faults_file());

    if (!text) {
        cr_skip("there is no %s", faults_file());
        return;
    }
    const char *header = line_that_begins(text, "| # |");
    cr_assert_not_null(header);
    size_t cells = 0;
    for (size_t i = 0; i < sizeof rows_here / sizeof *rows_here; i++) {
        const char *line = line_that_begins(text, textf("| %d |", rows_here[i]));
        cr_assert_not_null(line, "no row %d", rows_here[i]);
        for (enum phase phase = LOADING; phase < PHASES; phase++) {
            const char *wanted = column(line, column_of(header, phase_names[phase]));
            const bool is_wanted = strcmp(wanted, "–") != 0 && strcmp(wanted, "-") != 0;
            cells += is_wanted;
            cr_expect_eq(has_cell(rows_here[i], phase), is_wanted, "row %d, %s: \"%s\"",
                         rows_here[i], phase_names[phase], wanted);
        }
    }
    cr_log_info("%zu cells", cells);
}
