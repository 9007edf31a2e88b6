/* A daemon with tests/plugins/warm.c, whose load continues when the test opens a gate; and its
 * state page. */
#ifndef TESTS_INTEGRATION_WARM_SCENE_H
#define TESTS_INTEGRATION_WARM_SCENE_H

#include "common.h"
#include "observe/state_view.h"

#include <sys/resource.h>

#define NS_PER_MS INT64_C(1000000)

struct warm {
    const char *dir, *run, *gates, *path, *endpoint, *tcp;
    int run_fd;
    struct process *rpd;
};

/* What is unusual in a start. */
struct warm_start {
    const char *plugin;                  /* "warm" */
    const char *top, *service, *options; /* keys, each followed by a comma */
    const char *listen_more;             /* members of the unix endpoint, as in service */
    const char *manager;                 /* NOTIFY_SOCKET */
};

const char *or_none(const char *text);

/* Starts the daemon, which may be in any phase on return. */
struct warm start_warm(const struct warm_start *start);

struct warm bound_warm(const struct warm_start *start);

void open_gate(const struct warm *warm, const char *name);

void make_ready(const struct warm *warm);

/* The daemon has logged no error, and left no files. */
void assert_clean(const struct warm *warm);

void end_warm(struct warm *warm);

/* The daemon ends by itself. */
void end_warm_with(struct warm *warm, int code);

/* ---- the page ---------------------------------------------------------------- */

int64_t patience_ns(void);

struct rpd_state_page page_of(const struct warm *warm);

/* Reads the page into `page` again and again, because stores to memory send no event. */
#define wait_page(warm, condition)                                                                 \
    do {                                                                                           \
        const int64_t began_ = now_ns();                                                           \
        for (;;) {                                                                                 \
            const struct rpd_state_page page = page_of(warm);                                      \
            if (condition)                                                                         \
                break;                                                                             \
            cr_assert_lt(now_ns() - began_, patience_ns(), "never: %s\n%s", #condition,            \
                         process_stderr((warm)->rpd));                                             \
            poll(NULL, 0, 2);                                                                      \
        }                                                                                          \
    } while (0)

/* For elapsed times that a test is about, and for things that must not happen. */
void pass_ms(int ms);

/* ---- clients ------------------------------------------------------------------ */

int client_of(const char *endpoint);

void say(int fd, const char *text);

/* Everything that comes until the end; a reset is noted behind it. */
const char *rest_of(int fd);

const char *line_of(int fd);

#define assert_same(found, wanted, warm)                                                           \
    do {                                                                                           \
        const char *found_ = (found), *wanted_ = (wanted);                                         \
        cr_assert(strcmp(found_, wanted_) == 0, "\"%s\" instead of \"%s\"\n%s", found_, wanted_,   \
                  process_stderr((warm)->rpd));                                                    \
    } while (0)

/* Raises the limit of descriptors, for thousands of clients. */
void raise_limit(void);

#endif
