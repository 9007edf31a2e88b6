/* Saving. See save.h.
 *
 *     begin ─► [open] ─► hand part 0 ─► [write] ─► hand part 1 ─► ... ─► [commit] ─► end
 *               worker     loop         worker      loop               worker      loop */
#include "save.h"

#include "save_slice.h"

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RETRY_US = 10 * 1000000, /* after one that has failed */
    STOP_RETRY_MS = 200      /* the same at a stop */
};

/* A client that waits for the end of its SAVE. */
struct waiter {
    struct rpd_conn *conn;
    bool is_muted; /* CLIENT REPLY OFF, or SKIP */
    SLIST_ENTRY(waiter) link;
};

struct save {
    struct store_guard guard; /* first: store.c knows only this */
    struct kv *kv;            /* the loop's alone */
    const char *path;
    struct file_mark mark; /* of the last one */
    struct sip_key seed;
    uint64_t generation;
    struct snapshot_writer writer; /* the worker's, while a job runs */
    struct save_slice slice;       /* so is this */
    struct segment_copies copies[TABLE_PARTS];
    enum { SAVE_OPENS, SAVE_WRITES, SAVE_COMMITS, SAVE_CLEANS } step;
    unsigned part;
    int64_t now_ms, wall_offset_ms;
    int64_t began_us, longest_us; /* of what the loop does at a time */
    uint64_t changes;             /* of the store, when it began */
    const char *given_up;         /* NULL, or why */
    bool is_called_off;           /* so nothing is wrong */
    SLIST_HEAD(waiters, waiter) waiters;
};
_Static_assert(offsetof(struct save, guard) == 0, "the one is found by a pointer to the other");

static void go_on(struct save *save);
static void step_done(struct rpd_service *service, void *arg, bool cancelled);

/* ---- the guard -------------------------------------------------------------------- */

static void give_up(struct save *save, const char *why)
{
    if (!save->given_up)
        save->given_up = why;
}

static void call_off(struct save *save, const char *why)
{
    if (!save->given_up)
        save->is_called_off = true;
    give_up(save, why);
}

static void copy_segment(struct store_guard *guard, unsigned database, uint64_t hash)
{
    struct save *save = (struct save *)guard;
    struct table *table = &save->kv->store.databases[database].parts[table_part(hash)];
    struct segment *segment = table_segment(table, hash);
    struct segment_copy *copy;

    table->epoch = guard->epoch;
    if (!segment || segment->epoch == guard->epoch || save->given_up)
        return;
    if (table_part(hash) >= guard->handed) {
        copy = segment_copy_make(segment, database);
        if (!copy) {
            give_up(save, "out of memory");
            return;
        }
        SLIST_INSERT_HEAD(&save->copies[table_part(hash)], copy, link);
    }
    segment_forget_fresh(segment);
    segment->epoch = guard->epoch;
}

/* ---- the worker's steps -------------------------------------------------------------- */

static void open_writer(struct save *save)
{
    const char *refusal = owner_refusal(save->kv->service, save->path, &save->mark);

    if (refusal)
        writer_refuse(&save->writer, refusal);
    else
        writer_open(&save->writer, save->path, save->seed, save->generation,
                    (uint64_t)(save->now_ms + save->wall_offset_ms));
}

/* It may have taken long to write it. */
static void commit(struct save *save)
{
    const char *refusal = owner_refusal(save->kv->service, save->path, &save->mark);

    if (refusal)
        writer_refuse(&save->writer, refusal);
    else
        writer_commit(&save->writer);
}

static void run(struct rpd_job *job, void *arg)
{
    struct save *save = arg;

    (void)job;
    switch (save->step) {
    case SAVE_OPENS: open_writer(save); break;
    case SAVE_WRITES:
        save_slice_write(&save->slice, &save->writer, save->part, save->now_ms,
                         save->wall_offset_ms);
        break;
    case SAVE_COMMITS: commit(save); break;
    case SAVE_CLEANS: writer_finish(&save->writer); break;
    }
}

/* ---- the end -------------------------------------------------------------------------- */

