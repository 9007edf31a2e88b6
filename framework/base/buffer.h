/* A growing run of bytes that is filled at its end and emptied at its start. */
#ifndef FRAMEWORK_BUFFER_H
#define FRAMEWORK_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *block; /* NULL while empty: an idle connection has none */
    size_t start, size, room;
    bool mapped; /* the block is a mapping, not part of the heap */
};

/* Returns where the next bytes go, with room for at least this many. NULL: out of memory. */
char *buffer_reserve(struct buffer *buffer, size_t bytes);

/* Like buffer_reserve(), with almost no spare room: for times when memory is short. A block that is
 * not small becomes a mapping: it grows without copying, and returns to the kernel when it is
 * freed. */
char *buffer_reserve_little(struct buffer *buffer, size_t bytes);

/* The number of bytes by which buffer_reserve() would enlarge the block. */
size_t buffer_growth(const struct buffer *buffer, size_t bytes);

/* The caller has written this many bytes there. */
void buffer_added(struct buffer *buffer, size_t bytes);

int buffer_append(struct buffer *buffer, const void *data, size_t size);
const char *buffer_data(const struct buffer *buffer);
size_t buffer_free_space(const struct buffer *buffer);

/* Drops the first bytes. An empty buffer frees its memory. */
void buffer_drop(struct buffer *buffer, size_t bytes);
void buffer_finish(struct buffer *buffer);

#endif
