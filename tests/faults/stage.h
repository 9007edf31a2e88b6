/* A stage: a daemon in the phase in which a fault strikes, with whoever must not
 * notice it, and the checks that all cells of the table share.
 *
 * The daemon has two services, both with plugins/faulty.c: "faulty", where the
 * fault is, and "witness", which is ready at once. In each phase there is
 *   a guest     a client of "faulty" with a request that is not answered yet: held
 *               while it loads, waiting for a job while it drains
 *   a witness   a client of "witness" that asks again and again, on a thread of its
 *               own, and notes how long each answer took; gone while it drains */
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

/* How a daemon is started, beyond the ordinary. */
struct setup {
    const char *top;     /* of the configuration: "\"workers\":1," */
    const char *service; /* of the service "faulty": "\"warmup\":\"serve\"," */
    const char *options; /* of its backend: "\"load\":\"segv\"," */
    const char *listen;  /* of its listeners, after the endpoint: ",\"backlog\":4" */
    int nofile;          /* its limit of descriptors */
    bool has_shim;       /* accept4() fails where fault says so */
    bool has_mounts;     /* it and the test have mounts of their own; needs root */
    const char *denied;  /* the calls that it is denied: "close_range" */
    const char *tool;    /* of row 59: what it runs within */
};

struct stage {
    enum phase phase;
    struct setup setup;
    const char *dir, *run, *config;
    const char *ep;   /* the directory of its unix sockets */
    const char *gate; /* make it: the load goes on */
    const char *go;   /* make it: the jobs go on */
    const char *path; /* that the act "read" reads */
    const char *endpoint, *tcp, *witness_endpoint;
    int run_fd;
    struct process *rpd;
    struct accept_fault *fault;
    struct process *killer; /* strace, where that is to kill it */
    bool spared;            /* it ended before it could be killed */
    unsigned round;         /* of the long form, from 0 */
    int guest;
    struct witness witness;
};

/* Whether the long form is wanted: RPD_TEST_LONG. */
bool is_long(void);
bool is_tsan(void);
/* Nothing can be said about time and memory: a sanitizer is at work. */
bool is_slow(void);

/* ---- into the phase ---------------------------------------------------------- */

/* Whether a tool of row 59 is here, and the build bears it. */
bool stage_has_tool(const char *tool);

struct stage *stage_make(enum phase phase, const struct setup *setup);

/* The daemon is bound; while it is to load, its load has begun; else it is ready. */
void stage_start(struct stage *stage);

/* The guest asks, the witness begins. */
void stage_enter(struct stage *stage);

/* SIGTERM, and it has begun to drain (or has died of what was arranged). */
void stage_drain(struct stage *stage);

/* ---- while it is there ------------------------------------------------------- */

void stage_open_gate(struct stage *stage); /* the load goes on */
void stage_go(struct stage *stage);        /* the jobs go on */

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
/* A moment, between two looks at what wakes nobody. */
void stage_rest(void);

/* The loop lives: it turns, and while there is a witness, that is answered. */
void stage_assert_alive(struct stage *stage);

/* Its descriptors are no more than this again. */
void stage_wait_fds(struct stage *stage, int most);

/* Forgets what the witness has measured so far; the 99th percentile since. */
void witness_reset(struct witness *witness);
double witness_p99_ms(const struct witness *witness);
void witness_wait_for(const struct stage *stage, size_t answers);
void witness_end(struct witness *witness);

/* ---- the end ------------------------------------------------------------------- */

/* It ended so: a wait status as process_code() has it. */
void stage_assert_ended(struct stage *stage, int code);

/* There is exactly one line with all these words. */
void stage_assert_told(struct stage *stage, const char *const *words);

/* It left nothing but lock files. */
void stage_assert_clean(struct stage *stage);

/* The next start wins at the first try, serves, stops, and leaves nothing. */
void stage_assert_next_start_wins(struct stage *stage);

/* Nothing has happened: the load comes to its end, the guest is answered, clients
 * are served, the stop is clean. */
void stage_assert_unharmed(struct stage *stage);

void stage_free(struct stage *stage);

#endif
