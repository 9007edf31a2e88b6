/* Clients that ask for too much of the loop's time, or of memory. See provoke.h. */
#include "provoke.h"

/* What an arrange_ function made while the daemon served, for use when it drains. */
static struct crowd arranged;

/* ---- row 60: busy clients, and one command with much work ------------------------------ */

/* What a client has sent of its requests and received of their answers. */
struct talk {
    size_t sent, heard;
};

/* Sends and receives as much as possible now. Returns whether it moved any byte. */
static bool talk_on(int fd, struct talk *talk, const char *text, size_t size)
{
    const struct talk before = *talk;
    char heard[16384];
    ssize_t got;

    if (talk->sent < size) {
        got = send(fd, text + talk->sent, size - talk->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        cr_assert(got > 0 || errno == EAGAIN, "%s", strerror(errno));
        talk->sent += got > 0 ? (size_t)got : 0;
    }
    while ((got = recv(fd, heard, sizeof heard, MSG_DONTWAIT)) > 0) {
        cr_assert_leq(talk->heard + (size_t)got, size, "more than was asked for");
        cr_assert_eq(memcmp(heard, text + talk->heard, (size_t)got), 0, "a wrong answer");
        talk->heard += (size_t)got;
    }
    cr_assert(got < 0 && errno == EAGAIN, "the end, after %zu bytes", talk->heard);
    return talk->sent > before.sent || talk->heard > before.heard;
}

/* One client beside the others asks one question at a time: how much the daemon has worked between
 * each question and its answer. The daemon measures that when it answers, so it does not matter
 * when the test gets a processor. A turn is 2 ms of callbacks; so a question waits for the rest of
 * the current turn, and for the clients before it in the next one. */
enum { QUESTIONS = 200, WORK_MAX_MS = 10 };

struct asker {
    int fd;
    bool waits;
    int64_t asked_ns; /* the daemon's processor time when the question was sent */
    size_t count;
    double work_ms[QUESTIONS];
};

static struct asker arranged_asker;

static void ask_on(struct stage *stage, struct asker *asker)
{
    char answer[64];
    const ssize_t size = asker->waits ? recv(asker->fd, answer, sizeof answer - 1, MSG_DONTWAIT)
                                      : 0;

    if (asker->count == QUESTIONS || (size < 0 && errno == EAGAIN))
        return;
    if (asker->waits) {
        cr_assert(size > 0 && answer[size - 1] == '\n', "%zd bytes of an answer", size);
        answer[size] = '\0';
        asker->work_ms[asker->count++] = (double)(atoll(answer) - asker->asked_ns) / 1e6;
        asker->waits = false;
        return;
    }
    stage_say(asker->fd, "worked");
    asker->asked_ns = cpu_time_ns(process_pid(stage->rpd));
    asker->waits = true;
}

static int compare_work(const void *a, const void *b)
{
    const double first = *(const double *)a, second = *(const double *)b;

    return (first > second) - (first < second);
}

static double work_p99_ms(struct asker *asker)
{
    const size_t at = QUESTIONS * 99 / 100 - 1;

    qsort(asker->work_ms, QUESTIONS, sizeof *asker->work_ms, compare_work);
    cr_log_info("work before an answer: p50 %.2f ms, p99 %.2f ms", asker->work_ms[QUESTIONS / 2],
                asker->work_ms[at]);
    return asker->work_ms[at];
}

/* Each client sends its lines and reads the answers. Returns whether all are done. */
static bool talk_all(const struct crowd *crowd, struct talk *talks, const char *text, size_t size)
{
    size_t left = 0;
    bool any = false;

    for (size_t i = 0; i < crowd->count; i++) {
        any |= talk_on(crowd->fds[i], &talks[i], text, size);
        left += talks[i].heard < size;
    }
    if (!any)
        poll(NULL, 0, 1);
    return left == 0;
}

/* All clients send their lines as fast as they can and read the answers, again and again until the
 * asker has its answers. */
static void talk_until_answered(struct stage *stage, const struct crowd *crowd, struct asker *asker,
                                const char *text, size_t size)
{
    struct talk *talks = calloc(crowd->count, sizeof *talks);
    int64_t began = now_ns();

    asker->count = 0;
    for (bool done = false; !done || asker->waits || asker->count < QUESTIONS;) {
        if (done) {
            memset(talks, 0, crowd->count * sizeof *talks);
            began = now_ns();
        }
        done = talk_all(crowd, talks, text, size);
        ask_on(stage, asker);
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "they wait:\n%s",
                     process_stderr(stage->rpd));
    }
    free(talks);
}

/* If other programs use the processors, a short request sometimes takes long. */
static void crowd_is_echoed(struct stage *stage, const struct crowd *crowd, struct asker *asker,
                            size_t lines)
{
    const size_t size = lines * strlen("busy\n");
    char *text = malloc(size);
    const double most_ms = is_slow() ? 10 * WORK_MAX_MS : WORK_MAX_MS;
    double p99_ms = most_ms + 1;

    for (size_t i = 0; i < size; i++)
        text[i] = "busy\n"[i % strlen("busy\n")];
    for (int tries = 0; tries < 3 && p99_ms > most_ms; tries++) {
        talk_until_answered(stage, crowd, asker, text, size);
        p99_ms = work_p99_ms(asker);
    }
    cr_assert_leq(p99_ms, most_ms, "p99 of the work before an answer: %.2f ms", p99_ms);
    free(text);
}

enum { FEW = 300, FEWS_LINES = 2000, ONES_LINES = 1000000 };

static struct crowd busy_crowd(struct stage *stage, const char *variant)
{
    const bool is_one = strcmp(variant, "one client") == 0;

    return crowd_make(stage->endpoint, is_one ? 1 : crowd_size(FEW, 5000));
}

