/* Byte buffers. See buffer.h. */
#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALLEST = 1024,
    PAGE = 4096,
    MAPPED = 4 * 1024 * 1024 /* such blocks are mapped for themselves: see daemon/process.c */
};

/* The bytes, at the beginning of a block of so much room. A block that is mapped for
 * itself grows where it is, and is not there twice meanwhile. A smaller one that grew
 * so would keep what lies below it in the heap. */
static char *move(struct buffer *buffer, size_t room)
{
    char *block;

    if (buffer->start == 0 && buffer->room >= MAPPED)
        return realloc(buffer->block, room);
    block = malloc(room);
    if (!block)
        return NULL;
    if (buffer->size > 0)
        memcpy(block, buffer->block + buffer->start, buffer->size);
    free(buffer->block);
    return block;
}

static bool fits(const struct buffer *buffer, size_t bytes)
{
    return buffer->room - buffer->start - buffer->size >= bytes;
}

/* Moving down costs no more than was dropped since the last time. */
static bool fits_moved_down(const struct buffer *buffer, size_t wanted)
{
    return wanted <= buffer->room && buffer->start >= buffer->size;
}

static size_t doubled(size_t wanted)
{
    size_t room = SMALLEST;

    while (room < wanted)
        room *= 2;
    return room;
}

static size_t rounded(size_t wanted)
{
    return (wanted + PAGE - 1) / PAGE * PAGE;
}

static char *reserve(struct buffer *buffer, size_t bytes, size_t (*room_of)(size_t wanted))
{
    size_t wanted, room;
    char *block;

    if (fits(buffer, bytes))
        return buffer->block + buffer->start + buffer->size;
    if (bytes > SIZE_MAX / 4 - buffer->size)
        return NULL;
    wanted = buffer->size + bytes;
    if (fits_moved_down(buffer, wanted)) {
        memcpy(buffer->block, buffer->block + buffer->start, buffer->size);
        buffer->start = 0;
        return buffer->block + buffer->size;
    }
    room = room_of(wanted);
    block = move(buffer, room);
    if (!block)
        return NULL;
    buffer->block = block;
    buffer->room = room;
    buffer->start = 0;
    return block + buffer->size;
}

char *buffer_reserve(struct buffer *buffer, size_t bytes)
{
    return reserve(buffer, bytes, doubled);
}

char *buffer_reserve_little(struct buffer *buffer, size_t bytes)
{
    return reserve(buffer, bytes, rounded);
}

size_t buffer_growth(const struct buffer *buffer, size_t bytes)
{
    if (fits(buffer, bytes) || bytes > SIZE_MAX / 4 - buffer->size ||
        fits_moved_down(buffer, buffer->size + bytes))
        return 0;
    const size_t room = doubled(buffer->size + bytes);
    return room > buffer->room ? room - buffer->room : 0;
}

void buffer_added(struct buffer *buffer, size_t bytes)
{
    buffer->size += bytes;
}

int buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    char *end = buffer_reserve(buffer, size);

    if (!end)
        return -1;
    memcpy(end, data, size);
    buffer->size += size;
    return 0;
}

const char *buffer_data(const struct buffer *buffer)
{
    return buffer->block + buffer->start;
}

size_t buffer_free_space(const struct buffer *buffer)
{
    return buffer->room - buffer->start - buffer->size;
}

void buffer_drop(struct buffer *buffer, size_t bytes)
{
    buffer->start += bytes;
    buffer->size -= bytes;
    if (buffer->size == 0)
        buffer_finish(buffer);
}

void buffer_finish(struct buffer *buffer)
{
    free(buffer->block);
    *buffer = (struct buffer){0};
}
