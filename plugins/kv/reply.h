/* Answers, in RESP2 or RESP3. They are gathered and go out in few writes. */
#ifndef KV_REPLY_H
#define KV_REPLY_H

#include <rpd/base.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REPLY_SIZE = 16 * 1024, REPLY_DIRECT = 4096 /* larger values are not gathered */ };

struct reply {
    size_t size;
    bool has_written; /* since it was last cleared */
    bool is_muted;    /* what is answered is dropped */
    int protocol;     /* 2 or 3 */
    void (*write)(void *to, const char *data, size_t size);
    void *to;
    char data[REPLY_SIZE];
};

void reply_flush(struct reply *reply);

/* "+OK" and the like. */
void reply_status(struct reply *reply, const char *text);

/* text: "ERR syntax error". Line ends in it become spaces; at its end they go. Without memory a
 * long one is cut. */
void reply_error(struct reply *reply, const char *text);
void reply_errorf(struct reply *reply, const char *format, ...) RPD_PRINTF(2, 3);

void reply_integer(struct reply *reply, int64_t value);
void reply_null(struct reply *reply);
void reply_bulk(struct reply *reply, const char *data, size_t size);
/* The same in pieces: the header, then all bytes, and "\r\n". */
void reply_bulk_begin(struct reply *reply, size_t size);
void reply_bytes(struct reply *reply, const char *data, size_t size);
void reply_text(struct reply *reply, const char *text); /* a bulk string, too */
void reply_null_array(struct reply *reply);
void reply_array(struct reply *reply, size_t count);
void reply_push(struct reply *reply, size_t count); /* an array, in RESP2 */
void reply_set(struct reply *reply, size_t count);  /* an array, in RESP2 */
/* count: of pairs. An array of twice as many, in RESP2. */
void reply_map(struct reply *reply, size_t count);
/* Text for people: in RESP2 a bulk string. */
void reply_verbatim(struct reply *reply, const char *text, size_t size);

#endif
