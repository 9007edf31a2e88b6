/* The state page: SERVICE.state in the run-time directory, for programs that need the
 * state of a service without sending it a request. It needs no socket and no loop: it
 * shows that a loop is stuck or that a process is stopped, because the page no longer
 * changes.
 *
 * The file is made before clients can be served and removed at a clean stop.
 * Read the whole file with one pread, and never write it. Each number is valid by itself,
 * but the numbers are not a snapshot of one moment. Times are microseconds of
 * CLOCK_MONOTONIC, which all processes of a boot share; 0: has not happened.
 *
 * To judge a service:
 *   dead       no process holds SERVICE.lock (test it with F_OFD_GETLK and F_RDLCK, never take it;
 *              or look for it in /proc/locks)
 *   alive, elsewhere
 *              the lock is held, but pid is not visible from here: its namespaces
 *              or its boot_id are not yours (0 there: unknown), or there is no
 *              /proc. The numbers of the page are still valid, but times only in its time namespace
 *   draining   pid is gone, and generation is not 0: the keeper was killed, and its runner is about
 *              to end
 *   dead       pid is gone, its start_time is not that of the page (0: unknown), or it is a
 *              zombie: the lock is about to be free, or a new start has it
 *   stalled    turned_us is more than RPD_STATE_STALL_US ago, or pid is stopped. If the loop rests
 *              (turned_us is RPD_STATE_RESTS): pid, or its cgroup, is stopped or frozen
 *   draining   phase is DRAINING, STOPPING or STOPPED: the lock is still held
 *   warming    phase is STARTING or WARMING
 *   alive      otherwise
 *
 * The layout is frozen. The first 64 bytes never change, in any layout; the rest changes only with
 * the layout number, except that a new field may take reserved space. A reader that finds another
 * layout number reads the first 64 bytes. */
#ifndef RPD_STATE_H
#define RPD_STATE_H

#include <rpd/base.h>

RPD_BEGIN

#define RPD_STATE_MAGIC "rpdstate" /* 8 bytes, no NUL */
#define RPD_STATE_STALL_US 900000  /* a loop turns every 250 ms, unless it rests */
/* The loop rests: it has no client, no job and no load, waits in the kernel for the next, and turns
 * a few times a minute. This value lies in the future, so that a reader that does not know it
 * assumes that the loop has just turned; rests_us contains the time of the last turn. Whatever
 * wakes the loop first sets turned_us to the current time. The loop of a backend that has taken the
 * event base never rests. */
#define RPD_STATE_RESTS ((uint64_t)INT64_MAX)

/* Indexes of namespaces in the page. */
enum { RPD_STATE_PID_NAMESPACE = 0, RPD_STATE_TIME_NAMESPACE = 1 };

enum { RPD_STATE_LAYOUT = 1, RPD_STATE_SIZE = 16384, RPD_STATE_PARTS = 120 };

enum rpd_phase {
    RPD_PHASE_STARTING = 0,
    RPD_PHASE_WARMING = 1,
    RPD_PHASE_READY = 2,
    RPD_PHASE_DRAINING = 3, /* clients finish */
    RPD_PHASE_STOPPING = 4, /* no client is served */
    RPD_PHASE_STOPPED = 5   /* a clean end; a page without it is from a crash */
};

/* What clients get until READY. */
enum rpd_warmup {
    RPD_WARMUP_HOLD = 0,   /* accepted, and served at READY */
    RPD_WARMUP_SERVE = 1,  /* served at once; the backend has no state yet */
    RPD_WARMUP_REFUSE = 2, /* the backend's busy answer, then closed */
    RPD_WARMUP_BACKLOG = 3 /* not accepted */
};

enum rpd_part_state {
    RPD_PART_WAITING = 0, /* for a worker */
    RPD_PART_LOADING = 1,
    RPD_PART_STALLED = 2, /* loading, without progress for too long */
    RPD_PART_PAUSED = 3,  /* it failed, and is tried again soon */
    RPD_PART_LOADED = 4,  /* handed over */
    RPD_PART_FAILED = 5   /* given up */
};