static void answer_waiters(struct save *save, const char *failure)
{
    struct waiter *waiter;

    while ((waiter = SLIST_FIRST(&save->waiters))) {
        SLIST_REMOVE_HEAD(&save->waiters, link);
        if (rpd_conn_is_open(waiter->conn)) {
            if (!waiter->is_muted && failure)
                rpd_conn_printf(waiter->conn, "-ERR not saved: %s\r\n", failure);
            else if (!waiter->is_muted)
                rpd_conn_printf(waiter->conn, "+OK\r\n");
            rpd_conn_resume(waiter->conn);
        }
        rpd_conn_release(waiter->conn);
        free(waiter);
    }
}

static const char *what_is_there(const struct snapshot_writer *writer)
{
    return writer->has_replaced ? "" : "; the last snapshot is as it was";
}

/* Reports to writers and observers that new writes may be lost. */
static void set_failure(struct kv *kv, const char *failure)
{
    char reason[sizeof kv->save_failure + 16];

    kv->last_save_failed = failure;
    kv->refuses_writes = failure && rpd_option_boolean(kv->service, "stop_writes_on_save_error");
    snprintf(kv->save_failure, sizeof kv->save_failure, "%.150s", failure ? failure : "");
    snprintf(reason, sizeof reason, "cannot save: %s", kv->save_failure);
    rpd_service_set_degraded(kv->service, failure ? reason : NULL);
}

static void log_end(const struct save *save, const char *failure)
{
    const struct kv *kv = save->kv;
    const double took_s = (double)(kv_clock_monotonic_us() - save->began_us) / 1e6;
    uint64_t keys = 0;

    for (unsigned i = 0; i < SNAPSHOT_PARTS; i++)
        keys += save->writer.header.part[i].keys;
    if (save->is_called_off)
        rpd_log(kv->service, RPD_LOG_INFO, "a save is called off: %s", failure);
    else if (failure)
        rpd_log(kv->service, RPD_LOG_ERROR, "save %s: %s%s; tried again in %d s%s", save->path,
                failure, what_is_there(&save->writer), RETRY_US / 1000000,
                kv->refuses_writes ? ", and until one succeeds writes are refused" : "");
    else
        rpd_log(kv->service, RPD_LOG_INFO,
                "saved %llu keys, %llu bytes in %.3f s (longest step of the loop: %.3f ms)",
                (unsigned long long)keys, (unsigned long long)save->writer.header.file_size, took_s,
                (double)save->longest_us / 1000);
}

static void note_end(const struct save *save, const char *failure)
{
    uint64_t *const *values = save->kv->metrics.values;

    rpd_metric_add(values[save->is_called_off ? KV_CALLED_OFF
                          : failure           ? KV_NOT_SAVED
                                              : KV_SAVED],
                   1);
    rpd_metric_observe(values[KV_SAVE_TIME],
                       (uint64_t)(kv_clock_monotonic_us() - save->began_us) / 1000);
}

static void end(struct save *save)
{
    struct kv *kv = save->kv;
    const char *failure = save->given_up            ? save->given_up
                          : save->writer.has_failed ? save->writer.why
                                                    : NULL;

    kv->store.guard = NULL;
    kv->save = NULL;
    if (!save->is_called_off)
        set_failure(kv, failure);
    log_end(save, failure);
    if (save->writer.has_replaced) { /* also where it was given up meanwhile: that file is ours */
        kv->mark = save->writer.mark;
        kv->generation++;
    }
    if (!failure) {
        kv->last_save_s = kv_clock_wall_ms() / 1000;
        kv->saved_changes = save->changes;
    }
    note_end(save, failure);
    answer_waiters(save, failure);
    for (unsigned i = 0; i < TABLE_PARTS; i++)
        segment_copies_free(&save->copies[i]);
    save_slice_finish(&save->slice);
    writer_finish(&save->writer);
    free(save);
    kv_empty_trash(kv);
}

/* Removing a large unused file takes long, so a worker does it. */
static void clean(struct save *save)
{
    save->step = SAVE_CLEANS;
    if (rpd_job_submit(save->kv->service, run, step_done, save) < 0)
        end(save);
}

