/* Checks with clients as they are in the field: in pieces, in a hurry, in crowds. */
#include "rpdctl/check/checks.h"

#include "base/clock.h"

#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MS = 3000,
    SETTLE_MS = 3000,
    SEEN_MS = 20,
    USED_UP_MS = 200,
    HANG_UPS = 90,
    CROWD = 12,
    ROOM = 8, /* descriptors that the crowd finds; rpd lets the rest in a second later */
    APART = 8,
    CONNECTIONS = 2000,
    QUICK_CONNECTIONS = 300,
    MEMORY_KIB = 4096,
};

#define SKIP_WITHOUT_PROBE(kit)                                                                    \
    if (!(kit)->request)                                                                           \
    return kit_skipped(kit, "it has no .probe")

static enum verdict check_probe(struct kit *kit)
{
    struct stage *stage;

    SKIP_WITHOUT_PROBE(kit);
    stage = stage_start_ready(kit);
    return stage && stage_answers(stage) && stage_answers(stage) ? kit_passes(kit) : FAILED;
}

static enum verdict check_single_bytes(struct kit *kit)
{
    struct stage *stage;
    int fd;

    SKIP_WITHOUT_PROBE(kit);
    stage = stage_start_ready(kit);
    fd = stage ? client_open(stage) : -1;
    if (fd < 0)
        return FAILED;
    for (size_t i = 0; i < kit->request_size; i++) {
        if (!client_sends(stage, fd, kit->request + i, 1))
            return FAILED;
        kit_sleep_ms(1); /* so that most are seen alone */
    }
    if (!client_is_answered(stage, fd, ANSWER_MS) || !stage_lives(stage)) {
        char why[KIT_TEXT_MAX / 2];

        snprintf(why, sizeof why, "%.*s", (int)sizeof why - 1, kit->text);
        return kit_failed(kit,
                          "a request that came byte by byte: %s; leave in the input what is no "
                          "whole request yet",
                          why);
    }
    return kit_passes(kit);
}

/* A client that has said all it will say is still owed its answer. */
static enum verdict check_half_close(struct kit *kit)
{
    struct stage *stage;
    int fd;

    SKIP_WITHOUT_PROBE(kit);
    if (!kit_has(kit, "on_data"))
        return kit_skipped(kit, "it reads its clients itself");
    stage = stage_start_ready(kit);
    fd = stage ? client_open(stage) : -1;
    if (fd < 0 || !client_sends(stage, fd, kit->request, kit->request_size))
        return FAILED;
    shutdown(fd, SHUT_WR);
    if (!client_is_answered(stage, fd, ANSWER_MS) || !stage_lives(stage)) {
        char why[KIT_TEXT_MAX / 2];

        snprintf(why, sizeof why, "%.*s", (int)sizeof why - 1, kit->text);
        return kit_failed(kit,
                          "a client that ended its input after its request: %s; rpd_conn_keep() it "
                          "while it is owed an answer, or answer by rpd_conn_job()",
                          why);
    }
    return kit_passes(kit);
}

/* The number of descriptors goes back to what it was. */
static bool settles(struct stage *stage, int before)
{
    const uint64_t end_us = clock_us() + SETTLE_MS * UINT64_C(1000);
    int now, highest;

    do {
        now = stage_descriptors(stage, &highest);
        if (now > 0 && now <= before) /* None at all: it is just dying. */
            return true;
    } while (stage_looks_again(stage, end_us));
    if (!stage_lives(stage))
        return false;
    kit_failed(stage->kit,
               "%d descriptors are open %d s after the last client left, %d before "
               "the first came; close what belongs to a client in on_close",
               now, SETTLE_MS / 1000, before);
    return false;
}

/* How clients leave: without a word, within a request, or before they have read the
 * answer; unseen, or once what they sent was read (an answer unread is then a reset). */
enum hang_up { SILENT, WITHIN_REQUEST, BEFORE_ANSWER, HANG_UP_KINDS };

/* Until the daemon has read what the client sent, or has answered. Of a silent one
 * no event reports. */
static void wait_until_seen(struct stage *stage, int fd, enum hang_up kind)
{
    const uint64_t end_us = clock_us() + SEEN_MS * UINT64_C(1000);
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    int unread = 0;

    if (kind == BEFORE_ANSWER) {
        poll(&answer, 1, SEEN_MS);
        return;
    }
    while (stage_looks_again(stage, end_us) && ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0)
        continue;
}

static bool hang_up(struct stage *stage, enum hang_up kind, bool is_seen)
{
    struct kit *kit = stage->kit;
    const size_t sizes[] = {0, kit->request_size / 2, kit->request_size};
    const int fd = client_open(stage);

    if (fd < 0)
        return false;
    if (sizes[kind] > 0)
        (void)!send(fd, kit->request, sizes[kind], MSG_NOSIGNAL);
    if (is_seen)
        wait_until_seen(stage, fd, sizes[kind] > 0 ? kind : SILENT);
    client_close(kit, fd);
    return true;
}

static enum verdict check_hang_ups(struct kit *kit)
{
    struct stage *stage = stage_start_ready(kit);
    int before, highest;

