/* The parser of requests. See resp.h. */
#include "resp.h"

#include "number.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 4, KEPT_ROOM = 64 };

static enum resp_result fail(struct resp_request *request, const char *error)
{
    snprintf(request->error, sizeof request->error, "%s", error);
    return RESP_ERROR;
}

/* Room for one more argument. */
static int make_room(struct resp_parser *parser)
{
    const uint32_t room = parser->room ? parser->room * 2 : FIRST_ROOM;
    struct resp_arg *args;

    if (parser->count < parser->room)
        return 0;
    args = realloc(parser->args, room * sizeof *args);
    if (!args)
        return -1;
    parser->args = args;
    parser->room = room;
    return 0;
}

static int add_argument(struct resp_parser *parser, size_t at, size_t size)
{
    if (make_room(parser) < 0)
        return -1;
    parser->args[parser->count++] = (struct resp_arg){(uint32_t)at, (uint32_t)size};
    return 0;
}

/* ---- arrays ---------------------------------------------------------------- */

/* The number in the line at parser->at, behind its first byte. RESP_REQUEST: there it
 * is, and the parser is behind the line. As in Redis, the byte behind the '\r' is
 * taken for a '\n'. ret_ok: it is a number. */
static enum resp_result read_count(struct resp_parser *parser, const char *data, size_t size,
                                   int64_t *ret_count, bool *ret_ok)
{
    const char *line = data + parser->at;
    const size_t left = size - parser->at;
    const char *end;
    size_t length = 0;

    /* Nearly all are of a digit or a few. */
    while (length < left && length < 24 && line[length] != '\r')
        length++;
    end = length < left && line[length] == '\r' ? line + length : memchr(line, '\r', left);
    if (!end)
        return left > RESP_LINE_MAX ? RESP_ERROR : RESP_MORE;
    length = (size_t)(end - line);
    if (left - length < 2)
        return RESP_MORE;
    *ret_ok = length > 0 && number_parse(line + 1, length - 1, ret_count);
    parser->at += length + 2;
    return RESP_REQUEST;
}

static enum resp_result read_array_header(struct resp_parser *parser,
                                          const struct resp_limits *limits, const char *data,
                                          size_t size, struct resp_request *request)
{
    int64_t count = 0;
    bool ok = false;
    const enum resp_result result = read_count(parser, data, size, &count, &ok);

    if (result == RESP_ERROR)
        return fail(request, "Protocol error: too big mbulk count string");
    if (result == RESP_MORE)
        return RESP_MORE;
    if (!ok || count > RESP_ARGUMENTS_MAX)
        return fail(request, "Protocol error: invalid multibulk length");
    if (limits->is_stranger && count > RESP_STRANGER_ARGUMENTS)
        return fail(request, "Protocol error: unauthenticated multibulk length");
    parser->wanted = count > 0 ? (uint32_t)count : 0;
    parser->in_array = true;
    return RESP_REQUEST;
}

static enum resp_result fail_too_large(struct resp_request *request,
                                       const struct resp_limits *limits)
{
    snprintf(request->error, sizeof request->error,
             "Protocol error: the request is larger than limits.input_bytes (%lu): raise that, or "
             "send less at a time",
             (unsigned long)limits->request_max);
    return RESP_ERROR;
}

static enum resp_result read_bulk_header(struct resp_parser *parser,
                                         const struct resp_limits *limits, const char *data,
                                         size_t size, struct resp_request *request)
{
    const size_t line = parser->at;
    int64_t bulk = 0;
    bool ok = false;
    const enum resp_result result = read_count(parser, data, size, &bulk, &ok);

    if (result == RESP_ERROR)
        return fail(request, "Protocol error: too big bulk count string");
    if (result == RESP_MORE)
        return RESP_MORE;
    if (data[line] != '$') {
        snprintf(request->error, sizeof request->error, "Protocol error: expected '$', got '%c'",
                 data[line]);
        return RESP_ERROR;
    }
    if (!ok || bulk < 0 || bulk > limits->bulk_max)
        return fail(request, "Protocol error: invalid bulk length");
    if (limits->is_stranger && bulk > RESP_STRANGER_BULK)
        return fail(request, "Protocol error: unauthenticated bulk length");
    if ((uint64_t)bulk + parser->at + 2 > limits->request_max)
        return fail_too_large(request, limits);
    parser->bulk = (uint32_t)bulk;
    parser->in_bulk = true;
    return RESP_REQUEST;
}

static enum resp_result parse_array(struct resp_parser *parser, const struct resp_limits *limits,
                                    const char *data, size_t size, struct resp_request *request)
{
    enum resp_result result;
    uint32_t done = 0;

    if (!parser->in_array) {
        result = read_array_header(parser, limits, data, size, request);
        if (result != RESP_REQUEST)
            return result;
    }
    while (parser->wanted > 0) {
        if (limits->at_once > 0 && done++ == limits->at_once)
            return RESP_LATER;
        if (!parser->in_bulk) {
            if (parser->at == size)
                return RESP_MORE;
            result = read_bulk_header(parser, limits, data, size, request);
            if (result != RESP_REQUEST)
                return result;
        }
        if (size - parser->at < (size_t)parser->bulk + 2)
            return RESP_MORE;
        if (add_argument(parser, parser->at, parser->bulk) < 0)
            return fail(request, "");
        parser->at += (size_t)parser->bulk + 2;
        parser->in_bulk = false;
        parser->wanted--;
    }
    request->base = data;
    return RESP_REQUEST;
}

