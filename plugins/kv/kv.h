/* The service's state, and what each client has of its own. */
#ifndef KV_KV_H
#define KV_KV_H

#include "command.h"
#include "metrics.h"
#include "owner.h"
#include "resp.h"
#include "store.h"

#include <rpd/backend.h>

#include <sys/queue.h>

struct save;
struct steps;
struct request_copy;
struct multi;
struct watch;
struct watch_table;
struct channel_table;
struct subscription;
struct channel;
struct event;

/* The former content of a flushed database: a worker frees it once no save reads it. */
struct trash {
    struct database *database;
    TAILQ_ENTRY(trash) link;
};

struct session {
    struct resp_parser parser;
    struct rpd_conn *conn;
    uint64_t id;
    int64_t since_us;
    char *name;
    uint8_t database, protocol;
    bool is_authenticated;
    bool is_held;              /* waits for a part */
    bool is_counted;           /* in kv.sessions: it may have come before there was a state */
    bool has_steps;            /* its command is kv.steps */
    bool is_closed;            /* the client has gone, but its command goes on */
    bool is_muted;             /* CLIENT REPLY OFF */
    uint8_t skips;             /* CLIENT REPLY SKIP: this answer and the next, or the next */
    struct request_copy *copy; /* of a large request, until it is run */
    struct multi *multi;       /* between MULTI and EXEC */
    LIST_HEAD(watches, watch) watches;
    uint32_t watch_count;
    bool has_lost; /* a watched key has changed */
    TAILQ_HEAD(subscriptions, subscription) subscriptions;
    uint32_t channels, patterns; /* of subscriptions */
    const char *last_command;
    int64_t used_us;
    TAILQ_ENTRY(session) all_link; /* if it is counted */
    struct event *again;           /* the client's next turn; NULL until one was cut short */
    TAILQ_ENTRY(session) link;
};

struct kv {
    struct rpd_service *service; /* NULL until the first callback on the loop */
    struct store store;
    struct command_index commands;
    struct metrics metrics;
    TAILQ_HEAD(held_sessions, session) held;
    TAILQ_HEAD(all_sessions, session) all;
    struct watch_table *watch_table;
    struct channel_table *channel_table;
    TAILQ_HEAD(trash_list, trash) trash;
    struct steps *steps;     /* a command that takes several turns; NULL: none */
    uint64_t steps_done;     /* of all commands that take several turns */
    int64_t longest_step_us; /* of the loop's time, by one step or one tick */
    struct heap copies;      /* of large requests */
    struct event *timer;
    bool is_ready;    /* all that can be loaded is */
    bool is_draining; /* a stop is under way */
    /* Snapshots: */
    struct load_file *file; /* what is loaded from; NULL when that is over */
    struct file_mark mark;  /* of the last snapshot */
    uint64_t generation;
    uint32_t epoch;    /* one more with each save */
    struct save *save; /* the one that runs */
    int64_t last_save_s, last_try_us;
    uint64_t saved_changes; /* store.changes at the last save */
    bool last_save_failed;
    bool refuses_writes; /* because of that */
    char save_failure[160];
    /* For INFO: */
    int64_t started_us;
    uint64_t commands_done, connections, sessions;
    uint64_t short_of_memory; /* clients that were closed because there was none for them */
    size_t peak_memory;
};

/* [any] What clients must give; NULL: nothing. */
const char *kv_password(const struct rpd_service *service);

enum { KV_LOADING_SIZE = 96 };

/* [loop] "LOADING ...": how far the load is. */
void kv_loading_text(struct rpd_service *service, char text[KV_LOADING_SIZE]);

/* [loop] A step ends that began at kv_clock_thread_us(). */
void kv_note_step(struct kv *kv, int64_t began_us);

/* [loop] The databases, or one, are emptied: what was in them is freed later. 0, or -1: no memory.
 */
int kv_flush(struct kv *kv, unsigned first, unsigned last);

/* [loop] Gives large mappings that are no longer used back to the system, on a worker. */
void kv_unmap_discarded(struct kv *kv);

/* [loop] Frees what was flushed, on a worker. */
void kv_empty_trash(struct kv *kv);

#endif
