/* Requests, as they come: RESP arrays of bulk strings, and inline commands.
 *
 * The parser is given what has come of a request, from its first byte, again and
 * again until the request is whole; it goes on where it was, so that a request in
 * a million pieces costs no more than one. It copies nothing (but inline commands,
 * whose quotes have to be taken off), and allocates for what has come, never for
 * what was announced. Errors are Redis's, word for word. */
#ifndef KV_RESP_H
#define KV_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RESP_ARGUMENTS_MAX = 1024 * 1024,
    RESP_LINE_MAX = 64 * 1024,
    RESP_ERROR_SIZE = 128,
    /* Of a client that has not authenticated: */
    RESP_STRANGER_ARGUMENTS = 10,
    RESP_STRANGER_BULK = 16384
};

struct resp_arg {
    uint32_t at, size;
};

/* Zeroed, it is one that has seen nothing. */
struct resp_parser {
    struct resp_arg *args;
    uint32_t room, count; /* of args */
    uint32_t wanted;      /* arguments that are still to come */
    uint32_t bulk;        /* the size of the one that is coming */
    bool in_bulk;
    bool in_array;
    size_t at; /* so much of the request is understood */
    char *line;
    size_t line_room; /* of line */
};

struct resp_limits {
    uint32_t bulk_max;    /* bytes of an argument */
    uint32_t request_max; /* bytes of a request; below 4 GiB */
    uint32_t at_once;     /* arguments that one call reads at most; 0: any number */
    bool is_stranger;
};

enum resp_result {
    RESP_MORE,
    RESP_REQUEST,
    RESP_ERROR,
    RESP_LATER /* at_once was read: call again with the same */
};

struct resp_request {
    const char *base; /* arguments are at base + args[i].at */
    const struct resp_arg *args;
    uint32_t count;              /* 0: there is nothing to do or to answer */
    size_t size;                 /* of the request in the input */
    char error[RESP_ERROR_SIZE]; /* "Protocol error: ...", or "" for no memory */
};

/* data: the request from its first byte on. With RESP_REQUEST and RESP_ERROR,
 * ret_request is filled in and the parser begins anew; what it points to is valid until the next
 * call, and as long as data is. */
enum resp_result resp_parse(struct resp_parser *parser, const struct resp_limits *limits,
                            const char *data, size_t size, struct resp_request *ret_request);

/* What was seen of a request is forgotten: it will be given again. */
void resp_reset(struct resp_parser *parser);

/* Between two requests, large memory that the last one needed is freed: a client that does nothing
 * costs nothing. */
void resp_rest(struct resp_parser *parser);

void resp_finish(struct resp_parser *parser);

#endif
