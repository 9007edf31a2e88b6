/* See save_slice.h. */
#include "save_slice.h"

#include <stdlib.h>

enum { AHEAD = 8 /* entries that are fetched before they are written */ };

struct segment_copy *segment_copy_make(const struct segment *segment, unsigned database)
{
    struct segment_copy *copy = malloc(sizeof *copy + segment->count * sizeof *copy->slots);

    if (!copy)
        return NULL;
    copy->database = database;
    copy->count = 0;
    for (size_t i = 0; i < segment->capacity; i++)
        if (segment->slots[i])
            copy->slots[copy->count++] = segment->slots[i];
    return copy;
}

void segment_copies_free(struct segment_copies *copies)
{
    struct segment_copy *copy;

    while ((copy = SLIST_FIRST(copies))) {
        SLIST_REMOVE_HEAD(copies, link);
        free(copy);
    }
}

/* No fewer than there are: a segment may have lost some since it was copied. */
static size_t most_entries(const struct store *store, unsigned part,
                           const struct segment_copies *copies)
{
    const struct segment_copy *copy;
    size_t count = 0;

    for (unsigned i = 0; i < STORE_DATABASES; i++)
        count += store->databases[i].parts[part].count;
    SLIST_FOREACH(copy, copies, link)
    count += copy->count;
    return count;
}

static void add_segments(struct save_slice *slice, const struct table *table, unsigned part,
                         uint32_t epoch)
{
    uint64_t hash = (uint64_t)part << (64 - TABLE_PART_BITS);
    const struct segment *segment;

    do {
        segment = table_segment(table, hash);
        for (size_t i = 0; segment && segment->epoch != epoch && i < segment->capacity; i++)
            if (segment->slots[i])
                slice->entries[slice->count++] = table_entry(segment->slots[i]);
        hash = segment ? table_next(segment, hash) : 0;
    } while (hash != 0);
}

/* Some more than this part needs: the next may be larger, and parts are much alike. */
static int make_room(struct save_slice *slice, size_t count)
{
    if (slice->entries && count <= slice->room)
        return 0;
    free(slice->entries);
    slice->room = count + count / 16 + 64;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression) */
    slice->entries = malloc(slice->room * sizeof *slice->entries);
    return slice->entries ? 0 : -1;
}

int save_slice_gather(struct save_slice *slice, const struct store *store, unsigned part,
                      uint32_t epoch, const struct segment_copies *copies)
{
    const struct segment_copy *copy;

    if (make_room(slice, most_entries(store, part, copies)) < 0)
        return -1;
    slice->count = 0;
    for (unsigned i = 0; i < STORE_DATABASES; i++) {
        add_segments(slice, &store->databases[i].parts[part], part, epoch);
        SLIST_FOREACH(copy, copies, link)
        for (size_t j = 0; copy->database == i && j < copy->count; j++)
            slice->entries[slice->count++] = table_entry(copy->slots[j]);
        slice->ends[i] = slice->count;
    }
    return 0;
}

void save_slice_finish(struct save_slice *slice)
{
    free(slice->entries);
    *slice = (struct save_slice){0};
}

static void write_entry(struct snapshot_writer *writer, unsigned part, unsigned database,
                        struct entry *entry, int64_t now_ms, int64_t wall_offset_ms)
{
    struct snapshot_record record = {.database = database, .expires = entry_expires(entry)};

    if (record.expires) {
        const int64_t expiry = entry_expiry(entry);
        if (expiry <= now_ms)
            return;
        record.expiry_ms = kv_clock_shift(expiry, wall_offset_ms);
    }
    record.key = entry_key(entry);
    record.key_size = entry_key_size(entry);
    record.value = entry_value(entry);
    record.value_size = entry_value_size(entry);
    writer_add(writer, part, &record);
}

void save_slice_write(const struct save_slice *slice, struct snapshot_writer *writer, unsigned part,
                      int64_t now_ms, int64_t wall_offset_ms)
{
    unsigned database = 0;

    writer_begin_part(writer, part);
    for (size_t i = 0; i < slice->count && !writer->has_failed; i++) {
        if (i + AHEAD < slice->count)
            __builtin_prefetch(slice->entries[i + AHEAD]);
        while (i >= slice->ends[database])
            database++;
        write_entry(writer, part, database, slice->entries[i], now_ms, wall_offset_ms);
    }
    writer_end_part(writer, part);
}