static void step_done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct save *save = arg;

    (void)service;
    if (cancelled)
        call_off(save, "the service stops");
    if (save->step == SAVE_WRITES)
        save->guard.written = ++save->part;
    if (save->step != SAVE_CLEANS && (save->given_up || save->writer.has_failed)) {
        clean(save);
        return;
    }
    if (save->step == SAVE_COMMITS || save->step == SAVE_CLEANS) {
        end(save);
        return;
    }
    save->step = save->part < TABLE_PARTS ? SAVE_WRITES : SAVE_COMMITS;
    go_on(save);
}

static void go_on(struct save *save)
{
    const int64_t began_us = kv_clock_monotonic_us();
    int64_t took_us;

    if (save->step == SAVE_WRITES) {
        if (save_slice_gather(&save->slice, &save->kv->store, save->part, save->guard.epoch,
                              &save->copies[save->part]) < 0)
            give_up(save, "out of memory");
        segment_copies_free(&save->copies[save->part]);
        save->guard.handed = save->part + 1;
    }
    took_us = kv_clock_monotonic_us() - began_us;
    if (took_us > save->longest_us)
        save->longest_us = took_us;
    if (!save->given_up && rpd_job_submit(save->kv->service, run, step_done, save) < 0) {
        if (save->kv->is_draining)
            call_off(save, "the service stops");
        else
            give_up(save, "too many jobs wait");
    }
    if (save->given_up)
        end(save);
}

/* ---- the beginning ----------------------------------------------------------------------- */

static int begin(struct kv *kv)
{
    struct save *save = calloc(1, sizeof *save);

    if (!save)
        return -1;
    kv->last_try_us = kv_clock_monotonic_us();
    save->kv = kv;
    save->path = rpd_option_string(kv->service, "snapshot");
    save->mark = kv->mark;
    save->seed = kv->store.seed;
    save->generation = kv->generation + 1;
    save->guard = (struct store_guard){.epoch = ++kv->epoch, .copy = copy_segment};
    save->writer.fd = -1;
    save->began_us = kv->last_try_us;
    save->changes = kv->store.changes;
    save->now_ms = kv_clock_now(&kv->store.clock);
    save->wall_offset_ms = -kv_clock_drift(&kv->store.clock);
    kv->save = save;
    kv->store.guard = &save->guard;
    go_on(save);
    return 0;
}

/* NULL: a save may begin. */
static const char *refusal(const struct kv *kv)
{
    if (!rpd_option_string(kv->service, "snapshot"))
        return "ERR no snapshot is configured; set the option \"snapshot\"";
    if (!kv->is_ready)
        return "LOADING the snapshot is still being loaded: it is not overwritten";
    if (kv->store.loaded != UINT64_MAX)
        return "MISCONF a part of the snapshot could not be loaded: it is not overwritten";
    return NULL;
}

void save_tick(struct kv *kv)
{
    const int64_t every_us = rpd_option_integer(kv->service, "save_interval_s") * 1000000;
    const int64_t waited_us = kv_clock_monotonic_us() - kv->last_try_us;

    if (kv->save || refusal(kv))
        return;
    if (kv->last_save_failed
            ? waited_us >= RETRY_US
            : every_us > 0 && waited_us >= every_us && kv->store.changes != kv->saved_changes)
        begin(kv);
}

void save_cancel(struct kv *kv)
{
    if (kv->save)
        call_off(kv->save, "the databases were flushed meanwhile");
}

/* ---- at the stop ------------------------------------------------------------------------- */

static void write_all(struct kv *kv, struct snapshot_writer *writer)
{
    static const struct segment_copies none = SLIST_HEAD_INITIALIZER(none);
    const int64_t now_ms = kv_clock_now(&kv->store.clock);
    const int64_t wall_offset_ms = -kv_clock_drift(&kv->store.clock);
    struct save_slice slice = {0};

    writer_open(writer, rpd_option_string(kv->service, "snapshot"), kv->store.seed,
                kv->generation + 1, (uint64_t)(now_ms + wall_offset_ms));
    for (unsigned part = 0; part < TABLE_PARTS && !writer->has_failed; part++) {
        if (save_slice_gather(&slice, &kv->store, part, kv->epoch + 1, &none) < 0) {
            writer->has_failed = true;
            snprintf(writer->why, sizeof writer->why, "out of memory");
            break;
        }
        save_slice_write(&slice, writer, part, now_ms, wall_offset_ms);
    }
    save_slice_finish(&slice);
    writer_commit(writer);
}

