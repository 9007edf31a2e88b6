/* HTTP. See http.h.
 *
 * A client has one request under way: the next is read when the answer is written. After a refusal
 * of what cannot be read, or whose body is not wanted, the connection is closed. */
#include "http.h"

#include "http_request.h"

#include <stdio.h>
#include <string.h>

enum { SHA256_DIGITS = 64 };

static struct session *session_of(struct rpd_conn *conn)
{
    return rpd_conn_data(conn);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* One without a body. */
static void answer(struct rpd_conn *conn, int status, const char *headers)
{
    const char *closes = session_of(conn)->closes ? "Connection: close\r\n" : "";
    const char *length = status == 204 ? "" : "Content-Length: 0\r\n";

    rpd_conn_printf(conn, "HTTP/1.1 %d %s\r\n%s%s%s\r\n", status, http_reason(status), headers,
                    length, closes);
}

static void written(struct rpd_conn *conn)
{
    session_of(conn)->is_busy = false;
    if (session_of(conn)->closes)
        rpd_conn_finish(conn);
}

/* What follows in the input is not read. */
static void refuse(struct rpd_conn *conn, int status)
{
    const char *headers = status == 401   ? "WWW-Authenticate: Basic realm=\"buildcache\"\r\n"
                          : status == 405 ? "Allow: GET, HEAD, PUT, DELETE\r\n"
                                          : "";

    session_of(conn)->closes = true;
    store_count(session_of(conn)->store, NUMBER_REFUSED, 1);
    answer(conn, status, headers);
    written(conn);
}

static char *write_number(char *end, uint64_t number)
{
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

static void found(struct rpd_conn *conn, uint64_t size)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                                "Content-Length: ";
    static const char end[] = "\r\n\r\n", end_closing[] = "\r\nConnection: close\r\n\r\n";
    const bool closes = session_of(conn)->closes;
    char head[sizeof begin + 20 + sizeof end_closing], digits[20];
    const char *number = write_number(digits + sizeof digits, size);
    const size_t count = (size_t)(digits + sizeof digits - number);
    char *at = head + sizeof begin - 1;

    memcpy(head, begin, sizeof begin - 1);
    memcpy(at, number, count);
    memcpy(at + count, closes ? end_closing : end, (closes ? sizeof end_closing : sizeof end) - 1);
    at += count + (closes ? sizeof end_closing : sizeof end) - 1;
    rpd_conn_write(conn, head, (size_t)(at - head));
}

static void missing(struct rpd_conn *conn)
{
    answer(conn, 404, "");
}

static void stored(struct rpd_conn *conn, enum store_outcome outcome)
{
    static const int statuses[] = {
        [STORE_STORED] = 200,   [STORE_EXISTS] = 200, [STORE_TOO_LARGE] = 413, [STORE_WRONG] = 400,
        [STORE_NO_SPACE] = 507, [STORE_FAILED] = 500, [STORE_READ_ONLY] = 403};

    answer(conn, statuses[outcome], "");
}

static void removed(struct rpd_conn *conn, bool was_there)
{
    answer(conn, was_there ? 204 : 404, "");
}

static void failed(struct rpd_conn *conn)
{
    session_of(conn)->closes = true;
    answer(conn, 503, "Retry-After: 1\r\n");
}

const struct store_front http_front = {.found = found,
                                       .missing = missing,
                                       .stored = stored,
                                       .removed = removed,
                                       .failed = failed,
                                       .written = written};

/* ---- objects in /cas/ -------------------------------------------------------------------------
 */

/* 1: the path is PREFIX/cas/NAME, and NAME is a SHA-256. 0: it is none of these. -1: NAME is
 * something else. */
static int read_cas_name(struct rpd_span path, uint8_t ret_sha256[OBJECT_SHA256_SIZE])
{
    static const char digits[] = "0123456789abcdef", cas[] = "/cas/";
    const char *name = memrchr(path.data, '/', path.size);
    const size_t size = (size_t)(path.data + path.size - ++name);
    const size_t before = (size_t)(name - path.data);

    if (before < sizeof cas - 1 || memcmp(name - (sizeof cas - 1), cas, sizeof cas - 1) != 0)
        return 0;
    if (size != SHA256_DIGITS)
        return -1;
    for (size_t i = 0; i < SHA256_DIGITS; i++) {
        const char *digit = name[i] ? strchr(digits, name[i]) : NULL;
        if (!digit)
            return -1;
        ret_sha256[i / 2] = (uint8_t)(ret_sha256[i / 2] << 4 | (digit - digits));
    }
    return 1;
}

/* ---- requests ------------------------------------------------------------------------------- */

static struct object_key key_of(const struct http_request *request)
{
    struct object_key key;

