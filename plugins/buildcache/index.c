/* What objects there are. See index.h. */
#include "index.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 8, BLOCK = 4096, TICK_US = 100000 };

/* ---- the list ------------------------------------------------------------------------------- */

static void list_remove(struct index_shard *shard, const struct index_entry *entry)
{
    if (entry->newer == INDEX_NONE)
        shard->newest = entry->older;
    else
        shard->entries[entry->newer].older = entry->older;
    if (entry->older == INDEX_NONE)
        shard->oldest = entry->newer;
    else
        shard->entries[entry->older].newer = entry->newer;
}

static void list_insert_newest(struct index_shard *shard, struct index_entry *entry)
{
    const uint32_t number = (uint32_t)(entry - shard->entries);

    entry->newer = INDEX_NONE;
    entry->older = shard->newest;
    if (shard->newest == INDEX_NONE)
        shard->oldest = number;
    else
        shard->entries[shard->newest].newer = number;
    shard->newest = number;
}

static void list_insert_oldest(struct index_shard *shard, struct index_entry *entry)
{
    const uint32_t number = (uint32_t)(entry - shard->entries);

    entry->older = INDEX_NONE;
    entry->newer = shard->oldest;
    if (shard->oldest == INDEX_NONE)
        shard->newest = number;
    else
        shard->entries[shard->oldest].older = number;
    shard->oldest = number;
}

/* ---- the table ------------------------------------------------------------------------------ */

/* The first byte is the shard. */
static uint32_t *bucket_of(struct index_shard *shard, struct object_id id)
{
    uint32_t bits;

    memcpy(&bits, id.bytes + 1, sizeof bits);
    return &shard->buckets[bits & (shard->bucket_count - 1)];
}

static struct index_entry *find(struct index_shard *shard, struct object_id id)
{
    uint32_t number = shard->bucket_count > 0 ? *bucket_of(shard, id) : INDEX_NONE;

    while (number != INDEX_NONE &&
           memcmp(shard->entries[number].id.bytes, id.bytes, sizeof id.bytes) != 0)
        number = shard->entries[number].next;
    return number == INDEX_NONE ? NULL : &shard->entries[number];
}

static void link_bucket(struct index_shard *shard, struct index_entry *entry)
{
    uint32_t *bucket = bucket_of(shard, entry->id);

    entry->next = *bucket;
    *bucket = (uint32_t)(entry - shard->entries);
}

static void unlink_bucket(struct index_shard *shard, const struct index_entry *entry)
{
    const uint32_t number = (uint32_t)(entry - shard->entries);
    uint32_t *at = bucket_of(shard, entry->id);

    while (*at != number)
        at = &shard->entries[*at].next;
    *at = entry->next;
}

/* At least as many buckets as entries. */
static int grow_buckets(struct index_shard *shard)
{
    const uint32_t count = shard->bucket_count ? 2 * shard->bucket_count : FIRST_ROOM;
    uint32_t *buckets = malloc(count * sizeof *buckets);

    if (!buckets)
        return -1;
    memset(buckets, 0xff, count * sizeof *buckets);
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
    for (uint32_t number = shard->newest; number != INDEX_NONE;
         number = shard->entries[number].older)
        link_bucket(shard, &shard->entries[number]);
    return 0;
}

static int grow_entries(struct index_shard *shard)
{
    const uint32_t room = shard->room ? shard->room + shard->room / 4 : FIRST_ROOM;
    struct index_entry *entries = realloc(shard->entries, room * sizeof *entries);

    if (!entries)
        return -1;
    shard->entries = entries;
    shard->room = room;
    return 0;
}

/* One that is in no list and no bucket; NULL: no memory. */
static struct index_entry *make_entry(struct index_shard *shard, struct object_id id)
{
    struct index_entry *entry;

    if (shard->count == shard->bucket_count && grow_buckets(shard) < 0)
        return NULL;
    if (shard->free != INDEX_NONE) {
        entry = &shard->entries[shard->free];
        shard->free = entry->next;
    } else {
        if (shard->filled == shard->room && grow_entries(shard) < 0)
            return NULL;
        entry = &shard->entries[shard->filled++];
    }
    *entry = (struct index_entry){.id = id, .is_noted = 1};
    link_bucket(shard, entry);
    shard->count++;
    return entry;
}

static uint64_t bytes_of(const struct index_entry *entry)
{
    return (uint64_t)entry->blocks * BLOCK;
}

static void set_bytes(struct index_shard *shard, struct index_entry *entry, uint64_t disk_bytes)
{
    shard->bytes -= bytes_of(entry);
    entry->blocks = (uint32_t)(disk_bytes / BLOCK) & 0x7fffffff;
    shard->bytes += bytes_of(entry);
}

static void set_unnoted(struct index_shard *shard, struct index_entry *entry)
{
    shard->unnoted += entry->is_noted;
    entry->is_noted = 0;
}

/* ---- shards --------------------------------------------------------------------------------- */

void index_shard_init(struct index_shard *shard)
{
    *shard = (struct index_shard){.free = INDEX_NONE, .newest = INDEX_NONE, .oldest = INDEX_NONE};
}

void index_shard_finish(struct index_shard *shard)
{
    free(shard->entries);
    free(shard->buckets);
    index_shard_init(shard);
}

