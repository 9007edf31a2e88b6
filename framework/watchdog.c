/* The watchdog. See watchdog.h. */
#include "watchdog.h"

#include "output.h"
#include "residue.h"
#include "symbol.h"
#include "thread.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 5, STACK_SIZE = 64 * 1024 };

static struct {
    pthread_t thread;
    bool has_thread;
    sem_t wake; /* posted when something is armed; async-signal-safe */
    atomic_bool ending;
    struct {
        atomic_int ticks_left; /* 0: not armed */
        _Atomic(const char *) step, object, cause;
        atomic_int code;
    } slots[WATCHDOG_SLOTS];
} watchdog;

/* Async-signal-safe. */
static void end_process(enum watchdog_slot slot)
{
    char bytes[ERROR_TEXT_MAX];
    struct safe_text line;

    residue_remove();
    safe_text_init(&line, bytes, sizeof bytes);
    safe_text_add(&line, "rpd: ");
    safe_text_add(&line, atomic_load(&watchdog.slots[slot].step));
    safe_text_add(&line, ": ");
    safe_text_add(&line, atomic_load(&watchdog.slots[slot].object));
    safe_text_add(&line, ": ");
    safe_text_add(&line, atomic_load(&watchdog.slots[slot].cause));
    bytes[line.used] = '\n';
    output_write(bytes, line.used + 1);
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

/* A tick's time; shorter when something is armed, or the end has come. */
static void wait_a_tick(void)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += TICK_MS * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000L;
    }
    while (!atomic_load(&watchdog.ending) &&
           sem_clockwait(&watchdog.wake, CLOCK_MONOTONIC, &end) == 0)
        ;
}

static void watch(void *unused)
{
    (void)unused;
    while (!atomic_load(&watchdog.ending)) {
        if (tick())
            wait_a_tick();
        else
            sem_wait(&watchdog.wake);
    }
}

static void on_alarm(int number)
{
    (void)number;
    tick();
}

static void set_timer(long interval_ms)
{
    const struct timeval interval = {.tv_usec = interval_ms * 1000};
    const struct itimerval timer = {.it_interval = interval, .it_value = interval};

    setitimer(ITIMER_REAL, &timer, NULL);
}

void watchdog_begin(void)
{
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

    sem_init(&watchdog.wake, 0, 0);
    sigaction(SIGALRM, &action, NULL);
    set_timer(TICK_MS);
}

int watchdog_create(struct error *error)
{
    int failed;

    set_timer(0);
    signal(SIGALRM, SIG_DFL);
    failed = thread_create(&watchdog.thread, "watchdog", STACK_SIZE, watch, NULL);
    if (failed)
        return error_set(error, EXIT_SYSTEM, "start", "watchdog",
                         "cannot make its thread: %s; raise the limit of processes",
                         strerror(failed));
    watchdog.has_thread = true;
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
    set_timer(0);
    atomic_store(&watchdog.ending, true);
    sem_post(&watchdog.wake);
    if (watchdog.has_thread)
        pthread_join(watchdog.thread, NULL);
}
