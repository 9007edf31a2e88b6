/* ccache's protocol of storage helpers. See helper.h. */
#include "helper.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 1, GET_PUT_REMOVE = 0, INFO = 1, EXISTS = 2 };
enum { OK = 0, NOOP = 1, ERR = 2 };
enum { DO_GET, DO_PUT, DO_REMOVE, DO_STOP, DO_INFO, DO_EXISTS };
enum { OVERWRITE = 1, KEY_MARK = 1 /* the first byte of its keys: no path begins with it */ };

static struct session *session_of(struct rpd_conn *conn)
{
    return rpd_conn_data(conn);
}

static void write_byte(struct rpd_conn *conn, unsigned char byte)
{
    rpd_conn_write(conn, &byte, 1);
}

/* ---- answers -------------------------------------------------------------------------------- */

void helper_greet(struct rpd_conn *conn)
{
    static const char greeting[] = {VERSION, 3, GET_PUT_REMOVE, INFO, EXISTS};

    rpd_conn_write(conn, greeting, sizeof greeting);
}

static void found(struct rpd_conn *conn, uint64_t size)
{
    char head[1 + sizeof size] = {OK};

    if (session_of(conn)->is_head) { /* exists */
        rpd_conn_write(conn, "\0\1", 2);
        return;
    }
    memcpy(head + 1, &size, sizeof size);
    rpd_conn_write(conn, head, sizeof head);
}

static void missing(struct rpd_conn *conn)
{
    if (session_of(conn)->is_head)
        rpd_conn_write(conn, "\0\0", 2);
    else
        write_byte(conn, NOOP);
}

static void stored(struct rpd_conn *conn, enum store_outcome outcome)
{
    write_byte(conn, outcome == STORE_STORED ? OK : NOOP);
}

static void removed(struct rpd_conn *conn, bool was_there)
{
    write_byte(conn, was_there ? OK : NOOP);
}

static void written(struct rpd_conn *conn)
{
    session_of(conn)->is_busy = false;
}

const struct store_front helper_front = {.found = found,
                                         .missing = missing,
                                         .stored = stored,
                                         .removed = removed,
                                         .failed = missing,
                                         .written = written};

static void write_text(struct rpd_conn *conn, const char *text)
{
    write_byte(conn, (unsigned char)strlen(text));
    rpd_conn_write(conn, text, strlen(text));
}

static void refuse(struct rpd_conn *conn)
{
    write_byte(conn, ERR);
    write_text(conn, "not a request");
    rpd_conn_finish(conn);
}

static void inform(struct rpd_conn *conn)
{
    const struct store *store = session_of(conn)->store;
    char text[200];

    write_text(conn, "rpd buildcache");
    write_byte(conn, 3);
    snprintf(text, sizeof text, "directory: %.180s", store->path);
    write_text(conn, text);
    snprintf(text, sizeof text, "objects: %llu, %llu bytes%s",
             (unsigned long long)store->index.count, (unsigned long long)store->index.bytes,
             store->is_ready ? "" : " so far");
    write_text(conn, text);
    snprintf(text, sizeof text, "hits: %llu, misses: %llu",
             (unsigned long long)(*store->numbers[NUMBER_HITS_MEMORY] +
                                  *store->numbers[NUMBER_HITS_DISK]),
             (unsigned long long)*store->numbers[NUMBER_MISSES]);
    write_text(conn, text);
}

static void stop(struct rpd_conn *conn)
{
    struct store *store = session_of(conn)->store;

    write_byte(conn, OK);
    if (!store->helper_may_stop)
        return;
    rpd_conn_finish(conn);
    rpd_stop(store->service, "a client of the helper protocol has asked for it");
}

/* ---- requests ------------------------------------------------------------------------------- */

/* The size of what precedes the request's value, or of the request; 0: it has not come whole. */
static size_t read_key(struct rpd_span input, size_t behind, struct object_key *ret)
{
    const size_t size = input.size > 1 ? (unsigned char)input.data[1] : 0;

    if (input.size < 2 || input.size < 2 + size + behind)
        return 0;
    ret->size = (uint16_t)(size + 1);
    ret->bytes[0] = KEY_MARK;
    memcpy(ret->bytes + 1, input.data + 2, size);
    return 2 + size + behind;
}

/* False: it has not come whole, or waits for room. */
static bool put(struct rpd_conn *conn, struct rpd_span input)
{
    const struct store *store = session_of(conn)->store;
    struct store_put what = {.outcome = STORE_PENDING};
    struct object_key key;
    const size_t head = read_key(input, 1 + sizeof what.size, &key);

    if (head == 0)
        return false;
    memcpy(&what.size, input.data + head - sizeof what.size, sizeof what.size);
    what.overwrites = input.data[head - sizeof what.size - 1] & OVERWRITE;
    if (what.size > store->max_object)
        what.outcome = STORE_TOO_LARGE;
    if (store->is_read_only)
        what.outcome = STORE_READ_ONLY;
    if (what.size > INT64_MAX) {
        refuse(conn);
        return false;
    }
    if (what.outcome == STORE_PENDING && store_must_wait(conn, what.size))
        return false;
    rpd_conn_consume(conn, head);
    session_of(conn)->is_busy = true;
    store_put(conn, &key, &what);
    return true;
}

static bool use_key(struct rpd_conn *conn, struct rpd_span input, int request)
{
    struct session *session = session_of(conn);
    struct object_key key;
    const size_t size = read_key(input, 0, &key);

    if (size == 0)
        return false;
    rpd_conn_consume(conn, size);
    session->is_busy = true;
    session->is_head = request == DO_EXISTS;
    if (request != DO_REMOVE) {
        store_get(conn, &key, !session->is_head);
    } else if (!session->store->is_read_only) {
        store_remove(conn, &key);
    } else {
        removed(conn, false);
        written(conn);
    }
    return true;
}

static bool handle(struct rpd_conn *conn, struct rpd_span input)
{
    const int request = (unsigned char)*input.data;

    session_of(conn)->is_head = false;
    switch (request) {
    case DO_GET:
    case DO_REMOVE:
    case DO_EXISTS: return use_key(conn, input, request);
    case DO_PUT: return put(conn, input);
    case DO_STOP:
        rpd_conn_consume(conn, 1);
        stop(conn);
        return true;
    case DO_INFO:
        rpd_conn_consume(conn, 1);
        inform(conn);
        return true;
    default: refuse(conn); return false;
    }
}

void helper_data(struct rpd_conn *conn)
{
    struct rpd_span input;

    while (!session_of(conn)->is_busy && (input = rpd_conn_input(conn)).size > 0)
        if (!handle(conn, input))
            return;
}
