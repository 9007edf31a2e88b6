/* The watchdog. See watchdog.h. */
#include "watchdog.h"

#include "crash.h"
#include "residue.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 5, STACK_SIZE = 64 * 1024 };

static struct {
    pthread_t thread;
    sem_t wake; /* posted when something is armed; async-signal-safe */
    atomic_bool ending;
    struct {
        atomic_int ticks_left; /* 0: not armed */
        _Atomic(const char *) step, object, cause;
        atomic_int code;
    } slots[WATCHDOG_SLOTS];
} watchdog;

static void end_process(enum watchdog_slot slot)
{
    char line[ERROR_TEXT_MAX];
    int size;

    residue_remove();
    size = snprintf(line, sizeof line, "rpd: %s: %s: %s\n",
                    atomic_load(&watchdog.slots[slot].step),
                    atomic_load(&watchdog.slots[slot].object),
                    atomic_load(&watchdog.slots[slot].cause));
    if (size > 0 && write(STDERR_FILENO, line,
                          (size_t)size < sizeof line ? (size_t)size : sizeof line - 1) < 0) {
        /* nobody to tell */
    }
    _exit(atomic_load(&watchdog.slots[slot].code));
}

/* Whether anything is armed. */
static bool tick(void)
{
    bool armed = false;

    for (int slot = 0; slot < WATCHDOG_SLOTS; slot++) {
        int left = atomic_load(&watchdog.slots[slot].ticks_left);

        if (left == 0)
            continue;
        armed = true;
        /* Fails, and rightly so, when it is disarmed or armed anew meanwhile. */
        if (atomic_compare_exchange_strong(&watchdog.slots[slot].ticks_left, &left, left - 1) &&
            left == 1)
            end_process((enum watchdog_slot)slot);
    }
    return armed;
}

static void *watch(void *unused)
{
    static const struct timespec interval = {.tv_nsec = TICK_MS * 1000000L};

    (void)unused;
    while (!atomic_load(&watchdog.ending)) {
        if (tick())
            nanosleep(&interval, NULL);
        else
            sem_wait(&watchdog.wake);
    }
    return NULL;
}

int watchdog_create(struct error *error)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int failed;

    sem_init(&watchdog.wake, 0, 0);
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&watchdog.thread, &attributes, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed)
        return error_set(error, EXIT_SYSTEM, "start", "watchdog", "cannot make its thread: %s",
                         strerror(failed));
    return 0;
}

void watchdog_describe(enum watchdog_slot slot, enum exit_code code, const char *step,
                       const char *object, const char *cause)
{
    atomic_store(&watchdog.slots[slot].code, (int)code);
    atomic_store(&watchdog.slots[slot].step, step);
    atomic_store(&watchdog.slots[slot].object, object);
    atomic_store(&watchdog.slots[slot].cause, cause);
}

void watchdog_arm(enum watchdog_slot slot, int milliseconds)
{
    atomic_store(&watchdog.slots[slot].ticks_left, milliseconds / TICK_MS + 1);
    sem_post(&watchdog.wake);
}

void watchdog_disarm(enum watchdog_slot slot)
{
    atomic_store(&watchdog.slots[slot].ticks_left, 0);
}

void watchdog_destroy(void)
{
    for (int slot = 0; slot < WATCHDOG_SLOTS; slot++)
        watchdog_disarm((enum watchdog_slot)slot);
    atomic_store(&watchdog.ending, true);
    sem_post(&watchdog.wake);
    pthread_join(watchdog.thread, NULL);
}
