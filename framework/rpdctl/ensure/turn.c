/* Turns. See rpdctl/ensure/turn.h. */
#include "rpdctl/ensure/turn.h"

#include "base/clock.h"
#include "config/digest.h"
#include "library/libjansson.h"
#include "observe/instance_wait.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- the queue ---------------------------------------------------------------------- */

static void on_alarm(int number)
{
    (void)number;
}

/* An alarm that comes again: one that came before the wait began would be lost. The
 * caller's parent may have blocked it. */
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

/* What stands in the file: a digest, and since when it is that one's. */
static void read_signature(const struct lock *lock, char ret_digest[CONFIG_DIGEST_SIZE],
                           uint64_t *ret_since_ms)
{
    char text[CONFIG_DIGEST_SIZE + 32] = "";

    *ret_digest = '\0';
    *ret_since_ms = 0;
    if (pread(lock->fd, text, sizeof text - 1, 0) < CONFIG_DIGEST_SIZE - 1)
        return;
    memcpy(ret_digest, text, CONFIG_DIGEST_SIZE - 1);
    ret_digest[CONFIG_DIGEST_SIZE - 1] = '\0';
    if (text[CONFIG_DIGEST_SIZE - 1] == ' ')
        *ret_since_ms = strtoull(text + CONFIG_DIGEST_SIZE, NULL, 10);
}

uint64_t ensure_turn_since_ms(const struct ensure_request *request, const struct lock *lock)
{
    char ours[CONFIG_DIGEST_SIZE], last[CONFIG_DIGEST_SIZE];
    uint64_t since_ms;

    identify(request, ours);
    read_signature(lock, last, &since_ms);
    return *ours && *last && strcmp(ours, last) != 0 ? clock_wall_ms() : since_ms;
}

void ensure_turn_sign(const struct ensure_request *request, const struct lock *lock)
{
    char digest[CONFIG_DIGEST_SIZE], line[CONFIG_DIGEST_SIZE + 32];
    const uint64_t since_ms = ensure_turn_since_ms(request, lock);

    identify(request, digest);
    snprintf(line, sizeof line, "%s %llu", digest, (unsigned long long)since_ms);
    lock_sign(lock, line);
}

bool ensure_turn_was_anothers(const struct ensure_request *request, const struct lock *lock)
{
    char ours[CONFIG_DIGEST_SIZE], last[CONFIG_DIGEST_SIZE];
    uint64_t since_ms;

    read_signature(lock, last, &since_ms);
    identify(request, ours);
    return *ours && *last && strcmp(ours, last) != 0;
}