    if (!stage || !stage_answers(stage))
        return FAILED;
    /* A client that has just left may still be counted: a leak is more than one. */
    before = stage_descriptors(stage, &highest);
    for (int i = 0; i < HANG_UPS; i++)
        if (!hang_up(stage, (enum hang_up)(i % HANG_UP_KINDS), i % 2))
            return FAILED;
    if (!stage_answers(stage) || !settles(stage, before) || !stage_lives(stage))
        return FAILED;
    return kit_passed(kit, "%d of them", HANG_UPS);
}

/* What was a client's is not used for another: silent clients, with the descriptors of
 * those before them, get what all silent ones get. */
static enum verdict check_apart(struct kit *kit)
{
    struct stage *stage;
    int silent[APART];
    char bytes[512], first[512];
    size_t first_size = 0;
    bool ended;

    SKIP_WITHOUT_PROBE(kit);
    stage = stage_start_ready(kit);
    if (!stage || (silent[0] = client_open(stage)) < 0)
        return FAILED;
    first_size = client_reads(silent[0], first, sizeof first, 50, &ended); /* a greeting? */
    for (int i = 1; i < APART; i++)
        if (!stage_answers(stage))
            return FAILED;
    for (int i = 1; i < APART; i++)
        if ((silent[i] = client_open(stage)) < 0)
            return FAILED;
    if (!stage_answers(stage) || !stage_answers(stage))
        return FAILED;
    for (int i = 1; i < APART; i++) {
        const size_t size = client_reads(silent[i], bytes, sizeof bytes, 20, &ended);

        if (size != first_size || memcmp(bytes, first, size) != 0)
            return kit_failed(kit, "a silent client was sent what was another's; after on_close "
                                   "nothing is written to that client's descriptor");
    }
    return kit_passes(kit);
}

static enum verdict check_connections(struct kit *kit)
{
    const int count = kit->quick ? QUICK_CONNECTIONS : CONNECTIONS;
    struct stage *stage = stage_start_ready(kit);
    int before, highest;
    long memory;

    for (int i = 0; i < count / 4 && stage; i++) /* what is allocated once */
        if (!stage_answers(stage))
            return FAILED;
    if (!stage)
        return FAILED;
    before = stage_descriptors(stage, &highest);
    memory = stage_memory_kib(stage);
    for (int i = 0; i < count; i++)
        if (!stage_answers(stage))
            return FAILED;
    if (!settles(stage, before + 2)) /* a leak is one for each */
        return FAILED;
    memory = stage_memory_kib(stage) - memory;
    if (memory > MEMORY_KIB)
        return kit_failed(kit,
                          "%d connections took %ld KiB of memory for good; free what belongs to "
                          "a client in on_close",
                          count, memory);
    return kit_passed(kit, "%d of them: %ld KiB", count, memory > 0 ? memory : 0);
}

/* No descriptor below the limit is free any more. Where a backend closes clients that
 * it cannot serve, that may never be. */
static void use_up(struct stage *stage, const struct rlimit *limit)
{
    const uint64_t end_us = clock_us() + USED_UP_MS * UINT64_C(1000);
    int highest;

    prlimit(stage->pid, RLIMIT_NOFILE, limit, NULL);
    while (stage_descriptors(stage, &highest) < (int)limit->rlim_cur &&
           stage_looks_again(stage, end_us))
        continue;
}

static enum verdict check_no_descriptors(struct kit *kit)
{
    struct stage *stage = stage_start_ready(kit);
    struct rlimit limit;
    int highest, clients[CROWD];

    if (!stage || !stage_answers(stage) || stage_descriptors(stage, &highest) < 0 ||
        prlimit(stage->pid, RLIMIT_NOFILE, NULL, &limit) < 0)
        return FAILED;
    limit.rlim_cur = (rlim_t)highest + 1 + ROOM;
    prlimit(stage->pid, RLIMIT_NOFILE, &limit, NULL);
    for (int i = 0; i < CROWD; i++) {
        clients[i] = client_open(stage);
        if (clients[i] < 0 || !client_asks(stage, clients[i]))
            return FAILED;
    }
    use_up(stage, &limit);
    limit.rlim_cur++; /* for a client that finds none for what is opened besides */
    use_up(stage, &limit);
    if (!stage_lives(stage))
        return FAILED;
    for (int i = 0; i < CROWD; i++)
        client_close(kit, clients[i]);
    if (!stage_answers(stage))
        return FAILED;
    return kit_passes(kit);
}

const struct check checks_of_clients[] = {
    {"client.probe", "the probe is answered", check_probe, true},
    {"client.bytes", "1-byte writes", check_single_bytes, true},
    {"client.half", "a client that ends its input is answered", check_half_close, true},
    {"client.hangups", "early hang-ups", check_hang_ups, true},
    {"client.apart", "clients get only what is theirs", check_apart, true},
    {"client.leaks", "connections leak neither descriptors nor memory", check_connections, true},
    {"client.emfile", "no descriptors left (EMFILE)", check_no_descriptors, true},
    {0},
};
