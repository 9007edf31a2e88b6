/* The head of a request: what is read, what is refused, and that neither depends on how it comes in
 * pieces. */
#include "http_request.h"
#include "process.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST "Host: x\r\n"

/* In a block of its own size, so that a byte too far is seen. */
static int read_exact(const char *text, size_t size, struct http_request *ret)
{
    char *copy = malloc(size ? size : 1);
    int result;

    memcpy(copy, text, size);
    result = http_request_read((struct rpd_span){copy, size}, ret);
    free(copy);
    return result;
}

static int read_text(const char *text)
{
    struct http_request request;
    const size_t size = strlen(text);
    const int whole = read_exact(text, size, &request);

    /* Of its beginnings none is a request, and what is refused early is refused in the end. */
    for (size_t i = 0; i < size; i++) {
        const int early = read_exact(text, i, &request);
        cr_assert(early == 0 || (early == 1 && whole == 1 && request.head_size <= i) ||
                      early == whole,
                  "%zu bytes of: %s: %d, then %d", i, text, early, whole);
    }
    return whole;
}

Test(http_request, what_clients_send_is_read)
{
    const char *text = "PUT http://host:80/a/b-c.d_e~f HTTP/1.1\r\nhost:x:80\r\n"
                       "User-Agent: ccache/4.7.5\r\nAccept: */*\r\nContent-Length: 0042\r\n"
                       "Connection: TE, close\r\nExpect: 100-continue\r\n"
                       "Authorization:  Basic abc \t\r\n\r\nBODY";
    struct http_request request;

    cr_assert_eq(http_request_read((struct rpd_span){text, strlen(text)}, &request), 1);
    cr_assert_eq(request.method, HTTP_PUT);
    cr_assert_eq(request.path.size, strlen("/a/b-c.d_e~f"));
    cr_assert_eq(memcmp(request.path.data, "/a/b-c.d_e~f", request.path.size), 0);
    cr_assert(request.has_body_size);
    cr_assert_eq(request.body_size, 42);
    cr_assert(!request.keeps_alive);
    cr_assert(request.expects_continue);
    cr_assert_eq(request.authorization.size, strlen("Basic abc"));
    cr_assert_eq(request.head_size, strlen(text) - 4);
}

