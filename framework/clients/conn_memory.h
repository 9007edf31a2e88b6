/* The sum of memory: what several connections hold in buffers together, which of them
 * holds most, and which hold more than their share.
 *
 * There is one sum for all of a service and one for each peer of it
 * (limits.buffer_bytes, limits.buffer_bytes_per_peer). A connection has a share in each.
 * Shares are sorted into classes by powers of two, oldest first, so that a change and
 * the search for the largest cost a few stores, however many there are; "the largest"
 * is therefore the largest of some that have been for longest in the highest class.
 * Connections that hold nothing are in no class, and cost nothing. All of it is [loop]. */
#ifndef FRAMEWORK_CONN_MEMORY_H
#define FRAMEWORK_CONN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum { CONN_MEMORY_CLASSES = 22 };

/* What one connection holds; zeroed to begin with. */
struct conn_share {
    TAILQ_ENTRY(conn_share) link;
    size_t held;
};

struct conn_memory {
    size_t most; /* 0: no bound */
    size_t held;
    size_t holders;
    uint32_t used; /* a bit for each class that is not empty */
    TAILQ_HEAD(conn_share_list, conn_share) classes[CONN_MEMORY_CLASSES];
};

void conn_memory_init(struct conn_memory *memory, size_t most);

/* From now on the share holds so much. */
void conn_memory_set(struct conn_memory *memory, struct conn_share *share, size_t held);

/* NULL: none holds anything. */
struct conn_share *conn_memory_largest(const struct conn_memory *memory);

bool conn_memory_is_full(const struct conn_memory *memory);

/* How much more may be held before that is near the bound. */
size_t conn_memory_left(const struct conn_memory *memory);

/* Near the bound, and this one holds more than the bound gives each holder. There is
 * always a holder that does not, or the bound has been passed. */
bool conn_memory_is_short_for(const struct conn_memory *memory, const struct conn_share *share);

#endif
