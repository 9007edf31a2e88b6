/* The index: what it finds, and the order in which objects leave it. */
#include "index.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct object_id id_of(unsigned number)
{
    struct object_key key = {.size = sizeof number};

    memcpy(key.bytes, &number, sizeof number);
    return object_id_of(&key);
}

static bool is_same(struct object_id one, struct object_id other)
{
    return memcmp(one.bytes, other.bytes, sizeof one.bytes) == 0;
}

Test(index, an_entry_takes_at_most_64_bytes)
{
    static struct index index;
    size_t bytes = 0;

    index_init(&index);
    for (unsigned i = 0; i < 1000000; i++)
        cr_assert_eq(index_put(&index, id_of(i), 4096, i / 100), 0);
    for (unsigned i = 0; i < OBJECT_FOLDERS; i++)
        bytes += index.shards[i].room * sizeof(struct index_entry) +
                 index.shards[i].bucket_count * sizeof(uint32_t);
    cr_assert_eq(index.count, 1000000);
    cr_assert_leq(bytes / index.count, 64);
    printf("%zu bytes an entry\n", bytes / index.count);
    index_finish(&index);
}

/* Against a list that does the same slowly. */
Test(index, it_does_as_a_plain_list_does)
{
    enum { OBJECTS = 300, STEPS = 20000 };
    static struct index index;
    uint32_t used[OBJECTS] = {0}; /* the step at which it was; 0: it is not there */
    uint64_t bytes = 0, sizes[OBJECTS] = {0};

    srandom(1);
    index_init(&index);
    for (uint32_t step = 1; step <= STEPS; step++) {
        const unsigned number = (unsigned)random() % OBJECTS;
        struct index_entry *entry = index_find(&index, id_of(number));
        cr_assert_eq(entry != NULL, used[number] != 0, "step %u", step);
        switch (random() % 4) {
        case 0:
            bytes -= sizes[number];
            sizes[number] = 4096 * (uint64_t)(random() % 10);
            bytes += sizes[number];
            cr_assert_eq(index_put(&index, id_of(number), sizes[number], step), 0);
            used[number] = step;
            break;
        case 1:
            if (entry) {
                index_use(&index, entry, step);
                used[number] = step;
            }
            break;
        case 2:
            if (entry) {
                index_remove(&index, entry);
                bytes -= sizes[number];
                sizes[number] = used[number] = 0;
            }
            break;
        default: {
            const struct index_entry *oldest = index_oldest(&index);
            unsigned wanted = OBJECTS;
            for (unsigned i = 0; i < OBJECTS; i++)
                if (used[i] && (wanted == OBJECTS || used[i] < used[wanted]))
                    wanted = i;
            cr_assert_eq(oldest != NULL, wanted != OBJECTS);
            cr_assert(!oldest || is_same(oldest->id, id_of(wanted)), "step %u", step);
        }
        }
        cr_assert_eq(index.bytes, bytes);
    }
    index_finish(&index);
}

/* A folder that was read joins what was used meanwhile: the sizes and the order of the latter
 * count. */
Test(index, a_folder_joins_what_is_known_of_it)
{
    static struct index index;
    struct index_shard loaded;
    struct object_id ids[10];
    struct index_note notes[10];
    unsigned found = 0;

    for (unsigned i = 0; found < 10; i++)
        if (id_of(i).bytes[0] == 7)
            ids[found++] = id_of(i);
    index_init(&index);
    index_shard_init(&loaded);
    for (unsigned i = 0; i < 8; i++) /* the first is the newest */
        cr_assert_eq(index_shard_append(&loaded, ids[i], 4096, 100 - i), 0);
    cr_assert_eq(index_put(&index, ids[9], 8192, 200), 0);  /* was written meanwhile */
    cr_assert_eq(index_put(&index, ids[7], 12288, 201), 0); /* was replaced */
    index_find(&index, ids[7])->mark = 77;
    cr_assert(!index.shards[7].is_loaded);
    cr_assert_eq(index_attach(&index, 7, &loaded), 0);
    cr_assert(index.shards[7].is_loaded);
    cr_assert_eq(index.count, 9);
    cr_assert_eq(index.bytes, 7 * 4096 + 8192 + 12288);
    cr_assert_eq(index_find(&index, ids[7])->mark, 77);
    /* Only what was used meanwhile is to be noted, the newest first. */
    cr_assert_eq(index_take_unnoted(&index, 7, notes, 10), 2);
    cr_assert(is_same(notes[0].id, ids[7]) && is_same(notes[1].id, ids[9]));
    cr_assert_gt(notes[0].used, notes[1].used);
    static const unsigned order[] = {6, 5, 4, 3, 2, 1, 0, 9, 7};
    for (unsigned i = 0; i < 9; i++) {
        struct index_entry *oldest = index_oldest(&index);
        cr_assert(is_same(oldest->id, ids[order[i]]), "%u", i);
        index_remove(&index, oldest);
    }
    cr_assert_eq(index.bytes, 0);
    index_finish(&index);
}

Test(index, what_is_to_be_noted_is_taken_in_steps)
{
    static struct index index;
    struct index_note notes[3];
    unsigned folder = id_of(0).bytes[0], count = 0;
    size_t taken = 0;

    index_init(&index);
    for (unsigned i = 0; count < 7; i++)
        if (id_of(i).bytes[0] == folder) {
            cr_assert_eq(index_put(&index, id_of(i), 4096, i), 0);
            count++;
        }
    for (size_t got; (got = index_take_unnoted(&index, folder, notes, 3)) > 0; taken += got)
        for (size_t i = 1; i < got; i++)
            cr_assert_gt(notes[i - 1].used, notes[i].used);
    cr_assert_eq(taken, 7);
    index_use(&index, index_oldest(&index), 1000);
    cr_assert_eq(index_take_unnoted(&index, folder, notes, 3), 1);
    index_finish(&index);
}