    key.size = (uint16_t)request->path.size;
    memcpy(key.bytes, request->path.data, request->path.size);
    return key;
}

static void get(struct rpd_conn *conn, const struct http_request *request)
{
    static const char text[] = "rpd buildcache\n";
    const struct object_key key = key_of(request);

    rpd_conn_consume(conn, request->head_size);
    if (key.size > 1) {
        store_get(conn, &key, !session_of(conn)->is_head);
        return;
    }
    found(conn, sizeof text - 1);
    if (!session_of(conn)->is_head)
        rpd_conn_write(conn, text, sizeof text - 1);
    written(conn);
}

static void put(struct rpd_conn *conn, const struct http_request *request)
{
    struct session *session = session_of(conn);
    const struct object_key key = key_of(request);
    const bool is_too_large = request->body_size > session->store->max_object;
    uint8_t sha256[OBJECT_SHA256_SIZE] = {0};
    const int cas = read_cas_name(request->path, sha256);
    struct store_put what = {.size = request->body_size,
                             .sha256 = cas > 0 ? sha256 : NULL,
                             .overwrites = true,
                             .outcome = is_too_large ? STORE_TOO_LARGE : STORE_PENDING};

    if (session->store->is_read_only)
        what.outcome = STORE_READ_ONLY;
    if (what.outcome != STORE_PENDING && request->expects_continue) {
        refuse(conn, is_too_large ? 413 : 403);
        return;
    }
    if (cas < 0 || key.size == 1) {
        refuse(conn, 400);
        return;
    }
    if (what.outcome == STORE_PENDING && store_must_wait(conn, what.size))
        return;
    if (request->expects_continue)
        rpd_conn_printf(conn, "HTTP/1.1 100 Continue\r\n\r\n");
    rpd_conn_consume(conn, request->head_size);
    store_put(conn, &key, &what);
}

static void delete (struct rpd_conn *conn, const struct http_request *request)
{
    const struct object_key key = key_of(request);

    if (session_of(conn)->store->is_read_only) {
        refuse(conn, 403);
        return;
    }
    rpd_conn_consume(conn, request->head_size);
    store_remove(conn, &key);
}

static void handle(struct rpd_conn *conn, const struct http_request *request)
{
    struct session *session = session_of(conn);
    const bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;

    session->is_head = request->method == HTTP_HEAD;
    session->closes = !request->keeps_alive;
    session->is_busy = true;
    if (!(reads && session->store->allows_anonymous_reads) &&
        !credentials_allow(&session->store->credentials, request->authorization))
        refuse(conn, 401);
    else if (reads)
        get(conn, request);
    else if (request->method == HTTP_PUT)
        put(conn, request);
    else
        delete (conn, request);
    if (session->is_waiting)
        session->is_busy = false;
}

void http_data(struct rpd_conn *conn)
{
    struct session *session = session_of(conn);
    struct http_request request;
    struct rpd_span input;

    while (!session->is_busy && !session->is_waiting && (input = rpd_conn_input(conn)).size > 0) {
        const int result = http_request_read(input, &request);

        if (result == 0)
            return;
        if (result == 1) {
            handle(conn, &request);
        } else {
            session->is_busy = true;
            refuse(conn, result);
            return;
        }
        if (session->closes)
            return;
    }
}
