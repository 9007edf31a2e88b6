/* A stage: a daemon in the phase in which a fault strikes, clients that must not notice it, and the
 * checks that all cells of the table share.
 *
 * The daemon has two services, both with plugins/faulty.c: "faulty", where the fault is, and
 * "witness", which is ready at once. In each phase there are
 *   a guest     a client of "faulty" whose request is not answered yet: held
 *               during the load, waiting for a job during the drain
 *   a witness   a client of "witness" that sends requests in a row, on a thread of its
 *               own, and records how long each answer took; absent during the drain */
#ifndef TESTS_FAULTS_STAGE_H
#define TESTS_FAULTS_STAGE_H

#include "../integration/common.h"
#include "accept_fault.h"
#include "observe/state_view.h"

#include <pthread.h>

enum phase { LOADING, SERVING, DRAINING, PHASES };

extern const char *const phase_names[PHASES]; /* as in FAULTS.md: "LD", "SRV", "DRN" */

enum { LATENCIES_MAX = 1 << 20 };

struct witness {
    pthread_t thread;
    bool runs;
    const char *endpoint;
    _Atomic bool ending;
    _Atomic size_t count; /* of answers */
    _Atomic bool failed;  /* a wrong answer, or none */
    char why[128];
    uint32_t *latencies_us;
};

/* Departures from the usual start of a daemon. */
struct setup {
    const char *top;     /* members of the configuration: "\"workers\":1," */
    const char *service; /* members of the service "faulty": "\"warmup\":\"serve\"," */
    const char *options; /* options of its backend: "\"load\":\"segv\"," */
    const char *listen;  /* members of its listeners, after the endpoint: ",\"backlog\":4" */
    int nofile;          /* its limit of descriptors */
    bool has_shim;       /* accept4() fails where fault says so */
    bool has_mounts;     /* the daemon and the test have mounts of their own; needs root */
    const char *denied;  /* the calls that it is denied: "close_range" */
    bool has_manager;    /* a service manager's socket and watchdog */
    const char *tool;    /* of row 59: the tool that runs it */
};

struct stage {
    enum phase phase;
    struct setup setup;
    const char *dir, *run, *config;
    const char *ep;   /* the directory of its unix sockets */
    const char *gate; /* when this file is made, the load continues */
    const char *go;   /* when this file is made, the jobs continue */
    const char *path; /* the file that the act "read" reads */
    const char *endpoint, *tcp, *witness_endpoint;
    int run_fd;
    struct process *rpd;
    struct accept_fault *fault;
    struct process *killer; /* strace, if it is to kill the daemon */
    bool spared;            /* the daemon ended before it could be killed */
    unsigned round;         /* of the long form, from 0 */
    int guest;
    int manager; /* the socket that the manager reads, if there is one */
    struct witness witness;
};

/* Whether the long form is wanted: RPD_TEST_LONG. */
bool is_long(void);
bool is_tsan(void);
/* Whether time and memory cannot be judged: a sanitizer is at work. */
bool is_slow(void);

/* ---- into the phase ---------------------------------------------------------- */

/* Whether a tool of row 59 is installed, and the build can run under it. */
bool stage_has_tool(const char *tool);

struct stage *stage_make(enum phase phase, const struct setup *setup);

/* Starts the daemon. It is bound; if it is to load, its load has begun; otherwise it is ready. */
void stage_start(struct stage *stage);

/* The guest sends its request, and the witness begins. */
void stage_enter(struct stage *stage);

/* Sends SIGTERM, and waits until the daemon drains (or has died of what was arranged). */
void stage_drain(struct stage *stage);

/* ---- while the daemon runs --------------------------------------------------- */

void stage_open_gate(struct stage *stage); /* lets the load continue */
void stage_go(struct stage *stage);        /* lets the jobs continue */

const char *stage_manager_path(const struct stage *stage);
int stage_client(const char *endpoint);
void stage_say(int fd, const char *line);
void stage_expect_line(struct stage *stage, int fd, const char *wanted);

struct rpd_state_page stage_page(struct stage *stage, const char *service);
enum state_verdict stage_verdict(struct stage *stage);
void stage_wait_verdict(struct stage *stage, enum state_verdict wanted);

/* Waits until a number of the page has become at least this. */
#define stage_wait_page(stage, field, least)                                                       \
    do {                                                                                           \
        const int64_t began_ = now_ns();                                                           \
        while (stage_page((stage), "faulty").field < (least)) {                                    \
            cr_assert_lt(now_ns() - began_, stage_patience_ns(), "%s stays at %llu:\n%s", #field,  \
                         (unsigned long long)stage_page((stage), "faulty").field,                  \
                         process_stderr((stage)->rpd));                                            \
            stage_rest();                                                                          \
        }                                                                                          \
    } while (0)

int64_t stage_patience_ns(void);
/* A short pause between two looks at a value that sends no event. */
void stage_rest(void);

/* The loop turns and, while there is a witness, answers it. */
void stage_assert_alive(struct stage *stage);

/* Waits until the daemon has no more than this many descriptors again. */
void stage_wait_fds(struct stage *stage, int most);

/* Resets what the witness has measured; returns the 99th percentile since then. */
void witness_reset(struct witness *witness);
double witness_p99_ms(const struct witness *witness);
void witness_wait_for(const struct stage *stage, size_t answers);
void witness_end(struct witness *witness);

/* ---- the end ------------------------------------------------------------------- */

/* The daemon ended with this code, as process_code() returns it. */
void stage_assert_ended(struct stage *stage, int code);

/* There is exactly one line with all these words. */
void stage_assert_told(struct stage *stage, const char *const *words);

/* The daemon left only lock files. */
void stage_assert_clean(struct stage *stage);

/* The next start wins at the first try, serves, stops, and leaves nothing. */
void stage_assert_next_start_wins(struct stage *stage);

/* The fault had no effect: the load completes, the guest is answered, clients are served, the stop
 * is clean. */
void stage_assert_unharmed(struct stage *stage);

void stage_free(struct stage *stage);

#endif
