/* Keys that are watched, by their hash. See multi.h. */
#include "multi.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, WATCHES_MAX = 65536 /* of a session */ };

struct watch {
    LIST_ENTRY(watch) in_bucket, in_session;
    struct session *session;
    unsigned database;
    uint64_t hash;
    size_t size;
    char key[];
};

struct watch_table {
    LIST_HEAD(watch_bucket, watch) buckets[BUCKETS];
    size_t count;
};

static struct watch_bucket *bucket_of(struct watch_table *table, uint64_t hash)
{
    return &table->buckets[hash % BUCKETS];
}

/* The store is the state's, of which it is a part. */
static struct kv *kv_of(struct store *store)
{
    return (struct kv *)(void *)((char *)store - offsetof(struct kv, store));
}

static void touch(struct store *store, unsigned database, uint64_t hash)
{
    struct watch *watch;

    LIST_FOREACH(watch, bucket_of(kv_of(store)->watch_table, hash), in_bucket)
    if (watch->hash == hash && watch->database == database)
        watch->session->has_lost = true;
}

static bool is_watched(const struct session *session, const struct store_key *key)
{
    const struct watch *watch;

    LIST_FOREACH(watch, &session->watches, in_session)
    if (watch->hash == key->hash && watch->database == session->database &&
        watch->size == key->size && memcmp(watch->key, key->data, key->size) == 0)
        return true;
    return false;
}

int watch_key(struct kv *kv, struct session *session, const struct store_key *key)
{
    struct watch *watch;

    if (session->watch_count < 64 && is_watched(session, key))
        return 0;
    if (session->watch_count == WATCHES_MAX)
        return 1;
    if (!kv->watch_table)
        kv->watch_table = calloc(1, sizeof *kv->watch_table);
    watch = kv->watch_table ? malloc(sizeof *watch + key->size) : NULL;
    if (!watch)
        return -1;
    watch->session = session;
    watch->database = session->database;
    watch->hash = key->hash;
    watch->size = key->size;
    memcpy(watch->key, key->data, key->size);
    LIST_INSERT_HEAD(&session->watches, watch, in_session);
    LIST_INSERT_HEAD(bucket_of(kv->watch_table, key->hash), watch, in_bucket);
    session->watch_count++;
    kv->watch_table->count++;
    kv->store.touch = touch;
    /* What has expired already is as if it had never been. */
    store_find(&kv->store, session->database, key);
    return 0;
}

void watch_forget(struct kv *kv, struct session *session)
{
    struct watch *watch;

    while ((watch = LIST_FIRST(&session->watches))) {
        LIST_REMOVE(watch, in_session);
        LIST_REMOVE(watch, in_bucket);
        free(watch);
        if (--kv->watch_table->count == 0)
            kv->store.touch = NULL;
    }
    session->watch_count = 0;
    session->has_lost = false;
}

static struct entry *find(struct kv *kv, const struct watch *watch)
{
    const struct store_key key = {watch->key, watch->size, watch->hash};

    return store_find(&kv->store, watch->database, &key);
}

/* To look for a key that has expired deletes it, and that is seen. */
bool watch_has_lost(struct kv *kv, struct session *session)
{
    struct watch *watch;

    LIST_FOREACH(watch, &session->watches, in_session)
    find(kv, watch);
    return session->has_lost;
}

void watch_flush(struct kv *kv, unsigned first, unsigned last)
{
    struct watch *watch;

    for (size_t i = 0; kv->store.touch && i < BUCKETS; i++)
        LIST_FOREACH(watch, &kv->watch_table->buckets[i], in_bucket)
    if (watch->database >= first && watch->database <= last && find(kv, watch))
        watch->session->has_lost = true;
}

void watch_finish(struct kv *kv)
{
    free(kv->watch_table);
    kv->watch_table = NULL;
}
