/* Checks of load, and of clients that come before READY. The load is wrapped: see
 * rpdctl/check/daemon.c. */
#include "library/libjansson.h"
#include "rpdctl/check/checks.h"

#include "base/clock.h"

#include <signal.h>
#include <unistd.h>

enum { EARLY_MS = 150, ANSWER_MS = 3000, HEED_MS = 2000, TURN_MS = 3000 };

#define SKIP_WITHOUT_LOAD(kit)                                                                     \
    if (!kit_has(kit, "load"))                                                                     \
    return kit_skipped(kit, "it has no load")

/* A daemon whose load is slow, and a client that has asked already. */
static struct stage *start_early(struct kit *kit, const char *warmup, int *ret_client)
{
    struct stage *stage = stage_start(
        kit, &(const struct stage_options){.wrap = "load-slow", .warmup = warmup});

    if (!stage || !stage_is_bound(stage) || (*ret_client = client_open(stage)) < 0)
        return NULL;
    if (!client_asks(stage, *ret_client))
        return NULL;
    return stage;
}

/* Under hold and backlog: nothing before READY, the answer after it. */
static enum verdict check_waiting(struct kit *kit, const char *warmup)
{
    struct rpd_state_page page;
    struct stage *stage;
    char byte;
    bool ended;
    int fd;

    SKIP_WITHOUT_LOAD(kit);
    stage = start_early(kit, warmup, &fd);
    if (!stage)
        return FAILED;
    if (client_reads(fd, &byte, 1, EARLY_MS, &ended) > 0 || ended) {
        if (stage_page(stage, &page) && page.phase < RPD_PHASE_READY)
            return kit_failed(kit, "an early client was %s before READY",
                              ended ? "closed" : "sent something");
        return kit_skipped(kit, "READY came too soon for this machine");
    }
    if (!stage_is_ready(stage) || !client_is_answered(stage, fd, ANSWER_MS) ||
        !stage_answers(stage))
        return FAILED;
    return kit_passes(kit);
}

static enum verdict check_hold(struct kit *kit)
{
    return check_waiting(kit, "hold");
}

static enum verdict check_backlog(struct kit *kit)
{
    return check_waiting(kit, "backlog");
}

static enum verdict check_serve(struct kit *kit)
{
    struct stage *stage;
    char byte;
    bool ended;
    int fd;

    SKIP_WITHOUT_LOAD(kit);
    if (!json_is_true(json_object_get(kit->descriptor, "serves_without_state")))
        return kit_skipped(kit, "it does not serve without its state");
    stage = start_early(kit, "serve", &fd);
    if (!stage)
        return FAILED;
    client_reads(fd, &byte, 1, EARLY_MS, &ended); /* an answer without the state, maybe */
    if (!stage_is_ready(stage) || !stage_answers(stage))
        return FAILED;
    return kit_passes(kit);
}

static enum verdict check_refuse(struct kit *kit)
{
    struct stage *stage;
    char answer[4096];
    bool ended;
    size_t got;
    int fd;

    SKIP_WITHOUT_LOAD(kit);
    stage = start_early(kit, "refuse", &fd);
    if (!stage)
        return FAILED;
    got = client_reads(fd, answer, sizeof answer, HEED_MS, &ended);
    if (!ended)
        return kit_failed(kit, "an early client was not closed; on_busy only writes the answer");
    if (!stage_is_ready(stage) || !stage_answers(stage))
        return FAILED;
    return kit_passed(kit,
                      got > 0 ? "with a busy answer of %zu bytes"
                              : "closed (%zu bytes): on_busy would say why",
                      got);
}

/* The loop does so four times a second, beside the load. */
static bool has_turned(const struct rpd_state_page *page)
{
    return page->turns > 0;
}

static enum verdict check_slow(struct kit *kit)
{
    struct stage *stage;
    struct rpd_state_page page;
    uint64_t end_us;

    SKIP_WITHOUT_LOAD(kit);
    stage = stage_start(kit, &(const struct stage_options){.wrap = "load-slow"});
    if (!stage || !stage_is_bound(stage))
        return FAILED;
    end_us = clock_us() + TURN_MS * UINT64_C(1000);
    do
        if (!stage_page(stage, &page))
            return stage_lives(stage) ? kit_failed(kit, "it has no state page while it loads")
                                      : FAILED;
    while (!has_turned(&page) && page.phase < RPD_PHASE_READY && stage_looks_again(stage, end_us));
    if (!stage_lives(stage))
        return FAILED;
    if (page.phase >= RPD_PHASE_READY &&
        page.ready_us < page.bound_us + LOAD_SLOW_MS * UINT64_C(1000))
        return kit_failed(kit, "it is ready before its load has returned");
    if (!has_turned(&page) || page.latest_us > RPD_STATE_STALL_US)
        return kit_failed(kit, "the loop stands still while it loads; do not wait for load there");
    if (!stage_is_ready(stage) || !stage_answers(stage))
        return FAILED;
    return kit_passed(kit, "clients are served %.1f s after BOUND",
                      (double)(clock_us() - stage->bound_us) / 1e6);
}

static enum verdict check_cancelled(struct kit *kit)
{
    struct stage *stage;

    SKIP_WITHOUT_LOAD(kit);
    stage = stage_start(kit, &(const struct stage_options){.wrap = "load-cancelled"});
    if (!stage || !stage_is_bound(stage))
        return FAILED;
    if (!stage_is_loading(stage))
        return FAILED;
    stage_signal(stage, SIGTERM);
    if (!stage_ends(stage, 0, HEED_MS))
        return kit_failed(kit,
                          "a load that was cancelled kept rpd from ending within %d ms; look at "
                          "rpd_load_cancelled() every few milliseconds and return NULL",
                          HEED_MS);
    return kit_passes(kit);
}

static enum verdict check_failing(struct kit *kit)
{
    struct stage *stage;

    SKIP_WITHOUT_LOAD(kit);
    stage = stage_start(
        kit, &(const struct stage_options){.wrap = "load-fails", .on_load_failure = "exit"});
    if (!stage || !stage_ends(stage, EXIT_LOAD, ANSWER_MS + 20000))
        return FAILED;
    return kit_passed(kit, "exit code 69");
}

static enum verdict check_retried(struct kit *kit)
{
    struct stage *stage;

    SKIP_WITHOUT_LOAD(kit);
    stage = stage_start(
        kit, &(const struct stage_options){.wrap = "load-fails-once", .on_load_failure = "retry"});
    if (!stage || !stage_is_bound(stage) || !stage_is_ready(stage) || !stage_answers(stage) ||
        !stage_stops(stage))
        return FAILED;
    return kit_passes(kit);
}

const struct check checks_of_load[] = {
    {"warmup.hold", "early clients are held", check_hold, true},
    {"warmup.serve", "early clients are served without state", check_serve, true},
    {"warmup.refuse", "early clients get the busy answer", check_refuse, true},
    {"warmup.backlog", "early clients wait in the queue", check_backlog, true},
    {"load.slow", "a slow load", check_slow, true},
    {"load.cancelled", "a cancelled load", check_cancelled, true},
    {"load.failing", "a failing load", check_failing, true},
    {"load.retried", "a load that fails, and is tried again", check_retried, true},
    {0},
};
