/* Loading. See load.h.
 *
 * load_begin() reads the snapshot's header and returns an empty state, of which no part is loaded.
 * Each part is then read, checked and made into tables and heaps of its own by a worker; the loop
 * puts them into the store as they are. */
#include "load.h"

#include "client.h"
#include "load_buffers.h"
#include "multi.h"
#include "pubsub.h"
#include "save.h"
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { LOOK_EVERY = 4096 /* keys */ };

struct load_part {
    struct load_file *file;
    unsigned number;
};

/* What the parts are loaded from. It does not change while they are. */
struct load_file {
    int fd;
    const char *path;
    struct file_mark mark;
    struct snapshot_header header;
    int64_t now_ms, drift_ms; /* of the store's clock, when the load began */
    struct load_part parts[TABLE_PARTS];
    struct load_buffers buffers;
};

/* A database's share of a part. */
struct loaded {
    struct table table;
    struct heap heap;
    size_t expiring;
};

struct loaded_part {
    unsigned number;
    struct loaded *databases[STORE_DATABASES]; /* NULL: none of its keys */
};

/* ---- a part ----------------------------------------------------------------------- */

static void free_loaded(struct loaded *loaded, unsigned part)
{
    struct database *database = calloc(1, sizeof *database);

    /* Where there is no memory even for that, it is lost. */
    if (!database)
        return;
    heap_init(&database->heap);
    database->parts[part] = loaded->table;
    heap_merge(&database->heap, &loaded->heap);
    database_destroy(database);
    free(loaded);
}

static void discard_part(void *part_)
{
    struct loaded_part *part = part_;

    for (unsigned i = 0; i < STORE_DATABASES; i++)
        if (part->databases[i])
            free_loaded(part->databases[i], part->number);
    free(part);
}

/* Records of a database that lie one behind the other: all of it, as a save writes it. */
static size_t count_run(const char *at, const char *end, unsigned database)
{
    struct snapshot_record record;
    size_t count = 0;

    while (at < end && snapshot_next(&at, end, &record) && record.database == database)
        count++;
    return count;
}

/* at: its first record. */
static struct loaded *loaded_of(struct loaded_part *part, unsigned database, const char *at,
                                const char *end)
{
    struct loaded *loaded = part->databases[database];

    if (loaded)
        return loaded;
    loaded = calloc(1, sizeof *loaded);
    if (!loaded)
        return NULL;
    heap_init(&loaded->heap);
    table_reserve(&loaded->table, count_run(at, end, database));
    part->databases[database] = loaded;
    return loaded;
}

static struct entry *make_entry(struct loaded *loaded, const struct snapshot_record *record,
                                int64_t expiry)
{
    struct entry *entry = entry_make(&loaded->heap, record->key, record->key_size,
                                     record->value_size, record->expires, 0);

    if (!entry)
        return NULL;
    if (record->expires)
        entry_set_expiry(entry, expiry);
    memcpy(entry_value(entry), record->value, record->value_size);
    return entry;
}

/* NULL: it is in; else why not. at: where it lies. */
static const char *add_record(struct loaded_part *part, struct load_file *file,
                              const struct snapshot_record *record, const char *at, const char *end)
{
    const struct sip_key seed = file->header.seed;
    const uint64_t hash = siphash(seed, record->key, record->key_size);
    int64_t expiry = 0;
    struct loaded *loaded;
    struct entry *entry;

    if (table_part(hash) != part->number)
        return "a key is in the wrong part: the file is damaged";
    if (record->expires) {
        expiry = kv_clock_shift(record->expiry_ms, file->drift_ms);
        if (expiry <= file->now_ms)
            return NULL;
    }
    loaded = loaded_of(part, record->database, at, end);
    if (!loaded)
        return "out of memory";
    if (table_find(&loaded->table, hash, record->key, record->key_size))
        return "a key is there twice: the file is damaged";
    entry = make_entry(loaded, record, expiry);
    if (!entry)
        return "out of memory";
    if (table_insert(&loaded->table, seed, hash, entry) < 0) {
        entry_free(&loaded->heap, entry);
        return "out of memory";
    }
    loaded->expiring += record->expires;
    return NULL;
}

/* NULL: it is all in, or was cancelled; else why not. */
static const char *add_records(struct rpd_load *load, struct loaded_part *part,
                               struct load_file *file, const char *data)
{
    const struct snapshot_part *of = &file->header.part[part->number];
    const char *const end = data + of->size;
    struct snapshot_record record;
    uint64_t done = 0;

    for (const char *at = data; at < end; done++) {
        const char *const from = at;
        const char *why;
        if (done == of->keys || !snapshot_next(&at, end, &record))
            return "its records are damaged";
        why = add_record(part, file, &record, from, end);
        if (why)
            return why;
        if (done % LOOK_EVERY == 0) {
            rpd_load_progress(load, done, of->keys, "keys");
            if (rpd_load_cancelled(load))
                return NULL;
        }
    }
    rpd_load_progress(load, of->keys, of->keys, "keys");
    return done == of->keys ? NULL : "it has fewer records than it should";
}

/* The parts are of the file as it was opened: another one in its place is not seen. */
static void *fail_part(struct rpd_load *load, const struct load_file *file, const char *why)
{
    return rpd_load_fail(load,
                         "%s: %s; restore the file, or remove it to begin without one, and restart",
                         file->path, why);
}

/* NULL: it is all in, or was cancelled; else why not, for which there is room in text. */
static const char *load_into(struct rpd_load *load, struct loaded_part *part,
                             struct load_file *file, char text[SNAPSHOT_TEXT_SIZE])
{
    char *buffer = load_buffers_take(&file->buffers);
    const char *why = text;