int index_shard_append(struct index_shard *shard, struct object_id id, uint64_t disk_bytes,
                       uint32_t used)
{
    struct index_entry *entry = make_entry(shard, id);

    if (!entry)
        return -1;
    set_bytes(shard, entry, disk_bytes);
    entry->used = used;
    list_insert_oldest(shard, entry);
    return 0;
}

static int shard_put(struct index_shard *shard, struct object_id id, uint64_t disk_bytes,
                     uint32_t used)
{
    struct index_entry *entry = find(shard, id);

    if (entry)
        list_remove(shard, entry);
    else if (!(entry = make_entry(shard, id)))
        return -1;
    set_bytes(shard, entry, disk_bytes);
    set_unnoted(shard, entry);
    entry->used = used;
    list_insert_newest(shard, entry);
    return 0;
}

/* ---- the index ------------------------------------------------------------------------------ */

void index_init(struct index *index)
{
    index->count = index->bytes = 0;
    index->loaded = 0;
    for (unsigned i = 0; i < OBJECT_FOLDERS; i++)
        index_shard_init(&index->shards[i]);
}

void index_finish(struct index *index)
{
    for (unsigned i = 0; i < OBJECT_FOLDERS; i++)
        index_shard_finish(&index->shards[i]);
}

static struct index_shard *shard_of(struct index *index, struct object_id id)
{
    return &index->shards[id.bytes[0]];
}

struct index_entry *index_find(struct index *index, struct object_id id)
{
    return find(shard_of(index, id), id);
}

int index_put(struct index *index, struct object_id id, uint64_t disk_bytes, uint32_t used)
{
    struct index_shard *shard = shard_of(index, id);
    const uint64_t bytes = shard->bytes;
    const uint32_t count = shard->count;

    if (shard_put(shard, id, disk_bytes, used) < 0)
        return -1;
    index->bytes += shard->bytes - bytes;
    index->count += shard->count - count;
    return 0;
}

void index_use(struct index *index, struct index_entry *entry, uint32_t used)
{
    struct index_shard *shard = shard_of(index, entry->id);

    list_remove(shard, entry);
    set_unnoted(shard, entry);
    entry->used = used;
    list_insert_newest(shard, entry);
}

void index_remove(struct index *index, struct index_entry *entry)
{
    struct index_shard *shard = shard_of(index, entry->id);

    index->bytes -= bytes_of(entry);
    index->count--;
    shard->bytes -= bytes_of(entry);
    shard->count--;
    shard->unnoted -= !entry->is_noted;
    list_remove(shard, entry);
    unlink_bucket(shard, entry);
    entry->next = shard->free;
    shard->free = (uint32_t)(entry - shard->entries);
}

struct index_entry *index_oldest(struct index *index)
{
    struct index_entry *oldest = NULL;

    for (unsigned i = 0; i < OBJECT_FOLDERS; i++) {
        struct index_shard *shard = &index->shards[i];
        struct index_entry *entry = shard->oldest == INDEX_NONE ? NULL
                                                                : &shard->entries[shard->oldest];
        if (entry && (!oldest || entry->used < oldest->used))
            oldest = entry;
    }
    return oldest;
}

/* ---- loading -------------------------------------------------------------------------------- */

/* Those of the old one that are newer than all of the loaded one. Oldest first, so that the order
 * stays. */
static int add_live(struct index_shard *loaded, const struct index_shard *old)
{
    for (uint32_t number = old->oldest; number != INDEX_NONE; number = old->entries[number].newer) {
        const struct index_entry *live = &old->entries[number];
        struct index_entry *added;

        if (shard_put(loaded, live->id, bytes_of(live), live->used) < 0)
            return -1;
        added = &loaded->entries[loaded->newest];
        added->mark = live->mark;
        if (live->is_noted)
            loaded->unnoted--;
        added->is_noted = live->is_noted;
    }
    return 0;
}

int index_attach(struct index *index, unsigned folder, struct index_shard *loaded)
{
    struct index_shard *shard = &index->shards[folder];

    if (add_live(loaded, shard) < 0)
        return -1;
    index->count += loaded->count - shard->count;
    index->bytes += loaded->bytes - shard->bytes;
    index->loaded += !shard->is_loaded;
    loaded->changes = shard->changes + 1;
    loaded->is_loaded = true;
    free(shard->entries);
    free(shard->buckets);
    *shard = *loaded;
    index_shard_init(loaded);
    return 0;
}

/* ---- what is to be noted on disk ----------------------------------------------------------------
 */

size_t index_take_unnoted(struct index *index, unsigned folder, struct index_note *notes,
                          size_t room)
{
    struct index_shard *shard = &index->shards[folder];
    const size_t count = shard->unnoted < room ? shard->unnoted : room;
    uint32_t number = shard->newest;

    /* If not all are taken, then the oldest of them, so that the others stay the first. */
    for (size_t skipped = shard->unnoted; skipped > count; skipped--)
        number = shard->entries[number].older;
    for (size_t i = 0; i < count; i++) {
        struct index_entry *entry = &shard->entries[number];

        notes[i] = (struct index_note){entry->id, (uint64_t)entry->used * TICK_US + (count - i)};
        entry->is_noted = 1;
        shard->unnoted--;
        number = entry->older;
    }
    return count;
}
