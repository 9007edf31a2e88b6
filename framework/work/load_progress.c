/* Progress of a load. See load_progress.h. */
#include "work/load_progress.h"

#include <string.h>

static const double follow_us = 3e6;

enum { UNIT_SIZE = sizeof((struct rpd_state_part *)NULL)->unit, WORDS = UNIT_SIZE / 8 };

/* The text is read and written as words. */
typedef uint64_t __attribute__((may_alias)) word;

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

/* A unit is two words, so that no reader finds half a character. */
static void store_unit(struct rpd_state_part *part, const char *unit)
{
    uint64_t words[WORDS] = {0};

    memcpy(words, unit, strnlen(unit, UNIT_SIZE - 1));
    for (int i = 0; i < WORDS; i++)
        STORE(((word *)(void *)part->unit)[i], words[i]);
}

void load_progress_unit(const struct rpd_state_part *part, char ret_unit[16])
{
    uint64_t words[WORDS] = {0};

    for (int i = 0; i < WORDS; i++)
        words[i] = LOAD(((const word *)(const void *)part->unit)[i]);
    memcpy(ret_unit, words, UNIT_SIZE);
    ret_unit[UNIT_SIZE - 1] = '\0';
}

void load_progress_report(struct rpd_state_part *part, uint64_t done, uint64_t total,
                          const char *unit)
{
    store_unit(part, unit ? unit : "");
    STORE(part->total, total);
    STORE(part->done, done);
}

void load_meter_reset(struct load_meter *meter, struct rpd_state_part *part)
{
    *meter = (struct load_meter){0};
    STORE(part->done, 0);
    STORE(part->total, 0);
    STORE(part->rate_per_1000s, 0);
    STORE(part->eta_ms, RPD_STATE_UNKNOWN);
}

double load_smooth(double average, double now, uint64_t passed_us)
{
    const double passed = (double)passed_us;

    return average == 0 ? now : average + (now - average) * passed / (passed + follow_us);
}

static uint64_t eta_ms(uint64_t done, uint64_t total, double rate)
{
    double left;

    if (total == 0 || rate <= 0)
        return RPD_STATE_UNKNOWN;
    left = done >= total ? 0 : (double)(total - done) / rate * 1000;
    return left < 1e15 ? (uint64_t)left : RPD_STATE_UNKNOWN;
}

bool load_meter_sample(struct load_meter *meter, struct rpd_state_part *part, uint64_t passed_us)
{
    const uint64_t done = LOAD(part->done), total = LOAD(part->total);
    const bool moved = done != meter->done || total != meter->total;

    if (passed_us > 0 && done >= meter->done)
        meter->rate = load_smooth(
            meter->rate, (double)(done - meter->done) * 1e6 / (double)passed_us, passed_us);
    meter->quiet_us = moved ? 0 : meter->quiet_us + passed_us;
    meter->done = done;
    meter->total = total;
    STORE(part->rate_per_1000s, (uint64_t)(meter->rate * 1000));
    STORE(part->eta_ms, eta_ms(done, total, meter->rate));
    return moved;
}

void load_meter_moved(struct load_meter *meter)
{
    meter->quiet_us = 0;
}

bool load_meter_has_reports(const struct load_meter *meter)
{
    return meter->done > 0 || meter->total > 0;
}

double load_progress_fraction(const struct rpd_state_part *part)
{
    const uint64_t done = LOAD(part->done), total = LOAD(part->total);

    if (LOAD(part->state) == RPD_PART_LOADED)
        return 1;
    if (total == 0)
        return 0;
    return done >= total ? 1 : (double)done / (double)total;
}
