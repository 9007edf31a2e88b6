/* The store: table, heap, expiry, eviction, compared with a plain array of the expected content. */
#include "store.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t state = 88172645463325252U;

static uint64_t pick(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static struct store *make_store(void)
{
    struct store *store = malloc(sizeof *store);

    store_init(store, (struct sip_key){1, 2});
    return store;
}

static void free_store(struct store *store)
{
    store_finish(store);
    free(store);
}

static struct store_key numbered(const struct store *store, unsigned number)
{
    static char names[4][64];
    static unsigned next;
    char *name = names[next++ % 4];
    const int size = snprintf(name, sizeof names[0], "key:%u", number);

    return store_key(store, name, (size_t)size);
}

static int put(struct store *store, unsigned number, const char *value, size_t size)
{
    const struct store_key key = numbered(store, number);

    return store_set(store, 0, &key, value, size, STORE_NO_EXPIRY);
}

/* ---- what is put in is found ------------------------------------------------------ */

enum { KEYS = 20000, VALUE = 3000 };

static size_t sizes[KEYS]; /* the size of the value plus one; 0: not there */

static void check_one(struct store *store, unsigned number)
{
    const struct store_key key = numbered(store, number);
    struct entry *entry = store_find(store, 0, &key);

    cr_assert_eq(entry != NULL, sizes[number] > 0, "key %u", number);
    if (!entry)
        return;
    cr_assert_eq(entry_value_size(entry), sizes[number] - 1);
    for (size_t i = 0; i < sizes[number] - 1; i++)
        cr_assert_eq(entry_value(entry)[i], (char)(number + i), "key %u at %zu", number, i);
}

static void change_one(struct store *store, unsigned number)
{
    const struct store_key key = numbered(store, number);
    char value[VALUE];
    const size_t size = pick(20) == 0 ? pick(VALUE) : pick(120);

    if (pick(3) == 0) {
        cr_assert_eq(store_delete(store, 0, &key), sizes[number] > 0);
        sizes[number] = 0;
        return;
    }
    for (size_t i = 0; i < size; i++)
        value[i] = (char)(number + i);
    cr_assert_eq(store_set(store, 0, &key, value, size, STORE_NO_EXPIRY), 0);
    sizes[number] = size + 1;
}

Test(store, keeps_what_it_is_given)
{
    struct store *store = make_store();
    size_t count = 0;

    for (int i = 0; i < 300000; i++) {
        change_one(store, (unsigned)pick(KEYS));
        check_one(store, (unsigned)pick(KEYS));
    }
    for (unsigned i = 0; i < KEYS; i++) {
        check_one(store, i);
        count += sizes[i] > 0;
    }
    cr_assert_eq(store->databases[0].count, count);
    for (unsigned i = 0; i < KEYS; i++) {
        const struct store_key key = numbered(store, i);
        store_delete(store, 0, &key);
    }
    cr_assert_eq(store->databases[0].count, 0);
    cr_assert_eq(store->databases[0].heap.bytes, 0);
    cr_assert_eq(store->databases[0].heap.mappings, 0);
    free_store(store);
}

/* Visits each segment once, in the order of hashes, whatever happens in between. */
static size_t walk(struct store *store, bool changes)
{
    uint64_t hash = 0;
    size_t seen = 0;
    unsigned added = KEYS * 10;

    do {
        const struct segment *segment = table_segment(&store->databases[0].parts[table_part(hash)],
                                                      hash);
        uint64_t next = 0;
        for (size_t i = 0; segment && i < segment->capacity; i++)
            if (segment->slots[i] && entry_value_size(table_entry(segment->slots[i])) == 4)
                seen++;
        if (segment)
            next = table_next(segment, hash);
        hash = next ? next : ((uint64_t)table_part(hash) + 1) << 58;
        for (int i = 0; changes && i < 50; i++)
            cr_assert_eq(put(store, added++, "new", 3), 0);
    } while (hash != 0);
    return seen;
}

Test(store, a_walk_sees_each_key_once)
{
    struct store *store = make_store();

    for (unsigned i = 0; i < 100000; i++)
        cr_assert_eq(put(store, i, "old!", 4), 0);
    cr_assert_eq(walk(store, false), 100000);
    cr_assert_eq(walk(store, true), 100000, "while others are put in");
    free_store(store);
}

static int64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

enum { ROUNDS = 3, INSERTS = 500000, INSERTS_LONG = 5000000 };

/* Repeats the same inserts, and takes the shortest time of each: disturbances by the machine come
 * at different places each time, the table's own work at the same ones. 5 million inserts with
 * RPD_TEST_LONG=1. */
Test(store, no_insert_takes_long)
{
    const char *mode = getenv("RPD_TEST_LONG");
    const unsigned count = mode && strcmp(mode, "1") == 0 ? INSERTS_LONG : INSERTS;
    int64_t *shortest = calloc(count, sizeof *shortest);
    char value[100] = {0};
    int64_t longest = 0;

    for (int round = 0; round < ROUNDS; round++) {
        struct store *store = make_store();
        for (unsigned i = 0; i < count; i++) {
            const int64_t began = thread_ns();
            cr_assert_eq(put(store, i, value, sizeof value), 0);
            const int64_t took = thread_ns() - began;
            if (round == 0 || took < shortest[i])
                shortest[i] = took;
        }
        free_store(store);
    }
    for (unsigned i = 0; i < count; i++)
        longest = shortest[i] > longest ? shortest[i] : longest;
    free(shortest);
    cr_log_info("longest insert of %u: %lld us", count, (long long)longest / 1000);
    cr_assert_lt(longest, 1000000, "%lld us", (long long)longest / 1000);
}

Test(store, an_entry_costs_little)
{
    struct store *store = make_store();
    char name[32], value[100] = {0};

    for (unsigned i = 0; i < 500000; i++) {
        const struct store_key key = store_key(store, name,
                                               (size_t)snprintf(name, sizeof name, "key:%012u", i));
        cr_assert_eq(store_set(store, 0, &key, value, sizeof value, STORE_NO_EXPIRY), 0);
    }
    cr_assert_lt(store_memory(store) / 500000, 142);
    free_store(store);
}

Test(store, memory_of_other_sizes_is_used_again)
{
    struct store *store = make_store();
    char value[1000] = {0};
    size_t resident;

    for (unsigned i = 0; i < 50000; i++)
        put(store, i, value, 100);
    resident = store_memory(store);
    for (unsigned i = 0; i < 50000; i++) {
        const struct store_key key = numbered(store, i);
        store_delete(store, 0, &key);
    }
    for (unsigned i = 0; i < 5000; i++)
        put(store, i, value, 900);
    cr_assert_leq(store_memory(store), resident);
    free_store(store);
}

static void fill_in(struct entry *entry, size_t from)
{
    for (size_t i = from; i < entry_value_size(entry); i++)
        entry_value(entry)[i] = (char)(i * 7 >> 3);
}

enum { GROWN = 32 * 1024 * 1024, GROWTH = 100, GROWTHS = 2000 };

/* A value that grows a little at a time is not copied each time. */
Test(store, a_large_value_grows_in_little_time)
{
    struct store *store = make_store();
    const struct store_key key = numbered(store, 1);
    struct entry *entry;
    int64_t began, took;
    size_t zero;

    cr_assert_eq(store_set(store, 0, &key, "", 0, STORE_NO_EXPIRY), 0);
    entry = store_resize(store, 0, &key, store_find(store, 0, &key), GROWN, &zero);
    fill_in(entry, 0);
    began = thread_ns();
    for (int i = 0; i < GROWTHS; i++) {
        const size_t size = entry_value_size(entry);
        entry = store_resize(store, 0, &key, entry, size + GROWTH, &zero);
        cr_assert_not_null(entry);
        cr_assert_eq(entry, store_find(store, 0, &key));
        fill_in(entry, size);
    }
    took = thread_ns() - began;
    cr_assert_eq(entry_value_size(entry), GROWN + GROWTH * GROWTHS);
    for (size_t i = 0; i < entry_value_size(entry); i++)
        if (entry_value(entry)[i] != (char)(i * 7 >> 3))
            cr_assert_fail("byte %zu", i);
    cr_assert_lt(took, 1000000000, "%lld us", (long long)took / 1000);
    store_delete(store, 0, &key);
    cr_assert_eq(store->databases[0].heap.bytes, 0);
    cr_assert_eq(store->databases[0].heap.mappings, 0);
    free_store(store);
}

/* ---- while a save runs -------------------------------------------------------------------- */

static struct store *guarded;

static void copy_nothing(struct store_guard *guard, unsigned database, uint64_t hash)
{
    struct table *table = &guarded->databases[database].parts[table_part(hash)];
    struct segment *segment = table_segment(table, hash);

    table->epoch = guard->epoch;
    if (segment && segment->epoch != guard->epoch) {
        segment_forget_fresh(segment);
        segment->epoch = guard->epoch;
    }
}

/* A value that is written repeatedly is kept once, as it was when the save began. */
Test(store, a_save_keeps_each_entry_once)
{
    struct store *store = make_store();
    struct store_guard guard = {.epoch = 1, .handed = 5, .written = 4, .copy = copy_nothing};
    char value[2000] = {0};
    struct entry *entry;

    for (unsigned i = 0; i < 1000; i++)
        put(store, i, "old", 3);
    guarded = store;
    store->guard = &guard;
    for (unsigned round = 0; round < 199; round++)
        for (unsigned i = 0; i < 1100; i++) {
            const struct store_key key = numbered(store, i);
            if (round % 7 == 3)
                store_delete(store, 0, &key);
            else
                put(store, i, value, round * 10 % sizeof value);
            entry = store_find(store, 0, &key);
            if (entry)
                cr_assert_eq(store_set_expiry(store, 0, &key, entry, (int64_t)1e15), 0);
        }
    cr_assert_leq(store->databases[0].deferred_count, 1000);
    cr_assert_gt(store->databases[0].deferred_count, 800);
    for (size_t i = 0; i < store->databases[0].deferred_count; i++)
        cr_assert_eq(memcmp(entry_value(store->databases[0].deferred[i].entry), "old", 3), 0);
    /* The next save keeps values that this one did not. */
    const size_t kept = store->databases[0].deferred_count;
    guard = (struct store_guard){.epoch = 2, .copy = copy_nothing};
    for (unsigned i = 0; i < 1100; i++)
        put(store, i, "newer", 5);
    cr_assert_eq(store->databases[0].deferred_count, kept + 1100);
    store->guard = NULL;
    free_store(store);
}

static int asked_part;

static void note_part(struct store_guard *guard, unsigned database, uint64_t hash)
{
    (void)guard, (void)database;
    asked_part = (int)table_part(hash);
}

/* Values of the part that is being written are kept, too, and those of later parts; none of earlier
 * ones. */
Test(store, a_save_is_asked_before_what_it_has_not_written_changes)
{
    struct store *store = make_store();
    struct store_guard guard = {.epoch = 1, .handed = 5, .written = 4, .copy = note_part};
    size_t asked[TABLE_PARTS] = {0};

    store->guard = &guard;
    for (unsigned i = 0; i < 20000; i++) {
        const struct store_key key = numbered(store, i);
        const unsigned part = table_part(key.hash);

        asked_part = -1;
        put(store, i, "value", 5);
        cr_assert_eq(asked_part, part >= guard.written ? (int)part : -1, "part %u", part);
        asked[part] += asked_part >= 0;
    }
    cr_assert_eq(asked[guard.written - 1], 0);
    cr_assert_gt(asked[guard.written], 0);
    store->guard = NULL;
    free_store(store);
}

Test(store, long_keys)
{
    struct store *store = make_store();
    static char name[70000];
    const size_t lengths[] = {0, 1, 254, 255, 256, 257, 1000, 69999};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const struct store_key key = store_key(store, name, lengths[i]);
        cr_assert_eq(store_set(store, 0, &key, "value", 5, 1000 + (int64_t)1e15), 0);
        struct entry *entry = store_find(store, 0, &key);
        cr_assert_not_null(entry);
        cr_assert_eq(entry_key_size(entry), lengths[i]);
        cr_assert_eq(entry_expiry(entry), 1000 + (int64_t)1e15);
        cr_assert_eq(memcmp(entry_value(entry), "value", 5), 0);
    }
    free_store(store);
}

