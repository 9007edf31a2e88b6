/* The store: objects on disk, what is known of them in memory, and the work of both.
 *
 *     get     in memory: sent at once. Not in the index, and its folder has been read: a miss at
 *             once. Otherwise a worker opens and checks it; a large one is then sent as a file
 *     put     a worker writes what comes to a temporary file; the last piece checks and renames it
 *     remove  a worker unlinks it
 *
 * Only the loop touches the index; a worker gets what it needs in the struct of its job. A result
 * of the disk is believed only if the folder has not changed since the job began (changes of
 * struct index_shard), because a put may have overtaken the job.
 *
 * All [loop], unless a tag says otherwise. */
#ifndef BUILDCACHE_STORE_H
#define BUILDCACHE_STORE_H

#include "credentials.h"
#include "hot.h"
#include "index.h"
#include "numbers.h"

#include <rpd/backend.h>

#include <stdatomic.h>

enum { STORE_PARTS = 64 };

enum store_outcome {
    STORE_PENDING,
    STORE_STORED,
    STORE_EXISTS,    /* and was not to be overwritten */
    STORE_TOO_LARGE, /* max_object */
    STORE_WRONG,     /* its SHA-256 is not its name */
    STORE_NO_SPACE,
    STORE_FAILED,
    STORE_READ_ONLY
};

/* How a protocol answers. found: the body follows. written: the answer is, to its last byte; a
 * call of one of the others precedes it. conn is open. */
struct store_front {
    void (*found)(struct rpd_conn *conn, uint64_t size);
    void (*missing)(struct rpd_conn *conn);
    void (*stored)(struct rpd_conn *conn, enum store_outcome outcome);
    void (*removed)(struct rpd_conn *conn, bool was_there);
    void (*failed)(struct rpd_conn *conn); /* for now: no memory, or too much work waits */
    void (*written)(struct rpd_conn *conn);
};

/* A client, by rpd_conn_data(). */
struct session {
    struct store *store;
    const struct store_front *front;
    TAILQ_ENTRY(session) link; /* of those that wait for room */
    struct rpd_conn *conn;
    bool is_waiting;
    bool is_busy;      /* a request is under way */
    enum number time;  /* its histogram */
    uint64_t began_us; /* of CLOCK_MONOTONIC */
    bool is_head;      /* the request that is answered wants no body */
    bool closes;       /* of HTTP: and the connection ends after it */
};

struct eviction;

struct scan_part {
    struct store *store;
    unsigned number;
};

struct store {
    struct rpd_service *service;
    const char *path;
    uint64_t max_size, max_object; /* max_size 0: no limit */
    struct credentials credentials;
    uint64_t *const *numbers; /* by enum number */

    struct index index;
    struct hot hot;
    uint64_t reserved;              /* bytes that puts under way may still write */
    uint64_t leaving;               /* bytes of objects that are being evicted */
    struct eviction *held_eviction; /* that could not be submitted */
    TAILQ_HEAD(sessions, session) waiting;
    uint64_t tick_0_us; /* of the wall clock; set at the beginning, for workers too */
    struct rpd_timer_handle *note_timer;
    struct scan_part parts[STORE_PARTS];

    atomic_uint holders;
    int directory;
    unsigned evictions; /* under way */
    uint32_t tick;
    bool is_read_only, allows_anonymous_reads, helper_may_stop;
    bool is_ready, is_noting, is_stopping, is_degraded;
};

/* [start] NULL: no memory, or errno of the directory. */
struct store *store_open(struct rpd_service *service, const char *path);

/* [any] The store is serve()'s, until stop(), and that of each load that has returned, until its
 * unload: which of these is the last depends on how far the load has come. The last release notes
 * on disk what was used, and frees all. */
struct store *store_hold(struct store *store);
void store_release(struct store *store);

/* Adds to a number. */
static inline void store_count(const struct store *store, enum number number, uint64_t amount)
{
    rpd_metric_add_alone(store->numbers[number], (int64_t)amount);
}

/* Sets the gauges. */
void store_show(const struct store *store);

/* Answers now, or later: then the session's connection is paused until it has. */
void store_get(struct rpd_conn *conn, const struct object_key *key, bool wants_body);

/* Whether a put of this size has to wait for room. If so the session is paused, and on_data is
 * called again when there may be room. */
bool store_must_wait(struct rpd_conn *conn, uint64_t size);

/* Receives the next size bytes of the input as the object. outcome STORE_PENDING; or another, and
 * the bytes are received and dropped, to be answered with it. sha256: or NULL. */
struct store_put {
    uint64_t size;
    const uint8_t *sha256;
    bool overwrites;
    enum store_outcome outcome;
};
void store_put(struct rpd_conn *conn, const struct object_key *key, const struct store_put *what);

void store_remove(struct rpd_conn *conn, const struct object_key *key);

/* ---- store_room.c -----------------------------------------------------------------------------
 */

/* Evicts if it is time to. */
void store_make_room(struct store *store, uint64_t extra);

/* There may be room now. */
void store_resume_waiting(struct store *store);

/* ---- store_note.c -----------------------------------------------------------------------------
 */

/* 0.1 s since tick_0_us; never goes back. */
uint32_t store_tick(struct store *store);

/* Something was used, and is to be noted on disk before long. */
void store_note_later(struct store *store);

/* [worker] Notes all, at the end. */
void store_note_all(struct store *store);

#endif
