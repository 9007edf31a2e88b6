/* Checks of answers that come later, and of what goes with them: many requests at once, jobs and
 * kept connections whose client has left, and calls that the backend may not make. */
#include "rpdctl/check/checks.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    ANSWER_MS = 3000,
    STALL_MS = 100,
    LEFT_MS = 4000,
    CLOSED_MS = 50,
    MANY = 2000,
    QUICK_MANY = 300,
    MANY_BYTES = 1024 * 1024,
    LEAVERS = 20,
    ENDERS = 4
};

#define SKIP_WITHOUT_PROBE(kit)                                                                    \
    if (!(kit)->request)                                                                           \
    return kit_skipped(kit, "it has no .probe")

/* ---- many at once ------------------------------------------------------------------------ */

/* How often the beginning of the answer has come. What of it is at the end of the last bytes is the
 * beginning of the next. */
struct counted {
    size_t answers, begun;
    bool ended;
};

static void count_answers(const struct kit *kit, struct counted *counted, const char *bytes,
                          size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != kit->reply[counted->begun])
            counted->begun = bytes[i] == kit->reply[0];
        else
            counted->begun++;
        if (counted->begun < kit->reply_size)
            continue;
        counted->answers++;
        counted->begun = 0;
    }
}

static void read_some(const struct kit *kit, int fd, struct counted *counted)
{
    char bytes[16384];
    const ssize_t got = recv(fd, bytes, sizeof bytes, 0);

    if (got > 0)
        count_answers(kit, counted, bytes, (size_t)got);
    else if (got == 0 || errno != EAGAIN)
        counted->ended = true;
}

/* Sends as much as is taken, and reads only once that has stalled. */
static void exchange(const struct kit *kit, int fd, const char *bytes, size_t size, size_t count,
                     struct counted *counted)
{
    bool reads = false;

    while (counted->answers < count && !counted->ended) {
        struct pollfd ready = {.fd = fd,
                               .events = (short)((size > 0 ? POLLOUT : 0) | (reads ? POLLIN : 0))};
        const int polled = size > 0 || reads ? poll(&ready, 1, reads ? ANSWER_MS : STALL_MS) : 0;
        const ssize_t sent = ready.revents & POLLOUT ? send(fd, bytes, size, MSG_NOSIGNAL) : 0;

        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        }
        if (ready.revents & (POLLIN | POLLHUP | POLLERR))
            read_some(kit, fd, counted);
        if (polled <= 0 && reads)
            return;
        reads |= polled <= 0;
    }
}

/* As many requests, one behind the other. To be freed. */
static char *repeat_request(const struct kit *kit, size_t count)
{
    char *bytes = malloc(count * kit->request_size);

    for (size_t i = 0; bytes && i < count; i++)
        memcpy(bytes + i * kit->request_size, kit->request, kit->request_size);
    return bytes;
}

/* A backend may close a client after an answer, or answer the second request otherwise. */
static bool answers_twice(struct stage *stage)
{
    const int fd = client_open(stage);
    char bytes[4096];
    bool ended;

    if (fd < 0 || !client_asks(stage, fd) || !client_is_answered(stage, fd, ANSWER_MS))
        return false;
    client_reads(fd, bytes, sizeof bytes, CLOSED_MS, &ended);
    return !ended && client_asks(stage, fd) && client_is_answered(stage, fd, ANSWER_MS);
}

static enum verdict check_many(struct kit *kit)
{
    size_t count = kit->quick ? QUICK_MANY : MANY;
    struct counted counted = {0};
    struct stage *stage;
    char *bytes;
    int fd;

