/* HTTP, from outside: layouts of the tools, framing, limits, authentication. */
#include "scene.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct process *start(const char *dir, const char *options)
{
    struct process *rpd = scene_start(dir, options, "");

    scene_await_ready(rpd);
    return rpd;
}

static void end(struct process *rpd, const char *dir)
{
    cr_assert_eq(process_code(process_stop(rpd)), 0, "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

#define HASH64                                                                                     \
    "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9" /* hello world              \
                                                                        */

/* Each tool's paths, on one connection that stays open: miss, put, hit, replaced, removed. */
Test(http, each_layout_is_served)
{
    static const char *const paths[] = {
        "/0269a64rfhbo9jqknpf3a3mh0rjd9pt1ge", "/prefix/02/69a64rfhbo9jqknpf3a3mh0rjd9pt1ge",
        "/ac/" HASH64, "/instance/ac/" HASH64, "/cache/2b4f6c8a9b0d1e3f5a7c9e1b3d5f7a9c"};
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const char *const endpoints[] = {scene_http(dir), process_endpoint(rpd, "tcp:")};

    for (size_t e = 0; e < 2; e++) {
        const int fd = scene_connect(endpoints[e]);
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            const char *path = paths[i];
            for (size_t size = 0; size <= 3000000; size = size * 31 + 100) {
                const char *body = scene_bytes((unsigned)(i + size), size);
                cr_assert_eq(scene_ask(fd, "GET", path, "", NULL, 0).status, 404);
                cr_assert_eq(scene_ask(fd, "HEAD", path, "", NULL, 0).status, 404);
                cr_assert_eq(scene_ask(fd, "PUT", path, "", "before", 6).status, 200);
                cr_assert_eq(scene_ask(fd, "PUT", path, "", body, size).status, 200);
                struct answer answer = scene_ask(fd, "HEAD", path, "", NULL, 0);
                cr_assert_eq(answer.status, 200);
                cr_assert_eq(answer.size, size);
                for (int again = 0; again < 2; again++) {
                    answer = scene_ask(fd, "GET", path, "", NULL, 0);
                    cr_assert_eq(answer.status, 200);
                    cr_assert_eq(answer.size, size);
                    cr_assert_eq(memcmp(answer.body, body, size), 0);
                }
                cr_assert_eq(scene_ask(fd, "DELETE", path, "", NULL, 0).status, 204);
                cr_assert_eq(scene_ask(fd, "DELETE", path, "", NULL, 0).status, 404);
            }
        }
        close(fd);
    }
    end(rpd, dir);
}

Test(http, an_object_in_cas_is_what_its_name_says)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const int fd = scene_connect(scene_http(dir));

    cr_assert_eq(scene_ask(fd, "PUT", "/cas/" HASH64, "", "hello World", 11).status, 400);
    cr_assert_eq(scene_ask(fd, "GET", "/cas/" HASH64, "", NULL, 0).status, 404);
    cr_assert_eq(scene_ask(fd, "PUT", "/cas/" HASH64, "", "hello world", 11).status, 200);
    cr_assert_eq(scene_ask(fd, "PUT", "/cas/" HASH64, "", "hello", 5).status, 400);
    cr_assert_str_eq(scene_ask(fd, "GET", "/cas/" HASH64, "", NULL, 0).body, "hello world");
    cr_assert_eq(scene_ask(fd, "PUT", "/x/cas/" HASH64, "", "hello", 5).status, 400);
    /* What is no SHA-256 is refused, and so is the rest of the connection. */
    cr_assert_eq(scene_ask(fd, "PUT", "/cas/abc", "", "hello", 5).status, 400);
    cr_assert_eq(scene_ask(fd, "GET", "/cas/" HASH64, "", NULL, 0).status, 0);
    close(fd);
    end(rpd, dir);
}

Test(http, requests_that_come_together_are_answered_in_order)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const int fd = scene_connect(scene_http(dir));
    const char *big = scene_bytes(1, 400000), *head;

    cr_assert_eq(scene_put(dir, "/big", big, 400000), 200);
    cr_assert_eq(scene_put(dir, "/small", "small", 5), 200);
    head = "GET /big HTTP/1.1\r\nHost: x\r\n\r\nPUT /new HTTP/1.1\r\nHost: x\r\n"
           "Content-Length: 3\r\n\r\nnewGET /small HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /none HTTP/1.1\r\nHost: x\r\n\r\nGET /new HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    cr_assert_eq(send_all(fd, head, strlen(head)), 0);
    struct answer answer = scene_read_answer(fd, false);
    cr_assert(answer.status == 200 && memcmp(answer.body, big, 400000) == 0);
    cr_assert_eq(scene_read_answer(fd, false).status, 200);
    cr_assert_str_eq(scene_read_answer(fd, false).body, "small");
    cr_assert_eq(scene_read_answer(fd, false).status, 404);
    cr_assert_str_eq(scene_read_answer(fd, false).body, "new");
    answer = scene_read_answer(fd, false);
    cr_assert(answer.status == 200 && memcmp(answer.body, big, 400000) == 0);
    cr_assert_not_null(strstr(answer.head, "Connection: close"));
    cr_assert_eq(read_exactly(fd, (char[1]){0}, 1), 0, "the connection is closed");
    close(fd);
    end(rpd, dir);
}

