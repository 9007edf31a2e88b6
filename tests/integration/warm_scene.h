/* A daemon with tests/plugins/warm.c in it, whose load goes on when the test
 * opens a gate, and its state page. */
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

/* What of a start is not as usual. */
struct warm_start {
    const char *plugin;                  /* "warm" */
    const char *top, *service, *options; /* keys, each with a comma behind it */
    const char *listen_more;             /* of the unix endpoint, as in service */
    const char *manager;                 /* NOTIFY_SOCKET */
};

const char *or_none(const char *text);

/* The daemon is started, and may be anywhere. */
struct warm start_warm(const struct warm_start *start);

struct warm bound_warm(const struct warm_start *start);

void open_gate(const struct warm *warm, const char *name);

void make_ready(const struct warm *warm);

/* It has said nothing that it should not, and left nothing. */
void assert_clean(const struct warm *warm);

void end_warm(struct warm *warm);

/* It ends by itself. */
void end_warm_with(struct warm *warm, int code);

/* ---- the page ---------------------------------------------------------------- */

int64_t patience_ns(void);

struct rpd_state_page page_of(const struct warm *warm);

/* Stores to memory wake nobody: it is looked at again and again, as `page`. */
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

/* For times that are the point of a test, and for absences. */
void pass_ms(int ms);

/* ---- clients ------------------------------------------------------------------ */

int client_of(const char *endpoint);

void say(int fd, const char *text);

/* All that comes until the end; a reset is told, behind it. */
const char *rest_of(int fd);

const char *line_of(int fd);

#define assert_same(found, wanted, warm)                                                           \
    do {                                                                                           \
        const char *found_ = (found), *wanted_ = (wanted);                                         \
        cr_assert(strcmp(found_, wanted_) == 0, "\"%s\" instead of \"%s\"\n%s", found_, wanted_,   \
                  process_stderr((warm)->rpd));                                                    \
    } while (0)

/* Enough descriptors for thousands of clients. */
void raise_limit(void);

#endif
