/* One client beside many clients that send without end. See warmup.c. */
#include "../support/process.h"
#include "asker.h"
#include "warmup.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAUSE_US = 500, BLOCK = 65536, EVENTS = 64, WARM_UP_US = 300000 };

struct server {
    const char *name, *plugin, *request; /* what the many clients send, again and again */
    const char *asked, *answer;          /* what the one client sends and gets */
    enum figure p99, work;
};

static const struct server servers[] = {
    {"echo", "plugins/echo.so", "hello\n", "hello\n", "hello\n", FAIR_ECHO_P99, FAIR_ECHO_WORK},
    {"hello", "samples/hello.so", "\n", "Ada\n", "hello, Ada\n", FAIR_HELLO_P99, FAIR_HELLO_WORK},
    {"kv", "plugins/kv.so", "PING\r\n", "PING\r\n", "+PONG\r\n", FAIR_KV_P99, FAIR_KV_WORK},
};

enum { SERVERS = sizeof servers / sizeof *servers };

/* ---- the clients that send without end ------------------------------------- */

static char requests[BLOCK];
static size_t requests_size; /* whole requests */

struct sender {
    int fd;
    size_t at; /* the next byte of the requests */
};

/* Reads what has arrived, and sends as much as the socket takes. */
static void go_on(struct sender *sender, uint32_t events)
{
    static char unread[BLOCK];
    ssize_t sent;

    if (events & EPOLLIN)
        while (recv(sender->fd, unread, sizeof unread, MSG_DONTWAIT) == (ssize_t)sizeof unread)
            continue;
    if (!(events & EPOLLOUT))
        return;
    sent = send(sender->fd, requests + sender->at, requests_size - sender->at,
                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        sender->at = (sender->at + (size_t)sent) % requests_size;
}

static void send_without_end(const char *endpoint, size_t count)
{
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct sender *senders = calloc(count, sizeof *senders);
    struct epoll_event events[EVENTS];

    for (size_t i = 0; senders && i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &senders[i]};
        senders[i].fd = connect_to(endpoint);
        if (senders[i].fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, senders[i].fd, &event) != 0)
            _exit(1);
    }
    for (;;) {
        const int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++)
            go_on(events[i].data.ptr, events[i].events);
    }
}

/* They run in a process of their own. */
static pid_t start_senders(const char *endpoint, size_t count, const char *request)
{
    const pid_t pid = fork();
    const size_t size = strlen(request);

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (requests_size = 0; requests_size + size <= BLOCK; requests_size += size)
        memcpy(requests + requests_size, request, size);
    send_without_end(endpoint, count);
    _exit(0);
}

static void stop_senders(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        test_die("those who send without end have ended");
}

/* ---- the one client ---------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* How much the server worked during each answer: this part of the time counts even if other
 * programs use the processors. *ret_wrong: wrong answers. */
static double ask_on(struct asker *asker, const struct plan *plan, const struct server *server,
                     pid_t pid, long *ret_wrong)
{
    double *worked_ms = calloc((size_t)plan->asked, sizeof *worked_ms), p99;
    char answer[ASKER_LINE];
    size_t count = 0;

    for (long i = 0; worked_ms && i < plan->asked; i++) {
        const int64_t before = cpu_time_ns(pid);
        if (!asker_ask(asker, answer))
            break;
        worked_ms[count++] = (double)(cpu_time_ns(pid) - before) / 1e6;
        *ret_wrong += strcmp(answer, server->answer) != 0;
        sleep_us(PAUSE_US);
    }
    if (count == 0)
        test_die("%s does not answer beside others", server->name);
    qsort(worked_ms, count, sizeof *worked_ms, compare);
    p99 = worked_ms[count * 99 / 100];
    free(worked_ms);
    return p99;
}

static void measure(const struct plan *plan, const struct server *server)
{
    char answer[ASKER_LINE];
    const char *dir = temp_dir_make();
    const char *endpoint = textf("unix:%s/s", dir);
    struct process *rpd = RPD_START(dir, build_path(server->plugin), "-l", endpoint);
    long wrong = 0;

    wait_bound(rpd);
    struct asker *asker = asker_open(endpoint, server->asked);
    if (!asker_ask(asker, answer))
        test_die("%s does not answer", server->name);
    const pid_t senders = start_senders(endpoint, plan->senders, server->request);
    sleep_us(WARM_UP_US);
    const pid_t pid = process_pid(rpd);
    const int64_t began = now_ns(), cpu = cpu_time_ns(pid);
    const double worked_ms = ask_on(asker, plan, server, pid, &wrong);
    const double used = (double)(cpu_time_ns(pid) - cpu) / (double)(now_ns() - began);
    const struct latency latency = asker_latency(asker, began, INT64_MAX);

    printf(
        "fair: %s, beside %zu that send without end: %zu answers, in ms: p50 %.3f, p99 %.3f, max "
        "%.3f; of the server's work p99 %.3f; it used %.0f %% of a processor\n",
        server->name, plan->senders, latency.count, latency.p50_ms, latency.p99_ms, latency.max_ms,
        worked_ms, 100 * used);
    fflush(stdout);
    figure_add(FAIR_UNANSWERED, (double)(plan->asked - (long)latency.count + wrong));
    figure_add(server->p99, latency.p99_ms);
    figure_add(server->work, worked_ms);
    stop_senders(senders);
    asker_close(asker);
    process_stop(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* On a busy machine the server is to be measured, not how soon the one client gets a processor. If
 * this call is denied, the figures include both. */
static void let_the_one_go_first(void)
{
    const struct sched_param priority = {.sched_priority = 1};

    if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &priority) != 0)
        printf("fair: on a busy machine the figures are too high: %s\n", strerror(errno));
}

void measure_fair(const struct plan *plan)
{
    let_the_one_go_first();
    for (size_t i = 0; i < SERVERS; i++)
        measure(plan, &servers[i]);
}
