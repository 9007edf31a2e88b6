/* A growing run of bytes that is filled at its end and emptied at its start. */
#ifndef FRAMEWORK_BUFFER_H
#define FRAMEWORK_BUFFER_H

#include <stddef.h>

struct buffer {
    char *block; /* NULL while empty: an idle connection has none */
    size_t start, size, room;
};

/* Where to put the next bytes: at least that many fit. NULL: no memory. */
char *buffer_reserve(struct buffer *buffer, size_t bytes);

/* Likewise, with next to no room beyond them: for where memory is short. Many of these cost
 * more copying than those of buffer_reserve(), which doubles. */
char *buffer_reserve_little(struct buffer *buffer, size_t bytes);

/* By how much buffer_reserve() would make it larger. */
size_t buffer_growth(const struct buffer *buffer, size_t bytes);

/* That many have been put there. */
void buffer_added(struct buffer *buffer, size_t bytes);

int buffer_append(struct buffer *buffer, const void *data, size_t size);
const char *buffer_data(const struct buffer *buffer);
size_t buffer_free_space(const struct buffer *buffer);

/* Drops the first bytes; an empty buffer gives its memory back. */
void buffer_drop(struct buffer *buffer, size_t bytes);
void buffer_finish(struct buffer *buffer);

#endif
