/* Random requests for both kv and Redis. */
#ifndef TESTS_KV_REQUESTS_H
#define TESTS_KV_REQUESTS_H

#include <stddef.h>
#include <stdint.h>

enum answer_kind {
    ANSWER_SAME,
    ANSWER_SECONDS,      /* a time to live: may differ by a second */
    ANSWER_MILLISECONDS, /* may differ by 2 s */
    ANSWER_ANY_ORDER,    /* an array whose elements may come in any order */
    ANSWER_ONE_OF,       /* a key, or null in both */
    ANSWER_LOOSE         /* of the same type */
};

enum { REQUEST_SIZE = 65536 };

struct request {
    char data[REQUEST_SIZE];
    size_t size;
    enum answer_kind kind;
    int expires_soon; /* a key is about to expire: nothing may be sent until it has */
};

void requests_seed(uint64_t seed);
uint64_t requests_random(uint64_t below);

void request_make(struct request *request);

/* Makes a request of these words, for requests that are not random. */
void request_of(struct request *request, enum answer_kind kind, const char *const *words);

#endif
