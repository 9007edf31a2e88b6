/* One client that asks again and again. See asker.h. */
#include "asker.h"

#include "../support/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct asked {
    int64_t sent_ns, answered_ns;
};

struct asker {
    int fd;
    const char *request;
    struct asked *list;
    size_t count, room;
    pthread_t thread;
    long pause_us;
    atomic_bool stopping;
    const char *failure;
};

void sleep_us(long us)
{
    const struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    nanosleep(&time, NULL);
}

struct asker *asker_open(const char *endpoint, const char *request)
{
    struct asker *asker = calloc(1, sizeof *asker);

    if (!asker)
        test_die("out of memory");
    asker->request = request;
    asker->fd = connect_to(endpoint);
    if (asker->fd < 0)
        test_die("connect: %s: %s", endpoint, strerror(errno));
    return asker;
}

void asker_close(struct asker *asker)
{
    close(asker->fd);
    free(asker->list);
    free(asker);
}

static void note(struct asker *asker, int64_t sent_ns, int64_t answered_ns)
{
    if (asker->count == asker->room) {
        asker->room = asker->room > 0 ? asker->room * 2 : 4096;
        asker->list = realloc(asker->list, asker->room * sizeof *asker->list);
        if (!asker->list)
            test_die("out of memory");
    }
    asker->list[asker->count++] = (struct asked){sent_ns, answered_ns};
}

/* A line of a few bytes arrives in one piece. */
bool asker_ask(struct asker *asker, char ret_answer[ASKER_LINE])
{
    const int64_t sent_ns = now_ns();
    ssize_t size;

    if (send_all(asker->fd, asker->request, strlen(asker->request)) != 0)
        return false;
    do
        size = read(asker->fd, ret_answer, ASKER_LINE - 1);
    while (size < 0 && errno == EINTR);
    if (size <= 0)
        return false;
    ret_answer[size] = '\0';
    note(asker, sent_ns, now_ns());
    return true;
}

static void *ask_on(void *arg)
{
    struct asker *asker = arg;
    char answer[ASKER_LINE];

    while (!atomic_load(&asker->stopping)) {
        if (!asker_ask(asker, answer)) {
            asker->failure = strerror(errno);
            break;
        }
        sleep_us(asker->pause_us);
    }
    return NULL;
}

void asker_start(struct asker *asker, long pause_us)
{
    asker->pause_us = pause_us;
    const int failed = pthread_create(&asker->thread, NULL, ask_on, asker);
    if (failed)
        test_die("pthread_create: %s", strerror(failed));
}

void asker_stop(struct asker *asker)
{
    atomic_store(&asker->stopping, true);
    pthread_join(asker->thread, NULL);
    if (asker->failure)
        test_die("no answer to a client that asks again and again: %s", asker->failure);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct latency asker_latency(const struct asker *asker, int64_t from_ns, int64_t until_ns)
{
    double *ms = calloc(asker->count + 1, sizeof *ms);
    struct latency latency = {.count = 0};
    size_t count = 0;

    if (!ms)
        test_die("out of memory");
    for (size_t i = 0; i < asker->count; i++)
        if (asker->list[i].answered_ns >= from_ns && asker->list[i].sent_ns <= until_ns)
            ms[count++] = (double)(asker->list[i].answered_ns - asker->list[i].sent_ns) / 1e6;
    if (count > 0) {
        qsort(ms, count, sizeof *ms, compare);
        latency = (struct latency){count, ms[count / 2], ms[count * 99 / 100], ms[count - 1]};
    }
    free(ms);
    return latency;
}

struct latency asker_latency_of_all(const struct asker *asker)
{
    return asker_latency(asker, 0, INT64_MAX);
}
