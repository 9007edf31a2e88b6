/* One client that asks, waits for the answer, pauses, and asks again; and how
 * long its answers took. On the caller's thread, or on one of its own beside
 * what the caller does. */
#ifndef TESTS_BENCH_ASKER_H
#define TESTS_BENCH_ASKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASKER_LINE = 128 };

struct asker;

/* Connects. request: one line, with its newline. Ends in test_die() if nobody
 * is there. */
struct asker *asker_open(const char *endpoint, const char *request);
void asker_close(struct asker *asker);

/* Asks once. False where there was no answer: end of file, or an error. */
bool asker_ask(struct asker *asker, char ret_answer[ASKER_LINE]);

/* Asks every pause_us on a thread of its own, from now until asker_stop(), which
 * ends in test_die() if an answer did not come. */
void asker_start(struct asker *asker, long pause_us);
void asker_stop(struct asker *asker);

/* Of the answers that were waited for at any time between the two. */
struct latency {
    size_t count;
    double p50_ms, p99_ms, max_ms;
};
struct latency asker_latency(const struct asker *asker, int64_t from_ns, int64_t until_ns);
struct latency asker_latency_of_all(const struct asker *asker);

void sleep_us(long us);

#endif
