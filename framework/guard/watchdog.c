/* The watchdog. See watchdog.h. */
#include "guard/watchdog.h"

#include "base/clock.h"
#include "base/output.h"
#include "guard/outcome.h"
#include "guard/residue.h"
#include "guard/stall.h"
#include "guard/symbol.h"
#include "guard/thread.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 5,
    STACK_SIZE = 64 * 1024,
    LATE_US = 250000 /* a tick that comes so late says that this thread could not run */
};

static struct {
    pthread_t thread;
    bool has_thread;
    sem_t wake; /* posted when there is something new to wait for; async-signal-safe */
    atomic_bool ending;
    atomic_int ends_with; /* the process shall end with this code; 0: not yet */
    /* Under the mutex: the wait of the thread that is on, and what was lost in those before. */
    pthread_mutex_t mutex;
    uint64_t wait_began_us, wait_limit_us, lost_us; /* wait_began_us 0: it does not wait */
    struct {
        atomic_int ticks_left; /* 0: not armed */
        _Atomic(const char *) step, object, cause;
        atomic_int code;
    } slots[WATCHDOG_SLOTS];
} watchdog = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Async-signal-safe. */
static void end_process(enum watchdog_slot slot)
{
    char bytes[ERROR_TEXT_MAX];
    struct text_builder line;

    residue_remove();
    text_init(&line, bytes, sizeof bytes);
    text_add(&line, "rpd: ");
    text_add(&line, atomic_load(&watchdog.slots[slot].step));
    text_add(&line, ": ");
    text_add(&line, atomic_load(&watchdog.slots[slot].object));
    text_add(&line, ": ");
    text_add(&line, atomic_load(&watchdog.slots[slot].cause));
    bytes[line.used] = '\n';
    output_write(OUTPUT_ERROR, bytes, line.used + 1);
    bytes[line.used] = '\0';
    outcome_ended(atomic_load(&watchdog.slots[slot].code), bytes);
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
        /* Fails, correctly, if it was disarmed or armed again meanwhile. */
        if (atomic_compare_exchange_strong(&watchdog.slots[slot].ticks_left, &left, left - 1) &&
            left == 1)
            end_process((enum watchdog_slot)slot);
    }
    return armed;
}

/* Of a wait that has begun then: what is more than it was meant to take, if that is
 * so much that the thread could not run. */
static uint64_t lost_since(uint64_t began_us, uint64_t limit_us)
{
    const uint64_t passed_us = began_us > 0 ? clock_us() - began_us : 0;

    return passed_us > limit_us + LATE_US ? passed_us - limit_us : 0;
}

static void note_wait(uint64_t began_us, uint64_t limit_us)
{
    pthread_mutex_lock(&watchdog.mutex);
    watchdog.lost_us += lost_since(watchdog.wait_began_us, watchdog.wait_limit_us);
    watchdog.wait_began_us = began_us;
    watchdog.wait_limit_us = limit_us;
    pthread_mutex_unlock(&watchdog.mutex);
}

/* Returns the microseconds that count. is_woken: when there is something new. */
static uint64_t wait_for(int milliseconds, bool is_woken)
{
    const uint64_t limit_us = (uint64_t)milliseconds * 1000;
    const uint64_t began_us = clock_us();
    const uint64_t end_us = began_us + limit_us;
    const struct timespec end = {.tv_sec = (time_t)(end_us / 1000000),
                                 .tv_nsec = (long)(end_us % 1000000) * 1000};
    uint64_t passed_us;

    note_wait(began_us, limit_us);
    while (sem_clockwait(&watchdog.wake, CLOCK_MONOTONIC, &end) == 0 && !is_woken &&
           !atomic_load(&watchdog.ending))
        ;
    note_wait(0, 0);
    passed_us = clock_us() - began_us;
    if (passed_us > limit_us + LATE_US)
        return 0;
    return passed_us < limit_us ? passed_us : limit_us;
}

static void end_if_asked(void)
{
    const int code = atomic_load(&watchdog.ends_with);

    if (code == 0)
        return;
    residue_remove();
    outcome_ended(code, NULL);
    _exit(code);
}

/* While the loop rests, no callback runs. */
static int look_at_loop_ms(uint64_t waited_us)
{
    const int stall_ms = stall_look_ms(waited_us);
    const int slow_ms = stall_loop_is_resting() ? 0 : slow_look_ms();

    return slow_ms > 0 && (stall_ms == 0 || slow_ms < stall_ms) ? slow_ms : stall_ms;
}

static void watch(void *unused)
{
    uint64_t waited_us = 0;

    (void)unused;
    while (!atomic_load(&watchdog.ending)) {
        const int look_ms = look_at_loop_ms(waited_us);

        end_if_asked();
        waited_us = 0;
        if (tick())
            waited_us = wait_for(TICK_MS, false);
        else if (look_ms > 0)
            waited_us = wait_for(look_ms, true);
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

    /* The handler stays: a tick may be pending still, and would kill the process. */
    set_timer(0);
    failed = thread_create(&watchdog.thread, "watchdog", STACK_SIZE, watch, NULL);
    if (failed)
        return error_set(error, EXIT_SYSTEM, "start", "watchdog",
                         "cannot make its thread: %s; raise the limit of %s", strerror(failed),
                         failed == EAGAIN ? "processes" : "memory");
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

uint64_t watchdog_lost_us(void)
{
    uint64_t lost_us;

    pthread_mutex_lock(&watchdog.mutex);
    lost_us = watchdog.lost_us + lost_since(watchdog.wait_began_us, watchdog.wait_limit_us);
    pthread_mutex_unlock(&watchdog.mutex);
    return lost_us;
}

void watchdog_watch_loop(int stall_s, int slow_ms, slow_report_fn report, void *arg)
{
    stall_begin(stall_s);
    slow_begin(slow_ms, report, arg);
    sem_post(&watchdog.wake);
}

void watchdog_change_limits(int stall_s, int slow_ms)
{
    stall_change(stall_s);
    slow_change(slow_ms);
    sem_post(&watchdog.wake);
}

void watchdog_leave_loop(void)
{
    stall_end();
    slow_end();
}

void watchdog_loop_goes_on(void)
{
    sem_post(&watchdog.wake);
}

void watchdog_stand_down(void)
{
    for (int slot = 0; slot < WATCHDOG_SLOTS; slot++)
        watchdog_disarm((enum watchdog_slot)slot);
}

_Noreturn void watchdog_end_process(enum exit_code code)
{
    atomic_store(&watchdog.ends_with, (int)code);
    sem_post(&watchdog.wake);
    for (;;)
        poll(NULL, 0, -1);
}

void watchdog_destroy(void)
{
    watchdog_stand_down();
    set_timer(0);
    atomic_store(&watchdog.ending, true);
    sem_post(&watchdog.wake);
    if (watchdog.has_thread)
        pthread_join(watchdog.thread, NULL);
}
