/* Checks of the end: drain, SIGTERM in each phase, and rounds of start and stop. */
#include "rpdctl/check/checks.h"

#include <signal.h>
#include <sys/wait.h>

enum { ANSWER_MS = 3000, END_MS = 5000, SOONEST_ROUNDS = 6, ROUNDS = 100, QUICK_ROUNDS = 10 };

/* A client that has asked is answered, then all are closed. */
static enum verdict check_drain(struct kit *kit)
{
    struct stage *stage = stage_start_ready(kit);
    int idle = -1, asking;
    char byte;
    bool ended;

    if (!stage || (idle = client_open(stage)) < 0 || (asking = client_open(stage)) < 0)
        return FAILED;
    if (!client_asks(stage, asking))
        return FAILED;
    stage_signal(stage, SIGTERM);
    if (!client_is_answered(stage, asking, ANSWER_MS))
        return FAILED;
    if (!stage_ends(stage, 0, END_MS))
        return FAILED;
    if (client_reads(idle, &byte, 1, ANSWER_MS, &ended) == 0 && !ended)
        return kit_failed(kit, "an idle client was not closed");
    return kit->request ? kit_passed(kit, "the request in flight was answered") : kit_passes(kit);
}

/* Before the handlers are there the signal itself may end it. */
static enum verdict check_term_starting(struct kit *kit)
{
    for (unsigned ms = 0; ms < SOONEST_ROUNDS; ms++) {
        struct stage *stage = stage_start(kit, &(const struct stage_options){0});

        if (!stage)
            return FAILED;
        kit_sleep_ms(ms); /* wherever that is */
        stage_signal(stage, SIGTERM);
        if (!stage_ends(stage, 0, END_MS) &&
            !(stage->pid == 0 && WIFSIGNALED(stage->status) && WTERMSIG(stage->status) == SIGTERM &&
              stage_leaves_nothing(stage)))
            return FAILED;
        kit_clear(kit);
    }
    return kit_passes(kit);
}

static enum verdict check_term_bound(struct kit *kit)
{
    struct stage *stage = stage_start(kit, &(const struct stage_options){0});

    return stage && stage_is_bound(stage) && stage_stops(stage) ? kit_passes(kit) : FAILED;
}

static enum verdict check_term_warming(struct kit *kit)
{
    struct stage *stage;

    if (!kit_has(kit, "load"))
        return kit_skipped(kit, "it has no load");
    stage = stage_start(kit, &(const struct stage_options){.wrap = "load-slow"});
    if (!stage || !stage_is_bound(stage) || client_open(stage) < 0)
        return FAILED;
    return stage_is_loading(stage) && stage_stops(stage) ? kit_passes(kit) : FAILED;
}

static enum verdict check_term_ready(struct kit *kit)
{
    struct stage *stage = stage_start_ready(kit);

    return stage && stage_stops(stage) ? kit_passes(kit) : FAILED;
}

static enum verdict check_term_draining(struct kit *kit)
{
    struct stage *stage = stage_start_ready(kit);

    if (!stage || client_open(stage) < 0)
        return FAILED;
    stage_signal(stage, SIGTERM);
    stage_reaches(stage, RPD_PHASE_DRAINING, END_MS); /* or it is at its end already */
    return stage_stops(stage) ? kit_passes(kit) : FAILED;
}

/* Whatever a round leaves in the directory of the run would be in the way of the next. */
static enum verdict check_rounds(struct kit *kit)
{
    const int rounds = kit->quick ? QUICK_ROUNDS : ROUNDS;

    for (int i = 0; i < rounds; i++) {
        struct stage *stage = stage_start_ready(kit);

        if (!stage || !stage_answers(stage) || !stage_stops(stage))
            return FAILED;
        kit_clear(kit);
    }
    return kit_passed(kit, "%d of them", rounds);
}

const struct check checks_of_end[] = {
    {"end.drain", "drain", check_drain, true},
    {"term.starting", "SIGTERM while it starts", check_term_starting, true},
    {"term.bound", "SIGTERM at BOUND", check_term_bound, true},
    {"term.warming", "SIGTERM while it loads", check_term_warming, true},
    {"term.ready", "SIGTERM at READY", check_term_ready, true},
    {"term.draining", "SIGTERM while it drains", check_term_draining, true},
    {"end.rounds", "rounds of start and stop", check_rounds, true},
    {0},
};
