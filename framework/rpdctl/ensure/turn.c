/* Turns. See rpdctl/ensure/turn.h. */
#include "rpdctl/ensure/turn.h"

#include "base/clock.h"
#include "config/digest.h"
#include "library/libjansson.h"
#include "observe/instance_wait.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- the queue ---------------------------------------------------------------------- */

static void on_alarm(int number)
{
    (void)number;
}

/* An alarm that comes again: one that came before the wait began would be lost. (The
 * caller's parent may have blocked it.) */
static void set_alarm(const struct ensure_request *request, bool on)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct timeval step = {.tv_usec = on ? 50000 : 0};
    const struct itimerval timer = {step, step};
    sigset_t alarm_only;

    if (request->deadline_us == INSTANCE_FOR_EVER)
        return;
    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

int ensure_turn_take(const struct ensure_request *request, struct lock *lock, struct error *error)
{
    char name[NAME_MAX + 1];
    int result;

    snprintf(name, sizeof name, "%s.ensure.lock", request->names[0]);
    set_alarm(request, true);
    do
        result = lock_wait(lock, request->dirfd, request->runtime_dir, name, error);
    while (result == 1 && clock_us() < request->deadline_us);
    set_alarm(request, false);
    return result;
}

/* ---- what is started ------------------------------------------------------------------ */

/* "" if it cannot be had. */
static void identify(const struct ensure_request *request, char ret_text[CONFIG_DIGEST_SIZE])
{
    struct error error;

    *ret_text = '\0';
    if (libjansson_load(&error) == 0)
        config_digest(request->config, ret_text);
}

void ensure_turn_sign(const struct ensure_request *request, const struct lock *lock)
{
    char digest[CONFIG_DIGEST_SIZE];

    identify(request, digest);
    lock_sign(lock, digest);
}

bool ensure_turn_was_anothers(const struct ensure_request *request, const struct lock *lock)
{
    char ours[CONFIG_DIGEST_SIZE], last[CONFIG_DIGEST_SIZE] = "";

    if (pread(lock->fd, last, sizeof last - 1, 0) != (ssize_t)sizeof last - 1)
        return false;
    identify(request, ours);
    return *ours && strcmp(ours, last) != 0;
}
