/* rpdctl run to its end, and what it said; services by hand, for what no daemon does. */
#ifndef TESTS_INTEGRATION_RPDCTL_RUN_H
#define TESTS_INTEGRATION_RPDCTL_RUN_H

#include "base/proc.h"
#include "common.h"
#include "observe/state_view.h"

struct outcome {
    int code;
    const char *out, *err;
};

/* Longer than one deadline: a whole check, on a machine that does much else. */
struct outcome outcome_of(struct process *process);

struct outcome run_in(const char *directory, const char *const *argv, const char *const *env);

#define RPDCTL(...) run_in(NULL, ARGS("rpdctl", __VA_ARGS__), NULL)

/* With a run-time directory; begun only; or to its end. */
#define RPDCTL_START(run, ...)                                                                     \
    process_start(                                                                                 \
        &(struct process_options){.argv = ARGS("rpdctl", __VA_ARGS__), .runtime_dir = (run)})
#define RPDCTL_ON(run, ...) outcome_of(RPDCTL_START(run, __VA_ARGS__))

#define assert_code(outcome, wanted)                                                               \
    cr_assert_eq((outcome).code, (wanted), "exit code %d instead of %d:\n%s%s", (outcome).code,    \
                 (wanted), (outcome).out, (outcome).err)

#define assert_has(text, part)                                                                     \
    cr_assert_not_null(strstr((text), (part)), "no \"%s\" in:\n%s", (part), (text))

#define assert_has_not(text, part)                                                                 \
    cr_assert_null(strstr((text), (part)), "\"%s\" in:\n%s", (part), (text))

/* ---- services by hand ---------------------------------------------------------------- */

unsigned long long start_time_of(pid_t pid);

/* Locks SERVICE.lock, as the daemon would; closing the descriptor lets go of it. */
int hold_lock(const char *run, const char *service);

/* A page of a process of this boot, whose loop has just turned. */
struct rpd_state_page page_for(pid_t pid, enum rpd_phase phase);

/* Under its name only when it is whole. */
void put_file(const char *run, const char *name, const void *data, size_t size);

void put_page(const char *run, const char *service, const struct rpd_state_page *page);

void put_record(const char *run, const char *service, pid_t pid, const char *more);

void put_history(const char *run, const char *service, pid_t pid, unsigned long long start_time,
                 int code, const char *text);

/* ---- scenes --------------------------------------------------------------------------- */

const char *make_run(const char *dir);

/* One service, "demo", bound. */
#define START_DEMO(run, plugin, ...) start_demo(RPD_START(run, plugin, "-n", "demo", ##__VA_ARGS__))

struct process *start_demo(struct process *rpd);

/* Its page says so. Stores to memory wake nobody; and its log says it a moment before. */
void await_draining(const char *run, const char *service);

/* It sleeps on what it watches: an inotify descriptor, in poll(). */
void assert_waits(struct process *rpdctl);

#endif