static size_t lines_of(const struct crowd *crowd)
{
    const size_t less = is_slow() ? 20 : 1;

    return (crowd->count == 1 ? ONES_LINES : FEWS_LINES) / less;
}

/* Held clients send requests too, and all are answered in the end. */
void provoke_busy(struct stage *stage, const char *variant)
{
    const double normal_ms = measure_p99_ms(stage);
    const int fds = count_fds(process_pid(stage->rpd));
    struct crowd crowd = busy_crowd(stage, variant);
    struct asker asker = {0};

    if (stage->phase == LOADING) {
        for (size_t i = 0; i < crowd.count; i++)
            stage_say(crowd.fds[i], "early");
        stage_wait_page(stage, clients_held, crowd.count + 1);
        stage_assert_alive(stage);
        stage_open_gate(stage);
        for (size_t i = 0; i < crowd.count; i++)
            stage_expect_line(stage, crowd.fds[i], "early");
    }
    asker.fd = stage_client(stage->endpoint);
    crowd_is_echoed(stage, &crowd, &asker, lines_of(&crowd));
    close(asker.fd);
    assert_p99_is_near(stage, normal_ms);
    stage_assert_alive(stage);
    crowd_close(&crowd);
    stage_wait_fds(stage, fds);
}

/* Each client waits for a job, so that it is still connected while the daemon drains. */
void arrange_busy(struct stage *stage, const char *variant)
{
    arranged = busy_crowd(stage, variant);
    for (size_t i = 0; i < arranged.count; i++)
        stage_say(arranged.fds[i], "wait none");
    arranged_asker.fd = stage_client(stage->endpoint);
    stage_say(arranged_asker.fd, "wait none");
    stage_wait_page(stage, jobs, arranged.count + 2);
}

void provoke_after_busy(struct stage *stage, const char *variant)
{
    (void)variant;
    crowd_is_echoed(stage, &arranged, &arranged_asker, lines_of(&arranged));
    stage_assert_alive(stage);
    stage_go(stage);
    for (size_t i = 0; i < arranged.count; i++)
        stage_expect_line(stage, arranged.fds[i], "did none");
    stage_expect_line(stage, arranged_asker.fd, "did none");
    close(arranged_asker.fd);
    crowd_close(&arranged);
}

/* ---- row 61: the sum of all buffers ------------------------------------------------------ */

enum { EACH = 3000000, SUM_KIB = 32 * 1024, SLACK_KIB = 16 * 1024 };

static const char held_most[] = "closed: held most, all clients together beyond "
                                "limits.buffer_bytes (33554432)";

/* A request that continues for this many bytes. Near the bound the daemon may stop reading it, or
 * close the client. */
static void send_part(int fd, size_t size)
{
    static char letters[EACH];
    struct pollfd writable = {.fd = fd, .events = POLLOUT};

    memset(letters, 'x', size);
    for (ssize_t sent = 0; size > 0 && sent >= 0; size -= sent > 0 ? (size_t)sent : 0) {
        if (poll(&writable, 1, 100) <= 0)
            return;
        sent = send(fd, letters, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

static void take_memory(int fd, const char *variant)
{
    if (strcmp(variant, "unread answers") == 0) {
        stage_say(fd, textf("big %d", EACH));
        read_exactly(fd, &(char){0}, 1);
    } else {
        send_part(fd, EACH);
    }
}

static long grown_kib(struct stage *stage, long before)
{
    return rss_kib(process_pid(stage->rpd)) - before;
}

static void wait_memory_back(struct stage *stage, long before)
{
    for (const int64_t began = now_ns(); !is_slow() && grown_kib(stage, before) > SLACK_KIB;
         stage_rest())
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "%ld KiB more than before",
                     grown_kib(stage, before));
}

void provoke_sums(struct stage *stage, const char *variant)
{
    const int fds = count_fds(process_pid(stage->rpd));
    const long before = rss_kib(process_pid(stage->rpd));
    struct crowd crowd = crowd_make(stage->endpoint, crowd_size(40, 1000));

    for (size_t i = 0; i < crowd.count; i++) {
        take_memory(crowd.fds[i], variant);
        const long grown = grown_kib(stage, before);
        if (!is_slow())
            cr_assert_leq(grown, SUM_KIB + SLACK_KIB, "%zu clients: %ld KiB", i + 1, grown);
    }
    stage_wait_page(stage, clients_cut, crowd.count / 2);
    assert_line(stage->rpd, held_most);
    stage_assert_alive(stage);
    crowd_close(&crowd);
    stage_wait_fds(stage, fds);
    wait_memory_back(stage, before);
}

/* Some clients are connected and hold three quarters of the bound. */
void arrange_sums(struct stage *stage, const char *variant)
{
    arranged = crowd_make(stage->endpoint, 6);
    for (size_t i = 0; i < arranged.count; i++)
        take_memory(arranged.fds[i], variant);
    stage_assert_alive(stage);
    cr_assert_eq(stage_page(stage, "faulty").clients_cut, 0, "%s", process_stderr(stage->rpd));
}

/* The bound holds, and each remaining buffer is freed when its client goes. */
void provoke_after_sums(struct stage *stage, const char *variant)
{
    static char letters[65536];
    const int64_t began = now_ns();

    (void)variant;
    memset(letters, 'x', sizeof letters);
    while (stage_page(stage, "faulty").clients_cut == 0) {
        for (size_t i = 0; i < arranged.count; i++)
            (void)!send(arranged.fds[i], letters, sizeof letters, MSG_NOSIGNAL | MSG_DONTWAIT);
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "%s", process_stderr(stage->rpd));
    }
    assert_line(stage->rpd, held_most);
    stage_assert_alive(stage);
    crowd_close(&arranged);
}