/* What follows a request that is refused is never read as another one: the object that a smuggled
 * request would remove stays. test_cache_request.c has the list of what is refused. */
Test(http, nothing_is_smuggled)
{
#define SMUGGLED "DELETE /victim HTTP/1.1\r\nHost: x\r\n\r\n"
#define BEGIN "PUT /k HTTP/1.1\r\nHost: x\r\n"
    static const char *const requests[] = {
        BEGIN "Content-Length: 0\r\nContent-Length: 42\r\n\r\n" SMUGGLED,
        BEGIN "Content-Length: 42\r\nContent-Length: 0\r\n\r\n" SMUGGLED,
        BEGIN "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        BEGIN "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        BEGIN "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        BEGIN "Content-Length : 0\r\n\r\n" SMUGGLED,
        BEGIN "Content-Length: +0\r\n\r\n" SMUGGLED,
        BEGIN "Content-Length: 0\n\n" SMUGGLED,
        BEGIN "X: y\r\n Content-Length: 0\r\n\r\n" SMUGGLED,
        "GET /k HTTP/1.1\r\nHost: x\r\nContent-Length: 42\r\n\r\n" SMUGGLED,
        "GET /k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" SMUGGLED,
        "POST /k HTTP/1.1\r\nHost: x\r\nContent-Length: 42\r\n\r\n" SMUGGLED,
        "GET /a/../k HTTP/1.1\r\nHost: x\r\n\r\n" SMUGGLED,
        "GET /k HTTP/1.1\r\n\r\n" SMUGGLED,
        "GET /k\r\n\r\n" SMUGGLED,
        "\r\n\r\n" SMUGGLED,
    };
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");

    cr_assert_eq(scene_put(dir, "/victim", "alive", 5), 200);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        const int fd = scene_connect(scene_http(dir));
        cr_assert_eq(send_all(fd, requests[i], strlen(requests[i])), 0);
        const struct answer answer = scene_read_answer(fd, false);
        cr_expect(answer.status >= 400 && answer.status < 506, "%d: %s", answer.status,
                  requests[i]);
        cr_expect_eq(scene_read_answer(fd, false).status, 0, "the end follows: %s", requests[i]);
        cr_expect_eq(scene_get(dir, "/victim").status, 200, "%s", requests[i]);
        close(fd);
    }
    /* The control: the same request by itself does remove it. */
    const int fd = scene_connect(scene_http(dir));
    cr_assert_eq(send_all(fd, SMUGGLED, strlen(SMUGGLED)), 0);
    cr_assert_eq(scene_read_answer(fd, false).status, 204);
    cr_assert_eq(scene_get(dir, "/victim").status, 404);
    close(fd);
    end(rpd, dir);
}

Test(http, a_request_may_come_byte_by_byte)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const int fd = scene_connect(scene_http(dir));
    const char *text = "PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nslowGET /slow "
                       "HTTP/1.0\r\n\r\n";

    for (; *text; text++)
        cr_assert_eq(send_all(fd, text, 1), 0);
    cr_assert_eq(scene_read_answer(fd, false).status, 200);
    cr_assert_str_eq(scene_read_answer(fd, false).body, "slow");
    cr_assert_eq(scene_read_answer(fd, false).status, 0);
    close(fd);
    end(rpd, dir);
}

Test(http, sizes_are_limited)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, ", \"max_object\": 10000");
    const int fd = scene_connect(scene_http(dir));
    const char *body = scene_bytes(1, 3000000);

    cr_assert_eq(scene_ask(fd, "PUT", "/fits", "", body, 10000).status, 200);
    /* What has been sent all the same is dropped, and the connection stays. */
    cr_assert_eq(scene_ask(fd, "PUT", "/large", "", body, 10001).status, 413);
    cr_assert_eq(scene_ask(fd, "PUT", "/large", "", body, 3000000).status, 413);
    cr_assert_eq(scene_ask(fd, "GET", "/large", "", NULL, 0).status, 404);
    cr_assert_eq(scene_ask(fd, "GET", "/fits", "", NULL, 0).size, 10000);
    /* Who asks first is refused first. */
    const char *head = "PUT /large HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                       "Content-Length: 10001\r\n\r\n";
    cr_assert_eq(send_all(fd, head, strlen(head)), 0);
    cr_assert_eq(scene_read_answer(fd, false).status, 413);
    close(fd);
    end(rpd, dir);
}