enum { RPD_PART_OPTIONAL = 1 };      /* of flags of a part */
enum { RPD_STATE_DEGRADED = 1 };     /* of flags of the page: part of its state is missing */
#define RPD_STATE_UNKNOWN UINT64_MAX /* of an eta */

/* One part of the load. The run of load() itself is the first, "load". */
struct rpd_state_part {
    char name[48]; /* texts end in a NUL */
    char unit[16];
    uint32_t state; /* enum rpd_part_state */
    uint32_t flags;
    uint64_t done, total;    /* in units; total 0: unknown */
    uint64_t rate_per_1000s; /* units in 1000 s, over the last seconds */
    uint64_t eta_ms;         /* milliseconds left, or RPD_STATE_UNKNOWN */
    uint64_t moved_us;       /* when it last made progress */
    uint32_t attempts;       /* 1: the first */
    uint32_t reserved[3];
};

struct rpd_state_page {
    /* In every layout: */
    char magic[8];
    uint32_t layout;
    uint32_t size; /* of the file */
    uint32_t pid;
    uint32_t phase;      /* enum rpd_phase */
    uint64_t start_time; /* of pid: field 22 of /proc/PID/stat */
    uint64_t turned_us;  /* the loop's last turn, or RPD_STATE_RESTS */
    uint8_t boot_id[16]; /* /proc/sys/kernel/random/boot_id, in binary */
    union {
        uint64_t reserved_for_ever; /* the name of both, when they were reserved */
        uint32_t namespaces[2];     /* inodes of /proc/self/ns/pid and .../time; 0: unknown */
    };

    /* Layout 1: */
    char service[64];
    char build[64];                        /* of rpd */
    uint64_t bound_us, phase_us, ready_us; /* endpoints up; phase entered; READY */
    uint64_t turns;              /* of the loop's clock, four in a second; fewer while it rests */
    uint64_t late_us, latest_us; /* by how much the loop's last turn was late; the most so far */
    uint32_t warmup;             /* enum rpd_warmup */
    uint32_t flags;
    uint64_t clients_held, clients_active;
    uint64_t clients_accepted;   /* so far; and of these: */
    uint64_t clients_refused;    /* by warm-up, or as too many of one peer */
    uint64_t clients_left;       /* while they were held */
    uint64_t clients_cut;        /* closed by a limit, or because memory ran out */
    uint64_t accept_pauses;      /* because descriptors or memory ran out */
    uint64_t jobs, jobs_refused; /* waiting or running now; refused so far */
    uint64_t errors;             /* so far; the last one: */
    int64_t error_time_s;        /* of CLOCK_REALTIME */
    char error[256];             /* may change while it is read */
    uint32_t part_count;         /* of the load; the first RPD_STATE_PARTS are below */
    uint32_t parts_loaded;
    uint32_t load_permille; /* of the required parts */
    uint32_t reserved_2;
    uint64_t load_eta_ms; /* or RPD_STATE_UNKNOWN */
    uint64_t rests_us;    /* of a loop that rests: its last turn */
    /* With a keeper (generation is not 0) pid is the keeper's, and the loop and the numbers are the
     * runner's, its child, which is restarted after a crash: */
    uint32_t runner_pid;  /* 0: none runs now */
    uint32_t generation;  /* of its configuration and plugins, from 1; 0: there is no keeper */
    uint32_t restarts;    /* after crashes, so far */
    uint32_t crash_code;  /* of the last crash: 128 and the signal, or the exit code; 0: none */
    int64_t crash_time_s; /* of CLOCK_REALTIME */
    uint64_t runner_start_time;
    /* The share of clients_held, _left, _accepted and _refused that is in the keeper. */
    uint64_t keeper_held, keeper_left, keeper_accepted, keeper_refused;
    uint64_t slow_callbacks; /* that took slow_ms or longer, so far; the last one: */
    uint64_t slow_us;        /* how long it took */
    int64_t slow_time_s;     /* of CLOCK_REALTIME */
    char slow[136];          /* "on_data: " and where it was; may change while it is read */
    uint64_t reserved[22];
    struct rpd_state_part parts[RPD_STATE_PARTS];
};

RPD_END
#endif