    SKIP_WITHOUT_PROBE(kit);
    if (kit->reply_size == 0)
        return kit_skipped(kit, "its .probe names no answer");
    if (count > MANY_BYTES / kit->request_size)
        count = MANY_BYTES / kit->request_size + 1;
    stage = stage_start_ready(kit);
    if (!stage || !stage_answers(stage))
        return FAILED;
    if (!answers_twice(stage))
        return stage_lives(stage) ? kit_skipped(kit, "it answers the probe once a client") : FAILED;
    fd = client_open(stage);
    bytes = fd < 0 ? NULL : repeat_request(kit, count);
    if (!bytes)
        return FAILED;
    exchange(kit, fd, bytes, count * kit->request_size, count, &counted);
    free(bytes);
    if (counted.answers < count && stage_lives(stage))
        kit_failed(kit,
                   "%zu of %zu requests that one client sent in one go were answered%s; take all "
                   "that the input has, each time that on_data is called",
                   counted.answers, count, counted.ended ? ", then it was closed" : "");
    if (counted.answers < count || !stage_answers(stage))
        return FAILED;
    return kit_passed(kit, "%zu of them", count);
}

/* ---- answers without a client ---------------------------------------------------------------- */

/* Some leave, with their request seen or not; some end their input first. */
static bool leave_unanswered(struct stage *stage)
{
    struct kit *kit = stage->kit;

    for (int i = 0; i < LEAVERS; i++) {
        const int fd = client_open(stage);

        if (fd < 0 || !client_asks(stage, fd))
            return false;
        if (i < ENDERS)
            shutdown(fd, SHUT_WR);
        if (i % 2)
            kit_sleep_ms(5);
        client_close(kit, fd);
    }
    return true;
}

static enum verdict check_abandoned(struct kit *kit)
{
    struct stage *stage;
    struct rpd_state_page before = {0}, page = {0};
    uint64_t end_us;

    SKIP_WITHOUT_PROBE(kit);
    stage = stage_start_ready(kit);
    if (!stage || !stage_answers(stage) || !stage_page(stage, &before) || !leave_unanswered(stage))
        return FAILED;
    end_us = clock_us() + LEFT_MS * UINT64_C(1000);
    do
        if (stage_page(stage, &page) && page.turns > before.turns + 1 && page.jobs <= before.jobs &&
            page.clients_active == 0)
            return stage_answers(stage) ? kit_passed(kit, "%d of them", LEAVERS) : FAILED;
    while (stage_looks_again(stage, end_us));
    if (!stage_lives(stage))
        return FAILED;
    if (page.jobs > before.jobs)
        return kit_failed(kit,
                          "%llu jobs still run %d s after their clients left; return when "
                          "rpd_job_cancelled() says so",
                          (unsigned long long)(page.jobs - before.jobs), LEFT_MS / 1000);
    return kit_failed(kit,
                      "%llu of %d clients are still there %d s after they left; release a "
                      "connection that was kept, and read its input, until it is closed",
                      (unsigned long long)page.clients_active, LEAVERS, LEFT_MS / 1000);
}

/* ---- calls --------------------------------------------------------------------------------------
 */

/* The line of the log that names a breach of the plugin's, or NULL. */
static const char *find_offence(char *log)
{
    static const char *const words[] = {
        "only the loop's thread may call it", "releases a connection that it does not keep",
        "called pthread_exit() on a worker",  "forked a child that returned to rpd",
        "put back: these are rpd's",          "a plugin must close only what it has opened",
        "a file cannot be sent to the end",
    };
    char *rest = NULL;

    for (char *line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strstr(line, words[i]))
                return line;
    return NULL;
}

/* rpd goes on after such a call if it can, and says so in its log alone. */
static enum verdict check_calls(struct kit *kit)
{
    struct stage *stage = stage_start_ready(kit);
    const char *offence;
    char *log;

    if (!stage || !stage_answers(stage) || !leave_unanswered(stage) || !stage_answers(stage) ||
        !stage_stops(stage))
        return FAILED;
    log = stage_log(stage);
    if (!log)
        return FAILED;
    offence = find_offence(log);
    if (offence)
        kit_failed(kit, "%s", offence);
    free(log);
    return offence ? FAILED : kit_passes(kit);
}

const struct check checks_of_answers[] = {
    {"answer.many", "many requests of one client in one go", check_many, true},
    {"answer.abandoned", "jobs and clients end when the client has left", check_abandoned, true},
    {"answer.calls", "it calls nothing where it may not", check_calls, true},
    {0},
};