Test(http_request, which_connections_stay)
{
    static const struct {
        const char *text;
        bool stays;
    } cases[] = {{"GET / HTTP/1.1\r\n" HOST "\r\n", true},
                 {"GET / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n", false},
                 {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\n\r\n", true},
                 {"GET / HTTP/1.1\r\n" HOST "Connection: a,b\r\nConnection: ,close\r\n\r\n", false},
                 {"GET / HTTP/1.0\r\n\r\n", false},
                 {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
                 {"GET / HTTP/1.2\r\n" HOST "\r\n", true}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request request;
        cr_assert_eq(
            http_request_read((struct rpd_span){cases[i].text, strlen(cases[i].text)}, &request), 1,
            "%s", cases[i].text);
        cr_assert_eq(request.keeps_alive, cases[i].stays, "%s", cases[i].text);
        cr_assert_eq(read_text(cases[i].text), 1);
    }
}

/* Each could be read in two ways, or is no request. */
Test(http_request, what_is_refused)
{
#define PUT "PUT /k HTTP/1.1\r\n" HOST
#define GET "GET /k HTTP/1.1\r\n" HOST
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        /* Framing of the body. */
        {400, PUT "Content-Length: 4\r\nContent-Length: 5\r\n\r\n"},
        {400, PUT "Content-Length: 4\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT "Content-Length: 4, 4\r\n\r\n"},
        {400, PUT "Content-Length: +4\r\n\r\n"},
        {400, PUT "Content-Length: -1\r\n\r\n"},
        {400, PUT "Content-Length: 0x4\r\n\r\n"},
        {400, PUT "Content-Length: 4 4\r\n\r\n"},
        {400, PUT "Content-Length: 4.0\r\n\r\n"},
        {400, PUT "Content-Length:\r\n\r\n"},
        {400, PUT "Content-Length: 99999999999999999999\r\n\r\n"},
        {400, PUT "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, PUT "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"},
        {411, PUT "Transfer-Encoding: chunked\r\n\r\n"},
        {411, PUT "Transfer-Encoding: gzip, chunked\r\n\r\n"},
        {411, PUT "Transfer-Encoding: identity\r\n\r\n"},
        {411, PUT "transfer-encoding:\tchunked\r\n\r\n"},
        {411, PUT "\r\n"},
        {400, "PUT /k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, GET "Content-Length: 4\r\n\r\n"},
        {411, GET "Transfer-Encoding: chunked\r\n\r\n"},
        /* Lines. */
        {400, PUT "Content-Length : 4\r\n\r\n"},
        {400, PUT "Content-Length\t: 4\r\n\r\n"},
        {400, PUT " Content-Length: 4\r\n\r\n"},
        {400, PUT "X: a\r\n b\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT "X: a\r\n\tb\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT "X: a\nContent-Length: 4\r\n\r\n"},
        {400, PUT "Content-Length: 4\n\n"},
        {400, PUT "X: a\rContent-Length: 4\r\n\r\n"},
        {400, PUT "X: a\r\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT "X: \001\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT "X: \177\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT ": a\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT "no colon\r\nContent-Length: 4\r\n\r\n"},
        {400, PUT "X(y): a\r\nContent-Length: 4\r\n\r\n"},
        {400, "\r\nGET /k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "\nGET /k HTTP/1.1\r\n" HOST "\r\n"},
        /* Host. */
        {400, "GET /k HTTP/1.1\r\n\r\n"},
        {400, GET HOST "\r\n"},
        {400, "GET /k HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        {400, "GET /k HTTP/1.1\r\nHost: a b\r\n\r\n"},
        /* The request line. */
        {400, "GET  /k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /k  HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /k HTTP/1.1 \r\n" HOST "\r\n"},
        {400, "GET\t/k\tHTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /k\r\n" HOST "\r\n"},
        {400, " GET /k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /k http/1.1\r\n" HOST "\r\n"},
        {400, "GET /k HTTP/1.1x\r\n" HOST "\r\n"},
        {400, "GET /k HTTP/11\r\n" HOST "\r\n"},
        {400, "G(T /k HTTP/1.1\r\n" HOST "\r\n"},
        {501, "get /k HTTP/1.1\r\n" HOST "\r\n"},
        {501, "BREW /k HTTP/1.1\r\n" HOST "\r\n"},
        {405, "POST /k HTTP/1.1\r\n" HOST "\r\n"},
        {405, "CONNECT x:80 HTTP/1.1\r\n" HOST "\r\n"},
        {505, "GET /k HTTP/2.0\r\n" HOST "\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\n"},
        {505, "GET /k HTTP/0.9\r\n\r\n"},
        {400, "GET * HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET //k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /k/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a/../k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /.. HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /a/./k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%6b HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /k?x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /k#x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\\k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\300 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http:///k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http://k HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET https://h/k HTTP/1.1\r\n" HOST "\r\n"},
        /* The rest. */
        {417, PUT "Content-Length: 4\r\nExpect: 200-ok\r\n\r\n"},
        {400, GET "Authorization: a\r\nAuthorization: b\r\n\r\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(read_text(cases[i].text), cases[i].status, "%d for: %s",
                     read_text(cases[i].text), cases[i].text);
}

Test(http_request, its_size_is_bounded)
{
    char *text = malloc(2 * HTTP_HEAD_MAX);
    struct http_request request;
    size_t size;

    memset(text, 'a', 2 * HTTP_HEAD_MAX);
    memcpy(text, "GET /", 5);
    cr_assert_eq(http_request_read((struct rpd_span){text, HTTP_HEAD_MAX - 1}, &request), 0);
    cr_assert_eq(http_request_read((struct rpd_span){text, HTTP_HEAD_MAX}, &request), 431);
    memcpy(text + 505, " HTTP/1.1\r\n", 11);
    cr_assert_eq(http_request_read((struct rpd_span){text, 600}, &request), 414);
    size = (size_t)snprintf(text, HTTP_HEAD_MAX, "GET /k HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        size += (size_t)snprintf(text + size, HTTP_HEAD_MAX - size, "a: b\r\n");
    size += (size_t)snprintf(text + size, HTTP_HEAD_MAX - size, "\r\n");
    cr_assert_eq(http_request_read((struct rpd_span){text, size}, &request), 431);
    free(text);
}