/* ---- inline commands ---------------------------------------------------------- */

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* What follows a backslash in "double quotes", and how many bytes that is. */
static size_t unescape(const char *from, const char *end, char *ret_byte)
{
    static const char escapes[][2] = {
        {'n', '\n'}, {'r', '\r'}, {'t', '\t'}, {'b', '\b'}, {'a', '\a'},
    };

    if (from[0] == 'x' && end - from > 2 && hex_digit(from[1]) >= 0 && hex_digit(from[2]) >= 0) {
        *ret_byte = (char)(hex_digit(from[1]) * 16 + hex_digit(from[2]));
        return 3;
    }
    *ret_byte = from[0];
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        if (from[0] == escapes[i][0])
            *ret_byte = escapes[i][1];
    return 1;
}

/* Copies what is in quotes, from behind the first one. Returns what follows the last
 * one; NULL if it is not there, or no space follows. */
static const char *read_quoted(const char *at, const char *end, char quote, char **to)
{
    for (; at < end && *at != quote; at++) {
        **to = *at;
        if (*at == '\\' && end - at > 1 && quote == '"')
            at += unescape(at + 1, end, *to);
        else if (*at == '\\' && end - at > 1 && at[1] == '\'')
            **to = *++at;
        (*to)++;
    }
    if (at == end || (end - at > 1 && !isspace((unsigned char)at[1])))
        return NULL;
    return at + 1;
}

static bool ends_word(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* Copies a word and returns what follows it; NULL where quotes are not closed. */
static const char *read_word(const char *at, const char *end, char **to)
{
    while (at < end && !ends_word(*at)) {
        if (*at == '"' || *at == '\'')
            return read_quoted(at + 1, end, *at, to);
        *(*to)++ = *at++;
    }
    return at;
}

static int reserve_line(struct resp_parser *parser, size_t size)
{
    char *line;

    if (parser->line_room >= size)
        return 0;
    line = realloc(parser->line, size);
    if (!line)
        return -1;
    parser->line = line;
    parser->line_room = size;
    return 0;
}

static enum resp_result split_line(struct resp_parser *parser, const char *at, const char *end,
                                   struct resp_request *request)
{
    char *to;

    if (reserve_line(parser, (size_t)(end - at) + 1) < 0)
        return fail(request, "");
    to = parser->line;
    request->base = parser->line;
    for (;;) {
        char *const word = to;
        while (at < end && isspace((unsigned char)*at))
            at++;
        if (at == end)
            return RESP_REQUEST;
        at = read_word(at, end, &to);
        if (!at)
            return fail(request, "Protocol error: unbalanced quotes in request");
        if (add_argument(parser, (size_t)(word - parser->line), (size_t)(to - word)) < 0)
            return fail(request, "");
    }
}

static enum resp_result parse_inline(struct resp_parser *parser, const char *data, size_t size,
                                     struct resp_request *request)
{
    const char *end = memchr(data + parser->at, '\n', size - parser->at);
    const char *zero;

    if (!end) {
        parser->at = size;
        return size > RESP_LINE_MAX ? fail(request, "Protocol error: too big inline request")
                                    : RESP_MORE;
    }
    parser->at = (size_t)(end - data) + 1;
    if (end > data && end[-1] == '\r')
        end--;
    zero = memchr(data, '\0', (size_t)(end - data)); /* it ends the line, as in Redis */
    return split_line(parser, data, zero ? zero : end, request);
}

/* ---- both --------------------------------------------------------------------- */

/* Arguments and line stay until the next request: the caller reads them now. */
static void begin_anew(struct resp_parser *parser)
{
    parser->wanted = 0;
    parser->in_bulk = parser->in_array = false;
    parser->at = 0;
}

static void drop_large(struct resp_parser *parser)
{
    parser->count = 0;
    if (parser->room > KEPT_ROOM) {
        free(parser->args);
        parser->args = NULL;
        parser->room = 0;
    }
    if (parser->line) {
        free(parser->line);
        parser->line = NULL;
        parser->line_room = 0;
    }
}

enum resp_result resp_parse(struct resp_parser *parser, const struct resp_limits *limits,
                            const char *data, size_t size, struct resp_request *ret_request)
{
    enum resp_result result;

    if (size == 0)
        return RESP_MORE;
    if (parser->at == 0)
        drop_large(parser);
    ret_request->error[0] = '\0';
    result = data[0] == '*' ? parse_array(parser, limits, data, size, ret_request)
                            : parse_inline(parser, data, size, ret_request);
    if (result == RESP_MORE || result == RESP_LATER)
        return result;
    ret_request->args = parser->args;
    ret_request->count = parser->count;
    ret_request->size = parser->at;
    begin_anew(parser);
    return result;
}

void resp_reset(struct resp_parser *parser)
{
    begin_anew(parser);
}

void resp_rest(struct resp_parser *parser)
{
    if (parser->at == 0 && (parser->room > KEPT_ROOM || parser->line))
        drop_large(parser);
}

void resp_finish(struct resp_parser *parser)
{
    free(parser->args);
    free(parser->line);
    *parser = (struct resp_parser){0};
}
