/* What a service owes its client, or a client its service, across turns of the loop: files that are
 * sent, a body that is received, jobs that answer. See rpd/body.h for the promises; conn_files.c,
 * conn_disk.c, conn_body.c and conn_jobs.c for the parts.
 *
 * A connection has none of this until its backend first asks for it. Output is one queue: the bytes
 * of conn->out, and files between them, each of which knows how many of those bytes lie between it
 * and the file before it. conn->works counts what runs on a worker: until that has ended, the
 * struct stays. What is over waits in dues, to be reported in the connection's turn. */
#ifndef FRAMEWORK_CONN_OWED_H
#define FRAMEWORK_CONN_OWED_H

#include "clients/conn_inside.h"
#include "work/jobs.h"

enum {
    CONN_STEP = 1024 * 1024, /* of a file: this much is sent in a turn */
    CONN_SINK_STEP = CONN_STEP,
    CONN_FILES_HIGH = 16 /* from this many on, a client is not read */
};

/* A done that is to be called. */
struct conn_due {
    TAILQ_ENTRY(conn_due) link;
    rpd_conn_done_fn done;
    void *arg;
    int error;
};

/* A file that is sent. */
struct conn_file {
    struct conn_due due; /* first */
    TAILQ_ENTRY(conn_file) link;
    size_t behind; /* bytes of output between it and the file before it */
    int fd;
    uint64_t at, left; /* what of it has not been sent */
    uint64_t ready;    /* of those, seen in memory; that holds until ready_until_us */
    uint64_t ready_until_us;
};

/* What a worker has read of the first file, and how much of that is sent. data NULL: nothing. */
struct conn_piece {
    char *data;
    size_t size, sent;
};

/* A body that is received. */
struct conn_body {
    struct conn_due due; /* first */
    bool is_owed;        /* until its due is listed */
    bool is_due;
    rpd_sink_fn sink; /* NULL: to fd */
    int fd;
    uint64_t at;       /* where in fd the next byte goes */
    uint64_t left;     /* what has not come */
    uint64_t received; /* what has */
    /* The loop fills the one while a worker empties the other. */
    struct conn_sink_buffer {
        char *data;
        size_t size, room;
    } filled, sunk;
    int sink_error; /* the worker's, until its step is done */
};

struct conn_owed {
    struct rpd_conn *conn;
    TAILQ_HEAD(conn_dues, conn_due) dues;
    size_t due_count;
    unsigned pauses; /* jobs and bodies for which nothing is read by on_data */
    /* conn_files.c */
    TAILQ_HEAD(conn_files, conn_file) files;
    size_t file_count;
    uint64_t file_bytes;
    size_t marked; /* bytes of output ahead of the last file */
    /* conn_disk.c */
    struct rpd_job reading;
    bool is_reading;        /* the piece, of read: the first file */
    struct conn_file *read; /* it stays until the piece is sent */
    struct conn_piece piece;
    int reading_error; /* the worker's, until it is done */
    /* conn_body.c */
    struct conn_body body;
    struct rpd_job sinking;
    bool is_sinking;
    /* conn_jobs.c */
    TAILQ_HEAD(conn_jobs, conn_job) jobs;
    struct job_queue job_queue;
    struct event hang_up;
};

/* ---- conn_owed.c -------------------------------------------------------------- */

/* NULL and errno: the connection is closing, or there is no memory. */
struct conn_owed *conn_owe(struct rpd_conn *conn);

/* The done of the due is called in the connection's turn. */
void conn_list_due(struct conn_owed *owed, struct conn_due *due, int error);

/* on_data goes on when the last pause has ended. */
void conn_owed_pause(struct conn_owed *owed);
void conn_owed_unpause(struct conn_owed *owed);

/* Something on a worker has ended. The struct may be gone when this returns. */
void conn_owed_end_work(struct rpd_conn *conn);

/* Calls a done; with conn NULL if no client is there. */
void conn_call_done(struct rpd_conn *conn, rpd_conn_done_fn done, void *arg, int error);

/* ---- conn_files.c ---------------------------------------------------------------- */

/* The connection has closed: the files that no worker works on are due. */
void conn_drop_files(struct conn_owed *owed);
void conn_free_file(struct conn_due *due);
void conn_fail_file(struct conn_owed *owed, struct conn_file *file, int error);

/* ---- conn_disk.c ----------------------------------------------------------------- */

/* Like preadv2() with RWF_NOWAIT. */
ssize_t conn_read_now(int fd, void *bytes, size_t size, uint64_t at);

/* Whether the loop may send the next bytes of the file, file->ready, from the file's own pages. */
bool conn_look_at_file(const struct conn_owed *owed, struct conn_file *file);

/* Like sendfile(), of those. */
ssize_t conn_send_from_file(struct rpd_conn *conn, const struct conn_file *file);

/* A worker reads the piece; the connection's turn follows. */
void conn_start_reading(struct conn_owed *owed, struct conn_file *file);
void conn_free_piece(struct conn_owed *owed);

/* ---- conn_body.c ------------------------------------------------------------------- */

/* Reads some of the body, and passes it to the sink. */
void conn_take_body(struct rpd_conn *conn);
void conn_drop_body(struct conn_owed *owed);

/* The body's done has been called. */
void conn_end_body(struct conn_owed *owed, int error);

/* ---- conn_jobs.c --------------------------------------------------------------------- */

void conn_jobs_init(struct conn_owed *owed);
void conn_drop_jobs(struct conn_owed *owed);

#endif
