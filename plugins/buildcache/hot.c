/* Small objects in memory. See hot.h. */
#include "hot.h"

#include <stdlib.h>
#include <string.h>

static size_t bytes_of(const struct hot_object *object)
{
    return sizeof *object + object->key_size + object->size;
}

void hot_init(struct hot *hot, size_t limit)
{
    *hot = (struct hot){.limit = limit};
    TAILQ_INIT(&hot->objects);
    if (limit > 0)
        hot->buckets = calloc(HOT_BUCKETS, sizeof(struct hot_object *));
}

static struct hot_object **bucket_of(struct hot *hot, struct object_id id)
{
    uint32_t bits;

    memcpy(&bits, id.bytes, sizeof bits);
    return &hot->buckets[bits % HOT_BUCKETS];
}

static void drop(struct hot *hot, struct hot_object *object)
{
    struct hot_object **at = bucket_of(hot, object->id);

    while (*at != object)
        at = &(*at)->next;
    *at = object->next;
    TAILQ_REMOVE(&hot->objects, object, used);
    hot->bytes -= bytes_of(object);
    free(object->body);
    free(object);
}

void hot_finish(struct hot *hot)
{
    struct hot_object *object;

    while ((object = TAILQ_FIRST(&hot->objects)))
        drop(hot, object);
    free(hot->buckets);
    hot->buckets = NULL;
}

static struct hot_object *find(struct hot *hot, struct object_id id)
{
    struct hot_object *object = hot->buckets ? *bucket_of(hot, id) : NULL;

    while (object && memcmp(object->id.bytes, id.bytes, sizeof id.bytes) != 0)
        object = object->next;
    return object;
}

const struct hot_object *hot_find(struct hot *hot, struct object_id id,
                                  const struct object_key *key)
{
    struct hot_object *object = find(hot, id);

    if (!object || object->key_size != key->size || memcmp(object->key, key->bytes, key->size) != 0)
        return NULL;
    TAILQ_REMOVE(&hot->objects, object, used);
    TAILQ_INSERT_TAIL(&hot->objects, object, used);
    return object;
}

void hot_add(struct hot *hot, struct object_id id, const struct object_key *key, char *take_body,
             size_t size)
{
    struct hot_object *object = hot->buckets && size <= HOT_OBJECT_MAX
                                    ? malloc(sizeof *object + key->size)
                                    : NULL;

    if (!object) {
        free(take_body);
        return;
    }
    hot_remove(hot, id);
    *object = (struct hot_object){.id = id,
                                  .size = (uint32_t)size,
                                  .key_size = key->size,
                                  .body = take_body,
                                  .key = (char *)(object + 1),
                                  .next = *bucket_of(hot, id)};
    memcpy(object->key, key->bytes, key->size);
    *bucket_of(hot, id) = object;
    TAILQ_INSERT_TAIL(&hot->objects, object, used);
    hot->bytes += bytes_of(object);
    while (hot->bytes > hot->limit)
        /* drop() takes it off the list; the analyzer loses track of the heads.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        drop(hot, TAILQ_FIRST(&hot->objects));
}

void hot_remove(struct hot *hot, struct object_id id)
{
    struct hot_object *object = find(hot, id);

    if (object)
        drop(hot, object);
}
