/* The metrics of one service, from the side that writes them. What is in the file, and how others
 * read it, is in rpd/metrics.h.
 *
 * The memory is made before the backend's first call, and stays where it is: the file is mapped
 * there when it is published, and anew when it was removed or damaged. */
#ifndef FRAMEWORK_METRICS_PAGE_H
#define FRAMEWORK_METRICS_PAGE_H

#include <rpd/metrics.h>

#include "base/error.h"
#include "publish/whole_file.h"

#include <stdbool.h>

/* The callbacks that run on the loop. */
enum metric_callback {
    METRIC_ON_CONNECT,
    METRIC_ON_DATA,
    METRIC_ON_WRITABLE,
    METRIC_ON_CLOSE,
    METRIC_ON_BUSY,
    METRIC_ACCEPT,
    METRIC_DONE,
    METRIC_ATTACH,
    METRIC_ON_READY,
    METRIC_SERVE,
    METRIC_ON_DRAIN,
    METRIC_STOP,
    METRIC_ON_PART,
    METRIC_POST,
    METRIC_TIMER,
    METRIC_CALLBACK_KINDS
};

/* What a start consists of, in the metrics and in the history: finer than the steps that error
 * lines name. */
enum metric_step {
    METRIC_INSPECT,
    METRIC_RESOLVE,
    METRIC_CLAIM,
    METRIC_BIND,
    METRIC_RECALL,
    METRIC_GUARDS,
    METRIC_CODE,
    METRIC_STATE,
    METRIC_OWN_BIND,
    METRIC_LIBRARIES,
    METRIC_CONTROL,
    METRIC_PUBLISH,
    METRIC_LOOP,
    METRIC_ANNOUNCE,
    METRIC_RUNNER, /* with a keeper: from the start of its runner until that could serve */
    METRIC_STEPS,
    METRIC_NO_STEP = METRIC_STEPS
};

/* rpd's own: names are in metrics_page.c. What is not said to be of the loop alone is added to with
 * rpd_metric_add(). */
enum metric {
    METRIC_CLIENTS_ACCEPTED,
    METRIC_CLIENTS_HELD,
    METRIC_CLIENTS_ACTIVE,
    METRIC_CLIENTS_CLOSED,
    METRIC_CLIENTS_LEFT,
    METRIC_CLIENTS_REFUSED_WARMUP,
    METRIC_CLIENTS_REFUSED_PEER,
    METRIC_CLIENTS_CUT, /* and one for each limit, in the order of enum conn_limit */
    METRIC_CLIENTS_CUT_LAST = METRIC_CLIENTS_CUT + 8,
    METRIC_ACCEPT_PAUSES,
    METRIC_RECEIVED,
    METRIC_SENT,
    METRIC_BUFFERS,
    METRIC_LOOP_TURNS,
    METRIC_LOOP_LAG,
    METRIC_CALLBACKS, /* the loop's alone; in the order of enum metric_callback, as those below */
    METRIC_CALLBACKS_LAST = METRIC_CALLBACKS + METRIC_CALLBACK_KINDS - 1,
    METRIC_CALLBACK_TIME,
    METRIC_CALLBACK_TIME_LAST = METRIC_CALLBACK_TIME + METRIC_CALLBACK_KINDS - 1,
    METRIC_SLOW_CALLBACKS,
    METRIC_SLOW_CALLBACKS_LAST = METRIC_SLOW_CALLBACKS + METRIC_CALLBACK_KINDS - 1,
    METRIC_JOBS,
    METRIC_JOBS_SUBMITTED,
    METRIC_JOBS_REFUSED,
    METRIC_JOB_WAIT,
    METRIC_JOB_RUN,
    METRIC_DESCRIPTORS,
    METRIC_DESCRIPTORS_LIMIT,
    METRIC_ERRORS,
    METRIC_STARTS,
    METRIC_FAILED_ENDS,
    METRIC_GENERATION,
    METRIC_RESTARTS,
    METRIC_LOAD_RETRIES,
    METRIC_START_STEP, /* in the order of enum metric_step */
    METRIC_START_STEP_LAST = METRIC_START_STEP + METRIC_STEPS - 1,
    METRIC_READY_AFTER,
    METRICS
};

/* The process that readers take for the service's: with a keeper, the keeper. */
struct metrics_identity {
    uint32_t pid;
    uint64_t start_time;
    uint8_t boot_id[16];
};

