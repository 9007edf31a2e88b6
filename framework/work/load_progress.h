/* How far a run of a load has come, how fast it goes, and how long it will take.
 *
 * A run's worker writes done, total and unit straight into its part of the
 * state page, so that readers see it move even if the loop stands still; the
 * loop measures it a few times a second. Both sides touch the part by relaxed
 * atomics: each number is valid by itself. */
#ifndef FRAMEWORK_LOAD_PROGRESS_H
#define FRAMEWORK_LOAD_PROGRESS_H

#include <rpd/state.h>

/* What the loop knows of a run. */
struct load_meter {
    uint64_t done, total; /* when last measured */
    double rate;          /* units a second, smoothed */
    uint64_t quiet_us;    /* since it last moved */
};

/* [worker] */
void load_progress_report(struct rpd_state_part *part, uint64_t done, uint64_t total,
                          const char *unit);

/* [any] Copies the unit, with its NUL. */
void load_progress_unit(const struct rpd_state_part *part, char ret_unit[16]);

/* [loop] Before a run begins, for the first time or anew. */
void load_meter_reset(struct load_meter *meter, struct rpd_state_part *part);

/* [loop] Measures, and writes rate and ETA to the part. True if it has moved. */
bool load_meter_sample(struct load_meter *meter, struct rpd_state_part *part, uint64_t passed_us);

/* [loop] Notes that the run has moved, as the caller knows by other means. */
void load_meter_moved(struct load_meter *meter);

/* [loop] Whether the run has ever said how far it is. */
bool load_meter_has_reports(const struct load_meter *meter);

/* [loop] From 0 to 1; 0 if the total is not known. */
double load_progress_fraction(const struct rpd_state_part *part);

/* An average that follows in some seconds. */
double load_smooth(double average, double now, uint64_t passed_us);

#endif
