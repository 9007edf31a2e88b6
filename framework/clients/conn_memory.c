/* The sum of memory. See conn_memory.h. */
#include "clients/conn_memory.h"

enum {
    SMALLEST_CLASS_BITS = 10, /* of buffer.c */
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
    if (memory->used == 0)
        return NULL;
    return TAILQ_FIRST(&memory->classes[31 - __builtin_clz(memory->used)]);
}

bool conn_memory_is_full(const struct conn_memory *memory)
{
    return memory->most > 0 && memory->held > memory->most;
}

bool conn_memory_is_short_for(const struct conn_memory *memory, const struct conn_share *share)
{
    return memory->most > 0 && memory->held > memory->most - memory->most / NEAR &&
           share->held > memory->most / memory->holders;
}
