/* A client of kv and of Redis, for measuring. */
#ifndef TESTS_BENCH_KV_CLIENT_H
#define TESTS_BENCH_KV_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

/* Sets all keys from key:000000000000 on, with 100 bytes each. */
void kv_client_fill(int fd, long keys);

/* Asks for one key: how long the answer took, and whether the key is still being loaded. */
int64_t kv_client_get(int fd, unsigned long number, bool *ret_loading);

bool kv_client_is_loaded(int fd);
void kv_client_await_loaded(int fd);

#endif
