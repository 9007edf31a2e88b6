/* Loading. See load.h. */
#include "load.h"

#include <stdlib.h>
#include <sys/random.h>

static int make_seed(struct sip_key *seed)
{
    return getrandom(seed, sizeof *seed, 0) == sizeof *seed ? 0 : -1;
}

void *load_begin(struct rpd_load *load)
{
    struct kv *kv = calloc(1, sizeof *kv);
    struct sip_key seed;

    if (!kv)
        return rpd_load_fail(load, "out of memory; free some");
    if (make_seed(&seed) < 0) {
        free(kv);
        return rpd_load_fail(load, "no random bytes for the hash: getrandom failed");
    }
    store_init(&kv->store, seed);
    command_index_init(&kv->commands);
    TAILQ_INIT(&kv->held);
    TAILQ_INIT(&kv->trash);
    kv->started_us = kv_clock_monotonic_us();
    kv->last_save_s = kv_clock_wall_ms() / 1000;
    return kv;
}

void load_finished(struct kv *kv)
{
    (void)kv;
}

void load_unload(void *state)
{
    struct kv *kv = state;

    store_finish(&kv->store);
    free(kv);
}
