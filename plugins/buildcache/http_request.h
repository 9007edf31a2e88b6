/* The head of an HTTP/1.1 request, read strictly: what two servers could read in two ways is
 * refused. Pure: bytes in, a request or a status out.
 *
 * Refused, beside what the grammar forbids: a line that does not end in CRLF, a space before a
 * colon, a folded header, a byte that is no text in a value, Content-Length given twice or with
 * anything but digits, Transfer-Encoding, a 1.1 request without exactly one Host, a body of a
 * request that has none, percent signs and queries in a path, empty, "." and ".." segments. */
#ifndef BUILDCACHE_HTTP_REQUEST_H
#define BUILDCACHE_HTTP_REQUEST_H

#include <rpd/base.h>

enum { HTTP_HEAD_MAX = 16384, HTTP_PATH_MAX = 500, HTTP_HEADERS_MAX = 100 };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_DELETE };

/* The spans point into what was read. */
struct http_request {
    enum http_method method;
    struct rpd_span path;
    uint64_t body_size;
    bool has_body_size, keeps_alive, expects_continue;
    struct rpd_span authorization; /* data NULL: none */
    size_t head_size;
};

/* 0: more has to come. 1: *ret is the request. Otherwise the status of the refusal, 400 to 505;
 * what follows in the input cannot be read. */
int http_request_read(struct rpd_span input, struct http_request *ret);

/* "Not Found" */
const char *http_reason(int status);

#endif
