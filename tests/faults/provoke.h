/* Provokes the faults of the table. Each function is called on a stage that has reached its phase.
 * Functions named arrange_... are called earlier, while the daemon still serves, just before it is
 * told to stop. variant: one of the variants of the cell. Checks that belong to one fault are made
 * here; checks that many faults share are made by the expectation of the cell. */
#ifndef TESTS_FAULTS_PROVOKE_H
#define TESTS_FAULTS_PROVOKE_H

#include "stage.h"

typedef void provoke_fn(struct stage *stage, const char *variant);

/* ---- provoke_ends.c: rows 1 to 7, 28, 30, 31 ---- */
provoke_fn arrange_kill, provoke_kill;
provoke_fn arrange_crash, provoke_crash;
provoke_fn provoke_hung_load, provoke_stall, provoke_forced_end;
provoke_fn provoke_deadlocked_job, arrange_deadlocked_job;
provoke_fn provoke_sigterm, provoke_second_sigint;
provoke_fn provoke_harmless_signals, provoke_sigstop;

/* ---- provoke_system.c: rows 14, 15, 17, 26, 27, 42 ---- */
provoke_fn provoke_emfile_in_load, provoke_emfile, arrange_emfile, provoke_after_emfile;
provoke_fn provoke_accept_error, arrange_accept_error;
provoke_fn provoke_accept_hiccup, arrange_accept_hiccup, provoke_after_hiccup;
provoke_fn provoke_missing_file, arrange_missing_file, provoke_after_missing_file;
provoke_fn provoke_hung_load_of_file, provoke_hung_disk, arrange_hung_disk;
provoke_fn provoke_slow_disk, arrange_slow_disk;
provoke_fn provoke_flood, arrange_flood, provoke_after_flood;

provoke_fn provoke_names;

/* ---- provoke_clients.c: rows 33 to 40 ---- */
provoke_fn provoke_full_backlog, arrange_full_backlog, provoke_after_full_backlog;
provoke_fn provoke_slow_senders, arrange_slow_senders, provoke_after_slow_senders;
provoke_fn provoke_half_close, arrange_half_close, provoke_after_half_close;
provoke_fn provoke_reset, arrange_reset, provoke_after_reset;
provoke_fn provoke_splits;
provoke_fn provoke_never_reading, arrange_never_reading, provoke_after_never_reading;
provoke_fn provoke_idle_crowd, arrange_idle_crowd, provoke_after_idle_crowd;

/* ---- provoke_load.c: rows 60 and 61 ---- */
provoke_fn provoke_busy, arrange_busy, provoke_after_busy;
provoke_fn provoke_sums, arrange_sums, provoke_after_sums;

/* ---- provoke_offences.c: rows 64 and 66 ---- */
provoke_fn provoke_offence, arrange_offence;
provoke_fn provoke_log;
provoke_fn provoke_closing, provoke_fatal_closing;
/* ---- provoke_files.c: rows 54 and 63 ---- */
provoke_fn provoke_lost_directory, provoke_mounts, provoke_held_state;
/* ---- provoke_places.c: rows 55 to 57 ---- */
provoke_fn provoke_forgery, provoke_elsewhere, provoke_denied;
/* ---- provoke_manager.c: row 65 ---- */
provoke_fn provoke_slow_manager, provoke_watchdog;
provoke_fn arrange_slow_manager, provoke_after_slow_manager;

/* ---- shared ---- */

/* The signal that an act of plugins/faulty.c ends in. */
int signal_of_act(const char *variant);

/* The last word of a variant. */
const char *last_word(const char *variant);

/* A crowd of clients, used in turn: they live until the test ends. */
struct crowd {
    int *fds;
    size_t count;
};

struct crowd crowd_make(const char *endpoint, size_t count);
void crowd_close(struct crowd *crowd);

/* How many clients, as far as descriptors allow. */
size_t crowd_size(size_t few, size_t in_long_form);

/* The witness's p99 now, and its limit while a fault is present. The long form judges the time
 * strictly; the short form only roughly, because other tests run beside it. */
double measure_p99_ms(struct stage *stage);
void assert_p99_is_near(struct stage *stage, double normal_ms);

#endif
