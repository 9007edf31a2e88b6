/* Answers. See reply.h. */
#include "reply.h"

#include "number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write(struct reply *reply, const char *data, size_t size)
{
    if (reply->is_muted)
        return;
    reply->write(reply->to, data, size);
    reply->has_written = true;
}

void reply_flush(struct reply *reply)
{
    if (reply->size == 0)
        return;
    write(reply, reply->data, reply->size);
    reply->size = 0;
}

/* Room for so many bytes, at most REPLY_SIZE. */
static char *reserve(struct reply *reply, size_t size)
{
    if (REPLY_SIZE - reply->size < size)
        reply_flush(reply);
    return reply->data + reply->size;
}

static void append(struct reply *reply, const char *data, size_t size)
{
    if (size > REPLY_DIRECT) {
        reply_flush(reply);
        write(reply, data, size);
        return;
    }
    memcpy(reserve(reply, size), data, size);
    reply->size += size;
}

/* "*12\r\n" */
static void append_header(struct reply *reply, char type, int64_t number)
{
    char *at = reserve(reply, NUMBER_SIZE + 3);
    size_t size = 1;

    *at = type;
    if (number >= 0 && number < 10)
        at[size++] = (char)('0' + number);
    else
        size += number_format(at + 1, number);
    at[size++] = '\r';
    at[size++] = '\n';
    reply->size += size;
}

void reply_status(struct reply *reply, const char *text)
{
    const size_t size = strlen(text);
    char *at = reserve(reply, size + 3);

    *at++ = '+';
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): it is no string */
    memcpy(at, text, size);
    at[size] = '\r';
    at[size + 1] = '\n';
    reply->size += size + 3;
}

/* As Redis does: a line's end at the text's end goes, others become spaces. */
static size_t make_one_line(char *text, size_t size)
{
    while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == '\n'))
        size--;
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\r' || text[i] == '\n')
            text[i] = ' ';
    return size;
}

static void append_error(struct reply *reply, char *text, size_t size)
{
    size = make_one_line(text, size);
    append(reply, "-", 1);
    append(reply, text, size);
    append(reply, "\r\n", 2);
}

void reply_error(struct reply *reply, const char *text)
{
    reply_errorf(reply, "%s", text);
}

void reply_errorf(struct reply *reply, const char *format, ...)
{
    char room[512], *text = NULL;
    int size;
    va_list arguments;

    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not */
    size = vsnprintf(room, sizeof room, format, arguments);
    va_end(arguments);
    if (size >= (int)sizeof room) { /* with a client's argument in it */
        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0)
            text = NULL;
        va_end(arguments);
    }
    append_error(reply, text ? text : room, strlen(text ? text : room));
    free(text);
}

void reply_integer(struct reply *reply, int64_t value)
{
    append_header(reply, ':', value);
}

void reply_null(struct reply *reply)
{
    if (reply->protocol >= 3)
        append(reply, "_\r\n", 3);
    else
        append(reply, "$-1\r\n", 5);
}

void reply_bulk(struct reply *reply, const char *data, size_t size)
{
    append_header(reply, '$', (int64_t)size);
    append(reply, data, size);
    append(reply, "\r\n", 2);
}

void reply_bulk_begin(struct reply *reply, size_t size)
{
    append_header(reply, '$', (int64_t)size);
}

void reply_bytes(struct reply *reply, const char *data, size_t size)
{
    append(reply, data, size);
}

void reply_text(struct reply *reply, const char *text)
{
    reply_bulk(reply, text, strlen(text));
}

void reply_array(struct reply *reply, size_t count)
{
    append_header(reply, '*', (int64_t)count);
}

void reply_null_array(struct reply *reply)
{
    if (reply->protocol >= 3)
        append(reply, "_\r\n", 3);
    else
        append(reply, "*-1\r\n", 5);
}

void reply_push(struct reply *reply, size_t count)
{
    append_header(reply, reply->protocol >= 3 ? '>' : '*', (int64_t)count);
}

void reply_set(struct reply *reply, size_t count)
{
    append_header(reply, reply->protocol >= 3 ? '~' : '*', (int64_t)count);
}

void reply_map(struct reply *reply, size_t count)
{
    if (reply->protocol >= 3)
        append_header(reply, '%', (int64_t)count);
    else
        append_header(reply, '*', (int64_t)count * 2);
}

void reply_verbatim(struct reply *reply, const char *text, size_t size)
{
    if (reply->protocol < 3) {
        reply_bulk(reply, text, size);
        return;
    }
    append_header(reply, '=', (int64_t)size + 4);
    append(reply, "txt:", 4);
    append(reply, text, size);
    append(reply, "\r\n", 2);
}