struct metrics_page {
    /* Never NULL after metrics_page_init(): until it is made, and where it cannot be, memory
     * without a reader, so that no writer must ask. rpd's own, METRICS of them, then the backend's.
     */
    uint64_t *const *metrics;
    struct rpd_metrics_page *map;
    uint64_t **made; /* metrics, if it was made; in a keeper: where the runner has put them */
    /* In a keeper: what it says of each metric, 0: nothing; and what metrics is there. Else NULL.
     */
    uint64_t *kept, **kept_pointers;
    struct metrics_identity identity;
    bool follows; /* in a runner: the file is its keeper's */
    int fd;       /* in a keeper: of the file; -1: there is none */
    const struct rpd_metric *backend;
    size_t size, backend_count, room; /* room: for entries */
    /* Of those that appear while it runs: where the next value is, and what was said of each. */
    uint32_t values_at;
    struct rpd_metric_entry *added;
    size_t added_count;
    struct whole_file file;
};

/* What a service without a page writes to. */
extern uint64_t *const metrics_unread[METRICS];

/* [start] */
void metrics_page_init(struct metrics_page *page);

/* [start] The memory, with entries for rpd's own and for the backend's, which is a table that was
 * checked, or NULL. -1: out of memory. */
int metrics_page_make(struct metrics_page *page, const char *service,
                      const struct rpd_metric *backend);

/* [start] SERVICE.metrics, which appears whole. 73, or 71 for want of memory or descriptors. */
int metrics_page_publish(struct metrics_page *page, int dirfd, const char *directory,
                         const char *boot_id, unsigned long long start_time, struct error *error);

/* [start] When no other thread writes to it any more. Legal at any time. */
void metrics_page_remove(struct metrics_page *page);

/* [start] After that: the memory goes. */
void metrics_page_finish(struct metrics_page *page);

/* [start] Removes what killed starts of this service left beside it. */
void metrics_page_sweep(const struct metrics_page *page);

#define METRICS_LOAD_PART "rpd_load_part" /* its label is "part" */

/* ---- with a keeper ---------------------------------------------------------------------
 *
 * The runner lays the page out, as it alone knows its backend's table, and sends a copy; the keeper
 * makes the file of it, heals it and removes it, and the runner then maps that file. What the
 * keeper sets by page->metrics it keeps for the pages of later runners, too. */

/* [start] In a keeper, before its first page. -1: out of memory. */
int metrics_page_keep(struct metrics_page *page);

/* [start] In a runner: a copy of the page, in a file of memory, for its keeper. -1 and errno. */
int metrics_page_copy_out(const struct metrics_page *page);

/* [start][loop] In a keeper: takes that copy in; it has a file when it is published. The page of
 * the runner before is forgotten; *ret_old, which need not be set, is its file. The descriptor
 * stays the caller's. -1 and errno: EPROTO for what is no page. */
int metrics_page_take_over(struct metrics_page *page, const char *service, int fd,
                           struct whole_file *ret_old);

/* [loop] In a keeper: shows what it keeps, if the runner has laid the page out. */
void metrics_page_show_kept(struct metrics_page *page);

/* [start][loop] In a runner: the page is this file of its keeper's from now on. The descriptor
 * stays the caller's. Again, after it was healed. 0, or -1 and errno. */
int metrics_page_follow(struct metrics_page *page, int fd);

/* ---------------------------------------------------------------------------------------- */

/* [loop] A gauge that appears now, "NAME{KEY="VALUE"}"; memory without a reader where there is no
 * room. */
uint64_t *metrics_page_add(struct metrics_page *page, const char *name, const char *unit,
                           const char *meaning, const char *key, const char *value);

/* [any] Calls visit for each part of the load that the page knows, with the value of its label. */
typedef void (*metrics_part_fn)(void *arg, const char *part, uint64_t us);
void metrics_page_visit_parts(const struct metrics_page *page, metrics_part_fn visit, void *arg);

/* [any] What the label of one of rpd's own says: "bind". It has one. */
const char *metrics_own_label(enum metric metric);

/* [loop] False: the file is not there, or was cut off, and it must be healed. */
bool metrics_page_is_whole(const struct metrics_page *page);

/* [loop] Makes the file again if need be. 1: it was; -1: it cannot be. Of one that was cut off
 * numbers begin anew. */
int metrics_page_heal(struct metrics_page *page);

/* [start] A backend's table: what is wrong with it, or NULL; *ret_row: where. */
const char *metrics_table_mistake(const struct rpd_metric *table, size_t *ret_row);

#endif
