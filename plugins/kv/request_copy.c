/* See request_copy.h. */
#include "request_copy.h"

#include <stdlib.h>
#include <string.h>

static struct resp_arg *take_args(const struct call *call, struct resp_parser *parser)
{
    const size_t size = call->argc * sizeof(struct resp_arg);
    struct resp_arg *args;

    if (parser && call->args == parser->args) {
        args = parser->args;
        parser->args = NULL;
        parser->room = parser->count = 0;
        return args;
    }
    args = malloc(size);
    if (args)
        memcpy(args, call->args, size);
    return args;
}

/* As far as the last argument goes. */
static size_t extent(const struct call *call)
{
    const struct resp_arg *last = &call->args[call->argc - 1];

    return (size_t)last->at + last->size;
}

struct request_copy *request_copy_make(struct heap *heap, const struct call *call,
                                       struct resp_parser *parser)
{
    struct request_copy *copy = calloc(1, sizeof *copy);

    if (!copy)
        return NULL;
    copy->heap = heap;
    copy->size = extent(call);
    copy->data = heap_alloc(heap, copy->size);
    copy->argc = call->argc;
    copy->command = call->command;
    copy->hash = call->hash;
    copy->args = copy->data ? take_args(call, parser) : NULL;
    if (copy->args)
        return copy;
    request_copy_free(copy);
    return NULL;
}

bool request_copy_go_on(struct request_copy *copy, const char *base, size_t bytes)
{
    const size_t left = copy->size - copy->done;
    const size_t piece = bytes < left ? bytes : left;

    memcpy(copy->data + copy->done, base + copy->done, piece);
    copy->done += piece;
    return copy->done == copy->size;
}

void request_copy_use(const struct request_copy *copy, struct call *call)
{
    call->command = copy->command;
    call->argc = copy->argc;
    call->args = copy->args;
    call->base = copy->data;
    call->hash = copy->hash;
}

void request_copy_free(struct request_copy *copy)
{
    if (!copy)
        return;
    if (copy->data)
        heap_free(copy->heap, copy->data, copy->size);
    free(copy->args);
    free(copy);
}
