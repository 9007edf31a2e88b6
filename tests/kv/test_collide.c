/* 100,000 keys that an attacker has chosen to collide cost as much as random ones, because the hash
 * has a secret seed. The file also shows what they would do to a store whose seed was guessed. */
#include "kv_scene.h"
#include "snapshot.h"
#include "store.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 100000, VALUE = 16, ROUNDS = 7, DEEP_KEYS = 500 };

/* Keys of one size, one after the other. */
struct keys {
    size_t count, size;
    char *data;
};

static struct keys make_keys(size_t count, size_t size)
{
    return (struct keys){count, size, calloc(count, size)};
}

static char *key_at(const struct keys *keys, size_t number)
{
    return keys->data + number * keys->size;
}

static struct sip_key random_seed(void)
{
    struct sip_key seed;

    cr_assert_eq(getrandom(&seed, sizeof seed, 0), (ssize_t)sizeof seed);
    return seed;
}

/* As many random keys of the same size. */
static struct keys random_keys_like(const struct keys *keys)
{
    const struct keys random = make_keys(keys->count, keys->size);
    const size_t size = keys->count * keys->size;

    for (size_t done = 0; done < size;) {
        const ssize_t more = getrandom(random.data + done, size - done, 0);
        cr_assert_gt(more, 0);
        done += (size_t)more;
    }
    return random;
}

/* ---- what they cost ------------------------------------------------------------------ */

struct cost {
    double probes;     /* slots that a lookup examines */
    size_t most;       /* of them, at a time */
    size_t table_size; /* bytes */
    int64_t put_ns, find_ns;
};

static int64_t thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The distance from the slot where the probing of a key begins to the key. */
static size_t probes_of(const struct store *store, const struct store_key *key)
{
    const struct table *table = &store->databases[0].parts[table_part(key->hash)];
    const struct segment *segment = table_segment(table, key->hash);
    const table_slot *slot = table_find(table, key->hash, key->data, key->size);
    const uint64_t tag = key->hash & (((uint64_t)1 << TABLE_TAG_BITS) - 1);
    const size_t home = (tag * segment->capacity) >> TABLE_TAG_BITS;

    cr_assert_not_null(slot);
    return ((size_t)(slot - segment->slots) + segment->capacity - home) % segment->capacity + 1;
}

static void count_probes(const struct store *store, const struct keys *keys, struct cost *cost)
{
    size_t sum = 0;

    for (size_t i = 0; i < keys->count; i++) {
        const struct store_key key = store_key(store, key_at(keys, i), keys->size);
        const size_t probes = probes_of(store, &key);
        sum += probes;
        cost->most = probes > cost->most ? probes : cost->most;
    }
    cost->probes = (double)sum / (double)keys->count;
}

static struct cost cost_of(const struct keys *keys, struct sip_key seed)
{
    static const char value[VALUE] = "value";
    struct store *store = malloc(sizeof *store);
    struct cost cost = {0};
    int64_t began = thread_ns();

    store_init(store, seed);
    for (size_t i = 0; i < keys->count; i++) {
        const struct store_key key = store_key(store, key_at(keys, i), keys->size);
        cr_assert_eq(store_set(store, 0, &key, value, sizeof value, STORE_NO_EXPIRY), 0);
    }
    cost.put_ns = thread_ns() - began;
    cr_assert_eq(store->databases[0].count, keys->count, "some are the same");
    began = thread_ns();
    for (size_t i = 0; i < keys->count; i++) {
        const struct store_key key = store_key(store, key_at(keys, i), keys->size);
        cr_assert_not_null(store_find(store, 0, &key));
    }
    cost.find_ns = thread_ns() - began;
    cost.table_size = store->databases[0].table_bytes;
    count_probes(store, keys, &cost);
    store_finish(store);
    free(store);
    return cost;
}

/* How many times as much the first costs. */
struct ratio {
    double probes, table_size, put, find;
};

static struct ratio ratio_of(const struct cost *cost, const struct cost *other)
{
    return (struct ratio){.probes = cost->probes / other->probes,
                          .table_size = (double)cost->table_size / (double)other->table_size,
                          .put = (double)cost->put_ns / (double)other->put_ns,
                          .find = (double)cost->find_ns / (double)other->find_ns};
}

static int compare_doubles(const void *a_, const void *b_)
{
    const double a = *(const double *)a_, b = *(const double *)b_;

    return (a > b) - (a < b);
}

