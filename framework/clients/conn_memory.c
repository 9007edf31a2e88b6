/* The sum of memory. See conn_memory.h. */
#include "clients/conn_memory.h"

enum {
    SMALLEST_CLASS_BITS = 10, /* of buffer.c */
    LOOKED_AT = 16,           /* for the largest, of those in the highest class */
    NEAR = 8                  /* the last eighth is near the bound */
};

static unsigned class_of(size_t held)
{
    const unsigned bits = 63u - (unsigned)__builtin_clzll((unsigned long long)held);
    const unsigned number = bits < SMALLEST_CLASS_BITS ? 0 : bits - SMALLEST_CLASS_BITS;

    return number < CONN_MEMORY_CLASSES ? number : CONN_MEMORY_CLASSES - 1;
}

void conn_memory_init(struct conn_memory *memory, size_t most)
{
    *memory = (struct conn_memory){.most = most};
    for (size_t i = 0; i < CONN_MEMORY_CLASSES; i++)
        TAILQ_INIT(&memory->classes[i]);
}

static void take_out(struct conn_memory *memory, struct conn_share *share)
{
    const unsigned number = class_of(share->held);

    TAILQ_REMOVE(&memory->classes[number], share, link);
    if (TAILQ_EMPTY(&memory->classes[number]))
        memory->used &= ~(UINT32_C(1) << number);
    memory->held -= share->held;
    memory->holders--;
}

static void put_in(struct conn_memory *memory, struct conn_share *share)
{
    const unsigned number = class_of(share->held);

    TAILQ_INSERT_TAIL(&memory->classes[number], share, link);
    memory->used |= UINT32_C(1) << number;
    memory->held += share->held;
    memory->holders++;
}

void conn_memory_set(struct conn_memory *memory, struct conn_share *share, size_t held)
{
    if (share->held > 0)
        take_out(memory, share);
    share->held = held;
    if (held > 0)
        put_in(memory, share);
}

struct conn_share *conn_memory_largest(const struct conn_memory *memory)
{
    const struct conn_share_list *class;
    struct conn_share *share, *largest = NULL;
    unsigned looked_at = 0;

    if (memory->used == 0)
        return NULL;
    class = &memory->classes[31 - __builtin_clz(memory->used)];
    TAILQ_FOREACH(share, class, link) {
        if (looked_at++ == LOOKED_AT)
            break;
        if (!largest || share->held > largest->held)
            largest = share;
    }
    return largest;
}

bool conn_memory_is_full(const struct conn_memory *memory)
{
    return memory->most > 0 && memory->held > memory->most;
}

/* From here on it is near. */
static size_t near_mark(const struct conn_memory *memory)
{
    return memory->most - memory->most / NEAR;
}

size_t conn_memory_left(const struct conn_memory *memory)
{
    if (memory->most == 0)
        return SIZE_MAX;
    return memory->held < near_mark(memory) ? near_mark(memory) - memory->held : 0;
}

bool conn_memory_is_short_for(const struct conn_memory *memory, const struct conn_share *share)
{
    return memory->most > 0 && memory->held > near_mark(memory) &&
           share->held > memory->most / memory->holders;
}
