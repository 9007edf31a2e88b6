/* A part of the store as it was when a save began: what the loop hands to the worker. */
#ifndef KV_SAVE_SLICE_H
#define KV_SAVE_SLICE_H

#include "snapshot_writer.h"
#include "store.h"

#include <sys/queue.h>

/* What was in a segment that has changed since. */
struct segment_copy {
    unsigned database;
    SLIST_ENTRY(segment_copy) link;
    size_t count;
    table_slot slots[];
};

SLIST_HEAD(segment_copies, segment_copy);

struct save_slice {
    struct entry **entries;
    size_t count, room;
    size_t ends[STORE_DATABASES]; /* of each database's entries */
};

/* [loop] NULL: no memory. */
struct segment_copy *segment_copy_make(const struct segment *segment, unsigned database);
void segment_copies_free(struct segment_copies *copies);

/* [loop] All of a part: its copies, and its segments that have none. A slice is zeroed before
 * the first part, and used again for the next. 0, or -1: no memory. */
int save_slice_gather(struct save_slice *slice, const struct store *store, unsigned part,
                      uint32_t epoch, const struct segment_copies *copies);
void save_slice_finish(struct save_slice *slice);

/* [worker] Writes it as this part. What has expired at now_ms is left out; expiries are made
 * times of the machine's clock by adding wall_offset_ms. */
void save_slice_write(const struct save_slice *slice, struct snapshot_writer *writer, unsigned part,
                      int64_t now_ms, int64_t wall_offset_ms);

#endif
