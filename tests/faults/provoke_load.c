/* Clients that ask for more than there is: of the loop's time, of memory. See provoke.h. */
#include "provoke.h"

/* What was arranged while it served, until it drains. */
static struct crowd arranged;

/* ---- row 60: busy clients, and one command of much work -------------------------------- */

/* What a client has sent and heard of its requests. */
struct talk {
    size_t sent, heard;
};

/* As much as goes now; returns whether anything did. */
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

/* All send their lines as fast as they can, and hear each. */
static void crowd_is_echoed(struct stage *stage, const struct crowd *crowd, size_t lines)
{
    struct talk *talks = calloc(crowd->count, sizeof *talks);
    const size_t size = lines * strlen("busy\n");
    char *text = malloc(size);
    const int64_t began = now_ns();

    for (size_t i = 0; i < size; i++)
        text[i] = "busy\n"[i % strlen("busy\n")];
    for (size_t left = 1; left > 0;) {
        bool any = false;

        left = 0;
        for (size_t i = 0; i < crowd->count; i++) {
            any |= talk_on(crowd->fds[i], &talks[i], text, size);
            left += talks[i].heard < size;
        }
        if (!any)
            poll(NULL, 0, 1);
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "%zu wait:\n%s", left,
                     process_stderr(stage->rpd));
    }
    free(talks);
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

/* Those who are held ask as well, and are all answered in the end. */
void provoke_busy(struct stage *stage, const char *variant)
{
    const double normal_ms = measure_p99_ms(stage);
    const int fds = count_fds(process_pid(stage->rpd));
    struct crowd crowd = busy_crowd(stage, variant);

    if (stage->phase == LOADING) {
        for (size_t i = 0; i < crowd.count; i++)
            stage_say(crowd.fds[i], "early");
        stage_wait_page(stage, clients_held, crowd.count + 1);
        stage_assert_alive(stage);
        stage_open_gate(stage);
        for (size_t i = 0; i < crowd.count; i++)
            stage_expect_line(stage, crowd.fds[i], "early");
    }
    crowd_is_echoed(stage, &crowd, lines_of(&crowd));
    assert_p99_is_near(stage, normal_ms);
    stage_assert_alive(stage);
    crowd_close(&crowd);
    stage_wait_fds(stage, fds);
}

/* Each waits for a job, so that it is there while the daemon drains. */
void arrange_busy(struct stage *stage, const char *variant)
{
    arranged = busy_crowd(stage, variant);
    for (size_t i = 0; i < arranged.count; i++)
        stage_say(arranged.fds[i], "wait none");
    stage_wait_page(stage, jobs, arranged.count + 1);
}

void provoke_after_busy(struct stage *stage, const char *variant)
{
    (void)variant;
    crowd_is_echoed(stage, &arranged, lines_of(&arranged));
    stage_assert_alive(stage);
    stage_go(stage);
    for (size_t i = 0; i < arranged.count; i++)
        stage_expect_line(stage, arranged.fds[i], "did none");
    crowd_close(&arranged);
}

/* ---- row 61: the sum of all buffers ------------------------------------------------------ */

enum { EACH = 3000000, SUM_KIB = 32 * 1024, SLACK_KIB = 16 * 1024 };

static const char held_most[] = "closed: held most, all clients together beyond "
                                "limits.buffer_bytes (33554432)";

/* A request that goes on for so many bytes; the daemon may close it meanwhile. */
static void send_part(int fd, size_t size)
{
    static char letters[EACH];

    memset(letters, 'x', size);
    for (ssize_t sent = 0; size > 0 && sent >= 0; size -= sent > 0 ? (size_t)sent : 0)
        sent = send(fd, letters, size, MSG_NOSIGNAL);
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

/* Some are there, with three quarters of it. */
void arrange_sums(struct stage *stage, const char *variant)
{
    arranged = crowd_make(stage->endpoint, 6);
    for (size_t i = 0; i < arranged.count; i++)
        take_memory(arranged.fds[i], variant);
    stage_assert_alive(stage);
    cr_assert_eq(stage_page(stage, "faulty").clients_cut, 0, "%s", process_stderr(stage->rpd));
}

/* The bound holds, and who is left goes when the client does. */
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