Test(http, a_client_that_waits_to_continue_is_told)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const int fd = scene_connect(scene_http(dir));
    const char *head = "PUT /k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                       "Content-Length: 5\r\n\r\n";
    char line[100];

    cr_assert_eq(send_all(fd, head, strlen(head)), 0);
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    cr_assert_str_eq(line, "HTTP/1.1 100 Continue\r\n");
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    cr_assert_eq(send_all(fd, "hello", 5), 0);
    cr_assert_eq(scene_read_answer(fd, false).status, 200);
    cr_assert_str_eq(scene_get(dir, "/k").body, "hello");
    close(fd);
    end(rpd, dir);
}

/* A client that leaves in the middle of a body leaves nothing. */
Test(http, half_a_body_is_no_object)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const char *body = scene_bytes(1, 3000000);

    cr_assert_eq(scene_put(dir, "/k", "before", 6), 200);
    for (size_t size = 1; size < 3000000; size = size * 5 + 1) {
        const int fd = scene_connect(scene_http(dir));
        const char *head = "PUT /k HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n";
        cr_assert_eq(send_all(fd, head, strlen(head)), 0);
        cr_assert_eq(send_all(fd, body, size), 0);
        shutdown(fd, SHUT_WR);
        const int status = scene_read_answer(fd, false).status;
        cr_assert(status == 0 || status == 503, "%d", status);
        close(fd);
        cr_assert_str_eq(scene_get(dir, "/k").body, "before");
    }
    cr_assert_eq(scene_count_objects(dir, NULL), 1);
    process_stop(rpd);
    cr_assert(!scene_has_leftovers(dir));
    process_free(rpd);
    temp_dir_remove(dir);
}

static void write_credentials(const char *dir)
{
    const char *path = textf("%s/credentials", dir), *text = "ci:secret\ntoken\n";

    file_write(path, text, strlen(text));
    chmod(path, 0600);
}

Test(http, who_has_no_credentials_is_refused)
{
    static const char good[] = "Authorization: Basic Y2k6c2VjcmV0\r\n";
    static const char bad[] = "Authorization: Basic Y2k6c2VjcmV1\r\n";
    const char *dir = temp_dir_make();

    write_credentials(dir);
    for (int anonymous = 0; anonymous < 2; anonymous++) {
        struct process *rpd = start(dir, textf(", \"credentials_file\": \"%s/credentials\", "
                                               "\"anonymous_reads\": %s",
                                               dir, anonymous ? "true" : "false"));
        int fd = scene_connect(scene_http(dir));
        cr_assert_eq(scene_ask(fd, "PUT", "/k", good, "hello", 5).status, 200);
        cr_assert_eq(scene_ask(fd, "GET", "/k", "Authorization: Bearer token\r\n", NULL, 0).status,
                     200);
        cr_assert_eq(scene_ask(fd, "PUT", "/k", bad, "other", 5).status, 401);
        close(fd);
        fd = scene_connect(scene_http(dir));
        cr_assert_eq(scene_ask(fd, "GET", "/k", "", NULL, 0).status, anonymous ? 200 : 401);
        close(fd);
        fd = scene_connect(scene_http(dir));
        struct answer answer = scene_ask(fd, "DELETE", "/k", "", NULL, 0);
        cr_assert_eq(answer.status, 401);
        cr_assert_not_null(strstr(answer.head, "WWW-Authenticate: Basic"));
        close(fd);
        cr_assert_eq(process_code(process_stop(rpd)), 0);
        process_free(rpd);
    }
    temp_dir_remove(dir);
}

Test(http, a_file_without_credentials_ends_the_start)
{
    const char *dir = temp_dir_make(), *path = textf("%s/credentials", dir);
    struct process *rpd;

    if (with_keeper())
        cr_skip("a keeper starts its runner again");
    file_write(path, "# nobody\n", 9);
    chmod(path, 0600);
    rpd = process_start(&(struct process_options){
        .argv = ARGS(
            "rpd", "-c",
            scene_configuration(dir, textf(", \"credentials_file\": \"%s/credentials\"", dir), "")),
        .runtime_dir = dir});
    cr_assert_eq(process_code(process_wait_exit(rpd)), 71, "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "credentials_file"), "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(http, a_cache_to_read_is_not_written)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");

    cr_assert_eq(scene_put(dir, "/k", "hello", 5), 200);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    rpd = start(dir, ", \"read_only\": true");
    cr_assert_eq(scene_put(dir, "/k", "other", 5), 403);
    cr_assert_eq(scene_put(dir, "/l", "other", 5), 403);
    const int fd = scene_connect(scene_http(dir));
    cr_assert_eq(scene_ask(fd, "DELETE", "/k", "", NULL, 0).status, 403);
    close(fd);
    cr_assert_str_eq(scene_get(dir, "/k").body, "hello");
    end(rpd, dir);
}
