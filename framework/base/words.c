/* Words for numbers. See words.h. */
#include "base/words.h"

#include <rpd/state.h>

#include <stddef.h>

static const char *const phases[] = {
    [RPD_PHASE_STARTING] = "starting", [RPD_PHASE_WARMING] = "warming",
    [RPD_PHASE_READY] = "ready",       [RPD_PHASE_DRAINING] = "draining",
    [RPD_PHASE_STOPPING] = "stopping", [RPD_PHASE_STOPPED] = "stopped",
};

static const char *const part_states[] = {
    [RPD_PART_WAITING] = "waiting", [RPD_PART_LOADING] = "loading", [RPD_PART_STALLED] = "stalled",
    [RPD_PART_PAUSED] = "paused",   [RPD_PART_LOADED] = "loaded",   [RPD_PART_FAILED] = "failed",
};

const char *const words_of_warmup[] = {
    [RPD_WARMUP_HOLD] = "hold",      [RPD_WARMUP_SERVE] = "serve",
    [RPD_WARMUP_REFUSE] = "refuse",  [RPD_WARMUP_BACKLOG] = "backlog",
    [RPD_WARMUP_BACKLOG + 1] = NULL,
};

static const char *word_at(const char *const *words, size_t count, uint32_t at)
{
    return at < count && words[at] ? words[at] : "unknown";
}

const char *word_of_phase(uint32_t phase)
{
    return word_at(phases, sizeof phases / sizeof *phases, phase);
}

const char *word_of_part(uint32_t part_state)
{
    return word_at(part_states, sizeof part_states / sizeof *part_states, part_state);
}

const char *word_of_warmup(uint32_t warmup)
{
    return word_at(words_of_warmup, sizeof words_of_warmup / sizeof *words_of_warmup, warmup);
}