    if (!buffer)
        return "out of memory";
    if (snapshot_read_part(file->fd, &file->header, part->number, buffer, text) == 0)
        why = add_records(load, part, file, buffer);
    load_buffers_give_back(&file->buffers, buffer);
    return why;
}

static void *load_part(struct rpd_load *load)
{
    const struct load_part *of = rpd_load_arg(load);
    struct load_file *file = of->file;
    struct loaded_part *part = calloc(1, sizeof *part);
    char text[SNAPSHOT_TEXT_SIZE];
    const char *why;

    if (!part)
        return fail_part(load, file, "out of memory");
    part->number = of->number;
    why = load_into(load, part, file, text);
    if (!why && !rpd_load_cancelled(load))
        return part;
    discard_part(part);
    return why ? fail_part(load, file, why) : NULL;
}

/* [loop] */
static void attach_part(void *state, void *part_)
{
    struct kv *kv = state;
    struct loaded_part *part = part_;

    for (unsigned i = 0; i < STORE_DATABASES; i++) {
        struct loaded *loaded = part->databases[i];
        struct database *database = &kv->store.databases[i];
        if (!loaded)
            continue;
        heap_merge(&database->heap, &loaded->heap);
        database->parts[part->number] = loaded->table;
        database->count += loaded->table.count;
        database->table_bytes += loaded->table.bytes;
        database->expiring += loaded->expiring;
        free(loaded);
        part->databases[i] = NULL;
    }
    kv->store.loaded |= (uint64_t)1 << part->number;
    free(part);
    client_resume_held(kv);
}

/* ---- the beginning --------------------------------------------------------------------- */

static struct kv *make_state(const struct rpd_load *load, struct sip_key seed)
{
    struct kv *kv = calloc(1, sizeof *kv);

    if (!kv)
        return NULL;
    store_init(&kv->store, seed);
    kv->store.limit = (size_t)rpd_option_integer(rpd_load_service(load), "maxmemory");
    command_index_init(&kv->commands);
    TAILQ_INIT(&kv->held);
    TAILQ_INIT(&kv->all);
    TAILQ_INIT(&kv->trash);
    heap_init(&kv->copies);
    kv->started_us = kv->last_try_us = kv_clock_monotonic_us();
    kv->last_save_s = kv_clock_wall_ms() / 1000;
    metrics_init(&kv->metrics, rpd_load_service(load));
    return kv;
}

static void close_file(struct load_file *file)
{
    if (!file)
        return;
    close(file->fd);
    load_buffers_finish(&file->buffers);
    free(file);
}

static int add_parts(struct rpd_load *load, struct kv *kv)
{
    struct load_file *file = kv->file;

    kv->store.loaded = 0;
    for (unsigned i = 0; i < TABLE_PARTS; i++) {
        char name[16];
        file->parts[i] = (struct load_part){file, i};
        snprintf(name, sizeof name, "part-%u", i);
        if (rpd_load_add_part(load, &(struct rpd_load_part){.name = name,
                                                            .load = load_part,
                                                            .attach = attach_part,
                                                            .discard = discard_part,
                                                            .arg = &file->parts[i]}) < 0)
            return -1;
    }
    return 0;
}

static void *begin_empty(struct rpd_load *load)
{
    struct sip_key seed;
    struct kv *kv;

    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return rpd_load_fail(load, "getrandom: %s; nothing can be hashed safely", strerror(errno));
    kv = make_state(load, seed);
    return kv ? kv : rpd_load_fail(load, "out of memory");
}

static void *begin_with(struct rpd_load *load, struct load_file *file)
{
    struct kv *kv = make_state(load, file->header.seed);

    if (!kv) {
        close_file(file);
        return rpd_load_fail(load, "out of memory");
    }
    kv->file = file;
    kv->mark = file->mark;
    kv->generation = file->header.generation;
    kv->last_save_s = (int64_t)(file->header.saved_ms / 1000);
    file->now_ms = kv_clock_now(&kv->store.clock);
    file->drift_ms = kv_clock_drift(&kv->store.clock);
    if (add_parts(load, kv) == 0)
        return kv;
    load_unload(kv);
    return rpd_load_fail(load, "out of memory");
}

void *load_begin(struct rpd_load *load)
{
    const char *path = rpd_option_string(rpd_load_service(load), "snapshot");
    struct load_file *file;
    char why[SNAPSHOT_TEXT_SIZE];

    if (!path)
        return begin_empty(load);
    file = calloc(1, sizeof *file);
    if (!file)
        return rpd_load_fail(load, "out of memory");
    file->path = path;
    file->fd = snapshot_open(path, &file->header, why);
    if (file->fd >= 0) {
        struct stat status = {0};

        fstat(file->fd, &status);
        file->mark = file_mark(&status);
        load_buffers_init(&file->buffers, snapshot_largest_part(&file->header));
        return begin_with(load, file);
    }
    free(file);
    if (errno == ENOENT)
        return begin_empty(load);
    return rpd_load_fail(load, "%s: %s; restore the file, or remove it to begin without one", path,
                         why);
}

/* ---- the end ------------------------------------------------------------------------------ */

void load_finished(struct kv *kv)
{
    close_file(kv->file);
    kv->file = NULL;
}

void load_unload(void *state)
{
    struct kv *kv = state;
    struct trash *trash;

    save_at_stop(kv);
    while ((trash = TAILQ_FIRST(&kv->trash))) {
        TAILQ_REMOVE(&kv->trash, trash, link);
        database_destroy(trash->database);
        free(trash);
    }
    close_file(kv->file);
    watch_finish(kv);
    pubsub_finish(kv);
    store_finish(&kv->store);
    heap_finish(&kv->copies);
    free(kv);
}
