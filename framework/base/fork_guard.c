/* Closing descriptors in forked children. See fork_guard.h.
 *
 * The child's handler may run while another thread of the parent was changing
 * the table, so its entries are atomic. */
#include "base/fork_guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

enum { GUARDED_MAX = 4096 };

/* An entry is a descriptor plus one, so that 0 is none. */
static atomic_int guarded[GUARDED_MAX];

static void close_in_child(void)
{
    for (size_t i = 0; i < GUARDED_MAX; i++) {
        const int entry = atomic_load(&guarded[i]);

        if (entry > 0)
            close(entry - 1);
    }
}

int fork_guard_install(void)
{
    return pthread_atfork(NULL, NULL, close_in_child) == 0 ? 0 : -1;
}

static void replace(int from, int to)
{
    for (size_t i = 0; i < GUARDED_MAX; i++) {
        int expected = from;

        if (atomic_compare_exchange_strong(&guarded[i], &expected, to))
            return;
    }
}

void fork_guard_add(int fd)
{
    replace(0, fd + 1);
}

void fork_guard_remove(int fd)
{
    if (fd >= 0)
        replace(fd + 1, 0);
}

void fork_guard_close(int fd)
{
    fork_guard_remove(fd);
    if (fd >= 0)
        close(fd);
}
