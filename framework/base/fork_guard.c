/* Closing descriptors in forked children. See fork_guard.h.
 *
 * A bit for each descriptor. Another thread of the parent may be changing some when the child's
 * handler runs, so they are changed atomically. */
#include "base/fork_guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

/* Pages of bits that no descriptor has needed are never touched. Descriptors beyond the last bit
 * are not guarded. */
enum { GUARDED_MAX = 1 << 20, BITS = 8 * sizeof(unsigned long) };

static atomic_ulong guarded[GUARDED_MAX / BITS];
static atomic_int words_used;

static unsigned long bit_of(int fd)
{
    return 1ul << ((unsigned)fd % BITS);
}

static void close_in_child(void)
{
    const int words = atomic_load(&words_used);

    for (int word = 0; word < words; word++)
        for (unsigned long bits = atomic_load(&guarded[word]); bits != 0; bits &= bits - 1)
            close(word * (int)BITS + __builtin_ctzl(bits));
}

int fork_guard_install(void)
{
    return pthread_atfork(NULL, NULL, close_in_child) == 0 ? 0 : -1;
}

void fork_guard_add(int fd)
{
    int used = atomic_load(&words_used);

    if (fd < 0 || fd >= GUARDED_MAX)
        return;
    atomic_fetch_or(&guarded[fd / (int)BITS], bit_of(fd));
    while (used <= fd / (int)BITS &&
           !atomic_compare_exchange_weak(&words_used, &used, fd / (int)BITS + 1))
        ;
}

void fork_guard_remove(int fd)
{
    if (fd >= 0 && fd < GUARDED_MAX)
        atomic_fetch_and(&guarded[fd / (int)BITS], ~bit_of(fd));
}

void fork_guard_close(int fd)
{
    fork_guard_remove(fd);
    if (fd >= 0)
        close(fd);
}
