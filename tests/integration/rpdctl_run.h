/* Runs rpdctl to its end, and keeps its output; and makes services by hand, in states that no
 * daemon produces. */
#ifndef TESTS_INTEGRATION_RPDCTL_RUN_H
#define TESTS_INTEGRATION_RPDCTL_RUN_H

#include "base/proc.h"
#include "common.h"
#include "observe/state_view.h"

struct outcome {
    int code;
    const char *out, *err;
};

/* Longer than one deadline: for a whole check on a busy machine. */
struct outcome outcome_of(struct process *process);

struct outcome run_in(const char *directory, const char *const *argv, const char *const *env);

#define RPDCTL(...) run_in(NULL, ARGS("rpdctl", __VA_ARGS__), NULL)

/* Runs rpdctl with a run-time directory; or only starts it. */
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

/* Locks SERVICE.lock, as the daemon would; closing the descriptor releases it. */
int hold_lock(const char *run, const char *service);

/* The page of a process of this boot whose loop has just turned. */
struct rpd_state_page page_for(pid_t pid, enum rpd_phase phase);

/* The page gets its name only when it is complete. */
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

/* Waits until the page has this phase. The page is read again and again, because stores to memory
 * send no event; the log line comes a moment before. */
void await_draining(const char *run, const char *service);

/* rpdctl sleeps on the files that it watches: an inotify descriptor, in poll(). */
void assert_waits(struct process *rpdctl);

#endif
