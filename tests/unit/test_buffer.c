/* Buffers that grow in small steps: they keep their content, and all of their memory is freed. */
#include "base/buffer.h"

#include <criterion/criterion.h>

#include <malloc.h>
#include <string.h>

enum { PIECE = 16 * 1024, PIECES = 64, BUFFERS = 24 };

static char piece[PIECE];

static void add(struct buffer *buffer, char letter)
{
    char *end = buffer_reserve_little(buffer, PIECE);

    cr_assert_not_null(end);
    memset(end, letter, PIECE);
    buffer_added(buffer, PIECE);
}

static void assert_piece(const struct buffer *buffer, size_t at, char letter)
{
    memset(piece, letter, PIECE);
    cr_assert_eq(memcmp(buffer_data(buffer) + at * PIECE, piece, PIECE), 0, "piece %zu", at);
}

Test(buffer, what_grows_little_by_little_keeps_what_it_holds)
{
    struct buffer buffer = {0};

    for (size_t i = 0; i < PIECES; i++)
        add(&buffer, (char)('0' + i));
    buffer_drop(&buffer, (size_t)PIECE * 3);
    for (size_t i = 0; i < 4; i++)
        add(&buffer, '!');
    cr_assert_eq(buffer.size, (size_t)PIECE * (PIECES + 1));
    for (size_t i = 0; i < PIECES - 3; i++)
        assert_piece(&buffer, i, (char)('3' + i));
    assert_piece(&buffer, PIECES, '!');
    cr_assert_not_null(buffer_reserve(&buffer, (size_t)PIECE * PIECES));
    assert_piece(&buffer, 0, '3');
    assert_piece(&buffer, PIECES, '!');
    buffer_drop(&buffer, buffer.size);
    cr_assert_null(buffer.block);
    add(&buffer, 'a'); /* in the heap again */
    assert_piece(&buffer, 0, 'a');
    buffer_finish(&buffer);
}

/* A buffer that began in the heap has left it, and left no gaps. */
Test(buffer, what_grows_little_by_little_is_not_in_the_heap)
{
    struct buffer buffers[BUFFERS] = {{0}};
    struct mallinfo2 before, now;

    mallopt(M_MMAP_THRESHOLD, 4 << 20); /* as in the daemon */
    before = mallinfo2();
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < BUFFERS; k++)
            add(&buffers[k], (char)k);
    now = mallinfo2();
    cr_assert_leq(now.uordblks, before.uordblks + PIECE, "of %d MiB", BUFFERS);
    cr_assert_leq(now.arena, before.arena + ((size_t)BUFFERS << 19), "of %d MiB", BUFFERS);
    for (size_t k = 0; k < BUFFERS; k++) {
        assert_piece(&buffers[k], PIECES - 1, (char)k);
        buffer_finish(&buffers[k]);
    }
}
