/* Many clients connect while a daemon loads. See warmup.c. */
#include "../support/process.h"
#include "asker.h"
#include "warmup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define ARRIVALS 0.9 /* all clients are connected after this part of the load */
#define GIVE_UP_NS (20 * NS_PER_S)

enum { ANSWER_MAX = 64, PROBE_US = 1000 };

struct client {
    int fd; /* -1: never connected, or closed */
    bool answered;
    size_t got;
    char answer[ANSWER_MAX];
};

struct crowd {
    const char *label;
    struct sockaddr_un address;
    double load_s;
    int epoll_fd;
    struct client *clients;
    size_t size, came, in, answered;
    size_t refused, eagain, reset;
    int64_t last_answer_ns;
};

/* ---- The clients ---------------------------------------------------------- */

static void crowd_open(struct crowd *crowd, const char *label, const char *path,
                       const struct plan *plan)
{
    *crowd = (struct crowd){.label = label,
                            .address = {.sun_family = AF_UNIX},
                            .load_s = plan->load_s,
                            .size = plan->clients};
    snprintf(crowd->address.sun_path, sizeof crowd->address.sun_path, "%s", path);
    crowd->clients = calloc(crowd->size, sizeof *crowd->clients);
    crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!crowd->clients || crowd->epoll_fd < 0)
        test_die("crowd: %s", strerror(errno));
}

static void crowd_close(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->came; i++) {
        if (crowd->clients[i].fd >= 0)
            close(crowd->clients[i].fd);
    }
    close(crowd->epoll_fd);
    free(crowd->clients);
}

static void drop(struct client *client)
{
    close(client->fd);
    client->fd = -1;
}

/* The next client connects and sends its request. No client tries twice. */
static void come(struct crowd *crowd)
{
    const size_t number = crowd->came++;
    struct client *client = &crowd->clients[number];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    char request[32];
    const int size = snprintf(request, sizeof request, "%zu\n", number);

    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        test_die("socket: %s", strerror(errno));
    if (connect(client->fd, (struct sockaddr *)&crowd->address, sizeof crowd->address) != 0) {
        if (errno == EAGAIN)
            crowd->eagain++;
        else
            crowd->refused++;
        drop(client);
        return;
    }
    crowd->in++;
    if (send(client->fd, request, (size_t)size, MSG_NOSIGNAL) != size ||
        epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0) {
        crowd->reset++;
        drop(client);
    }
}

static bool is_right(const struct crowd *crowd, const struct client *client)
{
    char expected[ANSWER_MAX];

    snprintf(expected, sizeof expected, "%zu: loaded in %g s\n", (size_t)(client - crowd->clients),
             crowd->load_s);
    return strlen(expected) == client->got && memcmp(expected, client->answer, client->got) == 0;
}

static void take_answer(struct crowd *crowd, struct client *client)
{
    const ssize_t got = recv(client->fd, client->answer + client->got, ANSWER_MAX - client->got, 0);

    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        if (!client->answered)
            crowd->reset++;
        drop(client);
        return;
    }
    client->got += (size_t)got;
    if (client->answered || !is_right(crowd, client))
        return;
    client->answered = true;
    crowd->answered++;
    crowd->last_answer_ns = now_ns();
}

static void take_answers(struct crowd *crowd, int timeout_ms)
{
    struct epoll_event events[256];
    const int count = epoll_wait(crowd->epoll_fd, events, 256, timeout_ms);

    for (int i = 0; i < count; i++)
        take_answer(crowd, events[i].data.ptr);
}

static void all_come(struct crowd *crowd)
{
    const int64_t began = now_ns();
    const double interval_ns = crowd->load_s * ARRIVALS * 1e9 / (double)crowd->size;

    while (crowd->came < crowd->size) {
        while (crowd->came < crowd->size &&
               (double)(now_ns() - began) >= (double)crowd->came * interval_ns)
            come(crowd);
        take_answers(crowd, 1);
    }
}

static void wait_for_answers(struct crowd *crowd)
{
    const int64_t give_up = now_ns() + (int64_t)(crowd->load_s * 1e9) + GIVE_UP_NS;

    while (crowd->answered + crowd->reset < crowd->in && now_ns() < give_up)
        take_answers(crowd, 10);
}

static size_t unanswered(const struct crowd *crowd)
{
    return crowd->in - crowd->answered - crowd->reset;
}

static void print_heading(const struct plan *plan)
{
    printf("crowd: %zu clients come during a load of %g s, and ask once\n", plan->clients,
           plan->load_s);
    printf("%-26s %8s %8s %8s %8s %10s %8s\n", "", "came", "refused", "EAGAIN", "reset",
           "unanswered", "answered");
}

static void print_crowd(const struct crowd *crowd)
{
    printf("%-26s %8zu %8zu %8zu %8zu %10zu %8zu\n", crowd->label, crowd->came, crowd->refused,
           crowd->eagain, crowd->reset, unanswered(crowd), crowd->answered);
    fflush(stdout);
}