/* ---- expiry, eviction ----------------------------------------------------------------- */

Test(store, what_has_expired_goes)
{
    struct store *store = make_store();
    const int64_t now = kv_clock_now(&store->clock);

    for (unsigned i = 0; i < 10000; i++) {
        const struct store_key key = numbered(store, i);
        store_set(store, i % 3, &key, "x", 1, i % 2 ? now + 1 : now + 1000000);
    }
    store->clock.now_ms = now + 10;
    for (int i = 0;
         i < 1000 &&
         store->databases[0].count + store->databases[1].count + store->databases[2].count > 5000;
         i++)
        store_expire_some(store, 1000);
    cr_assert_eq(store->expired, 5000);
    const struct store_key gone = numbered(store, 1), stays = numbered(store, 2);
    cr_assert_null(store_find(store, 1, &gone));
    cr_assert_not_null(store_find(store, 2, &stays));
    free_store(store);
}

Test(store, a_key_that_expires_is_not_found)
{
    struct store *store = make_store();
    const int64_t now = kv_clock_now(&store->clock);
    const struct store_key key = numbered(store, 1);

    store_set(store, 0, &key, "x", 1, now + 5);
    cr_assert_not_null(store_find(store, 0, &key));
    store->clock.now_ms = now + 5;
    cr_assert_null(store_find(store, 0, &key));
    cr_assert_eq(store->databases[0].count, 0);
    cr_assert_eq(store->databases[0].expiring, 0);
    free_store(store);
}

