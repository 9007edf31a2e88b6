/* Closing descriptors in forked children. See fork_guard.h.
 *
 * The child's handler may run while another thread of the parent was changing
 * the table, so its entries are atomic. */
#include "fork_guard.h"

#include "crash.h"
#include "error.h"
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARDED_MAX = 4096 };

/* An entry is a descriptor plus one, so that 0 is none. */
static atomic_int guarded[GUARDED_MAX];

static struct {
    atomic_bool *told; /* in memory that children share */
    void (*leave)(void *loop);
    void *loop;
} children;

static void in_child(void)
{
    if (children.leave && crash_context_here()->is_loop)
        children.leave(children.loop);
    crash_thread_is_forked();
    for (size_t i = 0; i < GUARDED_MAX; i++) {
        const int entry = atomic_load(&guarded[i]);

        if (entry > 0)
            close(entry - 1);
    }
}

int fork_guard_install(void)
{
    void *shared = mmap(NULL, sizeof(atomic_bool), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return -1;
    children.told = shared;
    return pthread_atfork(NULL, NULL, in_child) == 0 ? 0 : -1;
}

void fork_guard_leave_loop(void (*leave)(void *loop), void *loop)
{
    children.loop = loop;
    children.leave = leave;
}

bool fork_guard_is_child(void)
{
    return crash_context_here()->is_forked;
}

_Noreturn void crash_leave_forked(void)
{
    const struct crash_place place = crash_last_place_of(crash_context_here());
    char name[128];

    if (!atomic_exchange(children.told, true))
        log_line(RPD_LOG_WARNING, place.service,
                 "%s: its %s forked a child that returned to rpd; the child was ended: let it "
                 "call exec or _exit()",
                 place.plugin, crash_callback_name(place.callback, name, sizeof name));
    _exit(EXIT_INTERNAL);
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
