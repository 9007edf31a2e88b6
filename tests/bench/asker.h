/* A client that asks, waits for the answer, pauses, and asks again, and measures how long the
 * answers took. It runs on the caller's thread, or on a thread of its own beside the caller's
 * work. */
#ifndef TESTS_BENCH_ASKER_H
#define TESTS_BENCH_ASKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASKER_LINE = 128 };

struct asker;

/* Connects. request: one line, with its newline. Ends in test_die() if no server listens there. */
struct asker *asker_open(const char *endpoint, const char *request);
void asker_close(struct asker *asker);

/* Asks once. False if there was no answer: end of file, or an error. */
bool asker_ask(struct asker *asker, char ret_answer[ASKER_LINE]);

/* Asks every pause_us on a thread of its own until asker_stop(), which ends in test_die() if an
 * answer did not come. */
void asker_start(struct asker *asker, long pause_us);
void asker_stop(struct asker *asker);

/* Counts the answers that were pending at any time between these two. */
struct latency {
    size_t count;
    double p50_ms, p99_ms, max_ms;
};
struct latency asker_latency(const struct asker *asker, int64_t from_ns, int64_t until_ns);
struct latency asker_latency_of_all(const struct asker *asker);

void sleep_us(long us);

#endif
