/* Children that come back. See forked.h. What they call when they do, foreign_leave_forked(), is
 * declared beside foreign_leave(). */
#include "guard/forked.h"

#include "base/error.h"
#include "base/log.h"
#include "guard/foreign.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* The handler has no argument. */
static struct {
    atomic_bool *named; /* in memory that children share */
    void (*leave)(void *loop);
    void *loop;
} forked;

static void in_child(void)
{
    if (forked.leave && foreign_here()->is_loop)
        forked.leave(forked.loop);
    foreign_thread_is_forked();
}

int forked_install(void)
{
    void *shared = mmap(NULL, sizeof(atomic_bool), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return -1;
    forked.named = shared;
    return pthread_atfork(NULL, NULL, in_child) == 0 ? 0 : -1;
}

void forked_leaves_loop(void (*leave)(void *loop), void *loop)
{
    forked.loop = loop;
    forked.leave = leave;
}

_Noreturn void foreign_leave_forked(void)
{
    const struct foreign_place place = foreign_last_place_of(foreign_here());
    char name[128];

    if (!atomic_exchange(forked.named, true))
        log_line(RPD_LOG_WARNING, place.service,
                 "%s: its %s forked a child that returned to rpd; the child was ended: let it "
                 "call exec or _exit()",
                 place.plugin, foreign_callback_name(place.callback, name, sizeof name));
    _exit(EXIT_INTERNAL);
}

void forked_end_child(void)
{
    if (foreign_here()->is_forked)
        foreign_leave_forked();
}
