/* Byte buffers. See buffer.h. */
#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SMALLEST = 1024,
    PAGE = 4096,
    MAPPED = 4 * 1024 * 1024, /* malloc() maps blocks of this size: see daemon/own_process.c */
    LITTLE_MAPPED = 256 * 1024
};

/* Moves the bytes to the beginning of a block with this much room. A block that has a mapping of
 * its own is resized in place, so its bytes never exist twice. Resizing a smaller block would pin
 * the heap below it. */
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

/* Like move(), for buffers that grow page by page. Each has a size of its own: in the heap they
 * would leave gaps that fit no other block, and the heap could not shrink below any small block
 * behind them. */
static char *move_pages(struct buffer *buffer, size_t room)
{
    void *block;

    if (buffer->mapped) {
        memmove(buffer->block, buffer->block + buffer->start, buffer->size);
        buffer->start = 0;
        block = mremap(buffer->block, buffer->room, room, MREMAP_MAYMOVE);
        return block == MAP_FAILED ? NULL : block;
    }
    block = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return NULL;
    if (buffer->size > 0)
        memcpy(block, buffer->block + buffer->start, buffer->size);
    free(buffer->block);
    buffer->mapped = true;
    return block;
}

static bool fits(const struct buffer *buffer, size_t bytes)
{
    return buffer->room - buffer->start - buffer->size >= bytes;
}

/* Moving the bytes down costs no more than was dropped since the last move. */
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

static char *reserve(struct buffer *buffer, size_t bytes, size_t (*room_of)(size_t wanted),
                     size_t mapped_from)
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
    block = buffer->mapped || room >= mapped_from ? move_pages(buffer, room) : move(buffer, room);
    if (!block)
        return NULL;
    buffer->block = block;
    buffer->room = room;
    buffer->start = 0;
    return block + buffer->size;
}

char *buffer_reserve(struct buffer *buffer, size_t bytes)
{
    return reserve(buffer, bytes, doubled, SIZE_MAX);
}

char *buffer_reserve_little(struct buffer *buffer, size_t bytes)
{
    return reserve(buffer, bytes, rounded, LITTLE_MAPPED);
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
    if (buffer->mapped)
        munmap(buffer->block, buffer->room);
    else
        free(buffer->block);
    *buffer = (struct buffer){0};
}