static double median(double values[ROUNDS])
{
    qsort(values, ROUNDS, sizeof *values, compare_doubles);
    return values[ROUNDS / 2];
}

/* Compared with random keys, in turns, each time with the seeds that a store gets: the medians. */
static struct ratio compare_with_random(const char *what, const struct keys *keys)
{
    double probes[ROUNDS], table_size[ROUNDS], put[ROUNDS], find[ROUNDS];
    struct ratio medians;

    for (int round = 0; round < ROUNDS; round++) {
        struct keys random = random_keys_like(keys);
        const struct cost plain = cost_of(&random, random_seed());
        const struct cost chosen = cost_of(keys, random_seed());
        const struct ratio ratio = ratio_of(&chosen, &plain);
        cr_assert_lt(plain.probes, 8.0, "that is not how the table probes");
        probes[round] = ratio.probes;
        table_size[round] = ratio.table_size;
        put[round] = ratio.put;
        find[round] = ratio.find;
        free(random.data);
    }
    medians = (struct ratio){median(probes), median(table_size), median(put), median(find)};
    printf("%s: probes %.2f, table %.2f, time of puts %.2f, of finds %.2f of random ones'\n", what,
           medians.probes, medians.table_size, medians.put, medians.find);
    return medians;
}

static void assert_costs_no_more_than_twice(const char *what, const struct keys *keys)
{
    const struct ratio ratio = compare_with_random(what, keys);

    cr_assert_leq(ratio.probes, 2.0);
    cr_assert_leq(ratio.table_size, 2.0);
    if (keys->count < KEYS) /* too few for a clock */
        return;
    cr_assert_leq(ratio.put, 2.0);
    cr_assert_leq(ratio.find, 2.0);
}

/* ---- keys that collide under hashes without a seed ------------------------------------- */

/* For key number n, bit i of n says which of the two pieces stands at place i. */
static struct keys keys_of_pieces(size_t places, size_t size, char pieces[][2][8])
{
    const struct keys keys = make_keys(KEYS, places * size);

    for (size_t i = 0; i < KEYS; i++)
        for (size_t place = 0; place < places; place++)
            memcpy(key_at(&keys, i) + place * size, pieces[place][i >> place & 1], size);
    return keys;
}

enum { PLACES = 17 }; /* 2^17 keys at the most */

static uint64_t djb2(const char *data, size_t size)
{
    uint64_t hash = 5381;

    for (size_t i = 0; i < size; i++)
        hash = hash * 33 + (unsigned char)data[i];
    return hash;
}

Test(collide, all_64_bits_of_djb2_are_the_same, .timeout = 300)
{
    static char pieces[PLACES][2][8];

    for (size_t i = 0; i < PLACES; i++) {
        memcpy(pieces[i][0], "Ez", 2);
        memcpy(pieces[i][1], "FY", 2);
    }
    const struct keys keys = keys_of_pieces(PLACES, 2, pieces);
    for (size_t i = 0; i < KEYS; i++)
        cr_assert_eq(djb2(key_at(&keys, i), keys.size), djb2(key_at(&keys, 0), keys.size));
    assert_costs_no_more_than_twice("djb2", &keys);
    free(keys.data);
}

static uint64_t fnv1a(uint64_t hash, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3U;
    return hash;
}

enum { PIECE = 5, SEEN_BITS = 18 };

static void letters_of(uint32_t number, char piece[PIECE])
{
    for (size_t i = 0; i < PIECE; i++, number /= 26)
        piece[i] = (char)('a' + number % 26);
}

/* Finds two pieces that lead from this hash to the same last 32 bits, which depend only on the last
 * 32 bits before. Returns those. */
static uint64_t collide_fnv1a(uint64_t hash, char pieces[2][8])
{
    static struct {
        uint32_t hash, number; /* + 1 */
    } seen[1 << SEEN_BITS];

    memset(seen, 0, sizeof seen);
    for (uint32_t number = 0; number < (1U << SEEN_BITS) - 1; number++) {
        letters_of(number * 45 % 11881376, pieces[0]);
        const uint32_t its = (uint32_t)fnv1a(hash, pieces[0], PIECE);
        size_t at = its >> (32 - SEEN_BITS);
        for (; seen[at].number > 0; at = (at + 1) % (1U << SEEN_BITS))
            if (seen[at].hash == its) {
                letters_of((seen[at].number - 1) * 45 % 11881376, pieces[1]);
                return its;
            }
        seen[at].hash = its;
        seen[at].number = number + 1;
    }
    cr_assert_fail("no two pieces collide");
    return 0;
}

