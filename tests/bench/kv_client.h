/* A client of kv and of Redis, for measuring. */
#ifndef TESTS_BENCH_KV_CLIENT_H
#define TESTS_BENCH_KV_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

/* Sets key:000000000000 to the last, of 100 bytes each. */
void kv_client_fill(int fd, long keys);

/* Asks for one; how long that took, and whether it is still being loaded. */
int64_t kv_client_get(int fd, unsigned long number, bool *ret_loading);

bool kv_client_is_loaded(int fd);
void kv_client_await_loaded(int fd);

#endif