Test(store, the_least_recently_used_is_evicted)
{
    struct store *store = make_store();
    char value[200] = {0};
    size_t kept = 0;

    store->limit = 10 * 1000 * 1000;
    for (unsigned i = 0; i < 200000; i++) {
        store->clock.now_ms = 1000000 + i;
        cr_assert_eq(put(store, i, value, sizeof value), 0);
        cr_assert_eq(store_keep_limit(store), 0);
        /* Holes are closed a few at a time. */
        cr_assert_leq(store_memory(store), store->limit + store->limit / 20);
        /* Half of the first thousand are always in use. */
        const struct store_key used = numbered(store, i % 500);
        if (i >= 1000)
            store_use(store, 0, &used);
    }
    for (unsigned i = 0; i < 500; i++) {
        const struct store_key key = numbered(store, i);
        kept += store_find(store, 0, &key) != NULL;
    }
    cr_assert_gt(kept, 490, "only %zu of 500 that are in use are left", kept);
    cr_assert_gt(store->evicted, 100000);
    free_store(store);
}

Test(store, a_limit_that_cannot_be_kept_is_told)
{
    struct store *store = make_store();

    store->limit = 10;
    put(store, 1, "x", 1);
    cr_assert_eq(store_keep_limit(store), -1);
    free_store(store);
}

/* ---- merging a heap --------------------------------------------------------------------- */

Test(heap, merges)
{
    struct heap heap, other;
    char *pieces[3000];

    heap_init(&heap);
    heap_init(&other);
    for (size_t i = 0; i < 3000; i++) {
        pieces[i] = heap_alloc(i % 2 ? &heap : &other, i);
        memset(pieces[i], (int)i, i);
    }
    heap_merge(&heap, &other);
    for (size_t i = 0; i < 3000; i++) {
        for (size_t j = 0; j < i; j++)
            cr_assert_eq(pieces[i][j], (char)i);
        heap_free(&heap, pieces[i], i);
    }
    cr_assert_eq(heap.bytes, 0);
    heap_finish(&heap);
    heap_finish(&other);
}
