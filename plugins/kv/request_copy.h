/* A copy of a request: for commands that go on when the input is gone. */
#ifndef KV_REQUEST_COPY_H
#define KV_REQUEST_COPY_H

#include "command.h"
#include "heap.h"

struct request_copy {
    struct heap *heap; /* that data is of */
    char *data;
    size_t size, done; /* bytes; done: are copied */
    struct resp_arg *args;
    uint32_t argc;
    const struct command *command;
    uint64_t hash;
    size_t consumes; /* of the input, when it is copied */
};

/* Makes one of the call's request, of which nothing is copied yet. The arguments are taken from
 * parser, where they are its. NULL: no memory. */
struct request_copy *request_copy_make(struct heap *heap, const struct call *call,
                                       struct resp_parser *parser);

/* Some bytes more. Whether that was all. base: of the request. */
bool request_copy_go_on(struct request_copy *copy, const char *base, size_t bytes);

/* The call's request is the copy from now on. */
void request_copy_use(const struct request_copy *copy, struct call *call);

void request_copy_free(struct request_copy *copy);

#endif