Test(collide, the_last_32_bits_of_fnv1a_are_the_same, .timeout = 300)
{
    static char pieces[PLACES][2][8];
    uint64_t hash = 0xcbf29ce484222325U;

    const uint64_t begin = hash;
    for (size_t i = 0; i < PLACES; i++)
        hash = collide_fnv1a(hash, pieces[i]);
    const struct keys keys = keys_of_pieces(PLACES, PIECE, pieces);
    for (size_t i = 0; i < KEYS; i++)
        cr_assert_eq((uint32_t)fnv1a(begin, key_at(&keys, i), keys.size), (uint32_t)hash);
    assert_costs_no_more_than_twice("FNV-1a", &keys);
    free(keys.data);
}

/* ---- keys that collide in a store with a seed of zeros ---------------------------------- */

static const struct sip_key guessed = {0, 0};

/* Searches for keys whose hash has zeros in these bits. There is no known way but trying, with
 * 2^bits hashes per key. */
static struct keys search_keys(size_t count, uint64_t bits)
{
    const struct keys keys = make_keys(count, sizeof(uint64_t));
    size_t found = 0;

    for (uint64_t number = 0; found < count; number++)
        if ((siphash(guessed, &number, sizeof number) & bits) == 0)
            memcpy(key_at(&keys, found++), &number, sizeof number);
    return keys;
}

/* All keys begin to probe at the same slot, whatever the segment's capacity (512 at the most). */
Test(collide, all_have_one_slot_under_a_guessed_seed, .timeout = 300)
{
    const struct keys keys = search_keys(KEYS, (uint64_t)0x1ff << (TABLE_TAG_BITS - 9));
    struct keys random = random_keys_like(&keys);

    assert_costs_no_more_than_twice("one slot", &keys);
    /* Without the seed they would collide: */
    const struct cost chosen = cost_of(&keys, guessed), plain = cost_of(&random, guessed);
    const struct ratio ratio = ratio_of(&chosen, &plain);
    printf("one slot, seed guessed: probes %.1f (%.2f), at most %zu, time of puts %.1f, of finds "
           "%.1f\n",
           ratio.probes, chosen.probes, chosen.most, ratio.put, ratio.find);
    cr_assert_gt(ratio.probes, 20.0);
    /* And the size of a segment limits the cost. */
    cr_assert_leq(chosen.most, 448);
    free(keys.data);
    free(random.data);
}

/* All keys are in one segment, however often it is split: each split doubles the directory. */
Test(collide, all_have_one_segment_under_a_guessed_seed, .timeout = 300)
{
    const struct keys keys = search_keys(DEEP_KEYS, (uint64_t)0x3ffff << (64 - 18));
    struct keys random = random_keys_like(&keys);

    assert_costs_no_more_than_twice("one segment", &keys);
    const struct cost chosen = cost_of(&keys, guessed), plain = cost_of(&random, guessed);
    const struct ratio ratio = ratio_of(&chosen, &plain);
    printf("one segment, seed guessed: table %.1f times as large (%zu bytes)\n", ratio.table_size,
           chosen.table_size);
    cr_assert_gt(ratio.table_size, 4.0);
    free(keys.data);
    free(random.data);
}

/* ---- the seed ------------------------------------------------------------------------- */

static struct sip_key seed_of_a_daemon(void)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);
    struct snapshot_header header;
    char why[SNAPSHOT_TEXT_SIZE] = "";

    scene_await_ready(rpd);
    cr_assert_str_eq(scene_ask(fd, "SET a 1"), "+OK");
    cr_assert_str_eq(scene_ask(fd, "SAVE"), "+OK");
    const int file = snapshot_open(textf("%s/snap", dir), &header, why);
    cr_assert_geq(file, 0, "%s", why);
    close(file);
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
    return header.seed;
}

Test(collide, each_store_has_a_seed_of_its_own)
{
    const struct sip_key one = seed_of_a_daemon(), other = seed_of_a_daemon();

    cr_assert(one.low != other.low && one.high != other.high);
    cr_assert(one.low != 0 && one.high != 0 && one.low != one.high);
}