/* ---- At rpd --------------------------------------------------------------- */

/* slow_start, and echo on the same loop. */
static const char *configuration(const char *dir, double load_s)
{
    const char *path = textf("%s/rpd.json", dir);
    const char *text = textf(
        "{ \"services\": [\n"
        "  { \"name\": \"slow\", \"plugin\": \"%s\", \"listen\": [\"unix:%s/slow\"],\n"
        "    \"warmup\": \"hold\", \"options\": { \"load_s\": %g } },\n"
        "  { \"name\": \"echo\", \"plugin\": \"%s\", \"listen\": [\"unix:%s/echo\"] } ] }\n",
        build_path("samples/slow_start.so"), dir, load_s, build_path("plugins/echo.so"), dir);

    file_write(path, text, strlen(text));
    return path;
}

/* The state page is updated four times a second. */
static struct rpd_state_page wait_until_held(const char *dir, size_t clients)
{
    const int64_t give_up = now_ns() + GIVE_UP_NS;
    struct rpd_state_page page = page_of(dir, "slow");

    while (page.clients_held < clients && page.phase < RPD_PHASE_READY && now_ns() < give_up) {
        sleep_us(10000);
        page = page_of(dir, "slow");
    }
    if (page.clients_held < clients)
        printf("crowd: only %llu of %zu clients were held when the load ended\n",
               (unsigned long long)page.clients_held, clients);
    return page;
}

static void print_release(const struct crowd *crowd, const struct asker *prober,
                          const struct rpd_state_page *before, const struct rpd_state_page *after)
{
    const int64_t ready_ns = (int64_t)after->ready_us * 1000;
    const struct latency latency = asker_latency(prober, ready_ns, crowd->last_answer_ns);

    printf("crowd: READY to the last answer %.0f ms; meanwhile another service's answers take "
           "%.3f ms, p99 %.3f, max %.3f\n",
           (double)(crowd->last_answer_ns - ready_ns) / 1e6, latency.p50_ms, latency.p99_ms,
           latency.max_ms);
    printf("crowd: by the state page the loop was late by at most %.3f ms before, %.3f ms after\n",
           (double)before->latest_us / 1000, (double)after->latest_us / 1000);
    figure_add(CROWD_STALL, latency.max_ms);
}

static void measure_rpd(const struct plan *plan)
{
    struct crowd crowd;
    char answer[ASKER_LINE];
    const char *dir = temp_dir_make();
    struct process *rpd = RPD_START(dir, "-c", configuration(dir, plan->load_s));

    wait_bound(rpd);
    struct asker *prober = asker_open(textf("unix:%s/echo", dir), "x\n");
    if (!asker_ask(prober, answer)) /* the loop has turned, and its first page faults are over */
        test_die("echo does not answer");
    crowd_open(&crowd, "rpd, hold", textf("%s/slow", dir), plan);
    const double rss_before = rss_bytes(rpd);
    all_come(&crowd);
    const struct rpd_state_page held = wait_until_held(dir, crowd.in);
    const double held_rss = (rss_bytes(rpd) - rss_before) / (double)plan->clients;
    asker_start(prober, PROBE_US);
    wait_for_answers(&crowd);
    asker_stop(prober);
    sleep_us(300000); /* one more update of the page */
    const struct rpd_state_page after = page_of(dir, "slow");

    print_crowd(&crowd);
    printf("crowd: %.0f bytes of RSS a held client\n", held_rss);
    print_release(&crowd, prober, &held, &after);
    figure_add(CROWD_REFUSED, (double)crowd.refused);
    figure_add(CROWD_EAGAIN, (double)crowd.eagain);
    figure_add(CROWD_RESET, (double)crowd.reset);
    figure_add(CROWD_UNANSWERED, (double)unanswered(&crowd));
    figure_add(CROWD_MEMORY, held_rss);
    asker_close(prober);
    crowd_close(&crowd);
    process_stop(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- At a plain listener ---------------------------------------------------- */

static void measure_plain(const struct plan *plan, const char *backlog)
{
    struct crowd crowd;
    const char *dir = temp_dir_make();
    const char *path = textf("%s/s", dir);
    struct process *plain = process_start(&(struct process_options){
        .argv = ARGS(beside_path("plain_listen"), path, backlog, textf("%g", plan->load_s)),
        .notify = true,
    });

    wait_bound(plain);
    crowd_open(&crowd, textf("plain listen(%s)", backlog), path, plan);
    all_come(&crowd);
    wait_for_answers(&crowd);
    print_crowd(&crowd);
    crowd_close(&crowd);
    process_stop(plain);
    process_free(plain);
    temp_dir_remove(dir);
}

void measure_crowd(const struct plan *plan)
{
    print_heading(plan);
    measure_rpd(plan);
    measure_plain(plan, "128");
    measure_plain(plan, "4096");
}