/* Says what is lost. */
static void fail_at_stop(const struct kv *kv, const struct snapshot_writer *writer)
{
    const int64_t saved_s = kv->last_save_s;
    char when[40] = "the start";
    struct tm local;
    const time_t at = (time_t)saved_s;

    if (saved_s > 0 && localtime_r(&at, &local))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S%z", &local);
    rpd_unload_fail(kv->service, "save %s: %s%s; %llu changes since %s are lost",
                    rpd_option_string(kv->service, "snapshot"), writer->why, what_is_there(writer),
                    (unsigned long long)(kv->store.changes - kv->saved_changes), when);
}

/* Whether it is worth another try: a disk that was full may have room soon. */
static bool may_try_again(const struct kv *kv, const struct snapshot_writer *writer, int tries)
{
    if (!writer->has_failed || rpd_unload_time_left_ms(kv->service) < STOP_RETRY_MS)
        return false;
    if (tries == 1)
        rpd_log(kv->service, RPD_LOG_WARNING, "save %s: %s; tried again until drain_s is over",
                rpd_option_string(kv->service, "snapshot"), writer->why);
    poll(NULL, 0, STOP_RETRY_MS);
    return true;
}

void save_at_stop(struct kv *kv)
{
    struct snapshot_writer writer;
    const char *refused;
    int tries = 0;
    bool again;

    /* It was never ready: not all of the last snapshot may be there. */
    if (!kv->service || refusal(kv) || kv->store.changes == kv->saved_changes ||
        !rpd_option_boolean(kv->service, "save_at_stop"))
        return;
    kv_clock_forget(&kv->store.clock);
    refused = owner_refusal(kv->service, rpd_option_string(kv->service, "snapshot"), &kv->mark);
    do {
        writer = (struct snapshot_writer){.fd = -1};
        if (refused)
            writer_refuse(&writer, refused);
        else
            write_all(kv, &writer);
        again = !refused && may_try_again(kv, &writer, ++tries);
        if (writer.has_failed && !again)
            fail_at_stop(kv, &writer);
        else if (!again && tries > 1)
            rpd_log(kv->service, RPD_LOG_INFO, "saved at the try number %d", tries);
        writer_finish(&writer);
    } while (again);
}

/* ---- commands -------------------------------------------------------------------------------- */

/* Whether one has begun; else an error has been answered. */
static bool begin_asked(struct call *call)
{
    const char *why = refusal(call->kv);

    if (!why && call->kv->save)
        why = "ERR Background save already in progress";
    if (!why && begin(call->kv) < 0)
        why = "ERR out of memory";
    if (!why && !call->kv->save)
        why = "ERR not saved: see the log";
    if (why)
        reply_error(call->reply, why);
    return !why;
}

void command_save(struct call *call)
{
    struct waiter *waiter = malloc(sizeof *waiter);

    if (!waiter) {
        call_no_memory(call);
        return;
    }
    if (!begin_asked(call)) {
        free(waiter);
        return;
    }
    waiter->conn = call->conn;
    waiter->is_muted = call->reply->is_muted;
    SLIST_INSERT_HEAD(&call->kv->save->waiters, waiter, link);
    rpd_conn_keep(call->conn);
    rpd_conn_pause(call->conn);
    call->end = CALL_WAIT;
}

void command_bgsave(struct call *call)
{
    if (call->argc > 2 || (call->argc == 2 && !call_arg_is(call, 1, "schedule")))
        reply_error(call->reply, "ERR syntax error");
    else if (begin_asked(call))
        reply_status(call->reply, "Background saving started");
}

void command_lastsave(struct call *call)
{
    reply_integer(call->reply, call->kv->last_save_s);
}
