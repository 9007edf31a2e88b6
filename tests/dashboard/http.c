/* See http.h. */
#include "http.h"

#include "rpdctl_run.h"

enum { REPLY_SIZE = 4 << 20, DEADLINE_S = 60 };

struct board board_start(void)
{
    struct board board = {.dir = temp_dir_make()};

    if (access(build_path("plugins/dashboard.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    board.run = make_run(board.dir);
    board.unix_endpoint = textf("unix:%s/d.sock", board.dir);
    board.rpd = RPD_START(board.run, build_path("plugins/dashboard.so"), "-l", board.unix_endpoint,
                          "-l", "tcp:127.0.0.1:0");
    assert_bound(board.rpd);
    board.tcp_endpoint = process_endpoint(board.rpd, "tcp:");
    cr_assert_not_null(board.tcp_endpoint);
    board.port = (unsigned)atoi(strrchr(board.tcp_endpoint, ':') + 1);
    return board;
}

void board_end(struct board *board)
{
    assert_stops(board->rpd);
    process_free(board->rpd);
    temp_dir_remove(board->dir);
}

/* ---- requests ---- */

static struct reply split(const char *text, size_t size)
{
    const char *end = strstr(text, "\r\n\r\n");
    struct reply reply = {.head = "", .body = ""};

    if (!end || sscanf(text, "HTTP/1.%*d %d", &reply.code) != 1)
        return reply;
    reply.head = textf("%.*s\r\n", (int)(end - text), text);
    reply.body = textf("%s", end + 4);
    reply.body_size = size - (size_t)(end + 4 - text);
    return reply;
}

struct reply send_raw(const char *endpoint, const char *request, size_t size)
{
    char *text = malloc(REPLY_SIZE);
    const int fd = client(endpoint);
    struct reply reply;
    ssize_t got;

    cr_assert_not_null(text);
    (void)send_all(fd, request, size); /* (It may answer, and close, before it has read all.) */
    got = read_to_end(fd, text, REPLY_SIZE);
    cr_assert(got >= 0 || errno == ECONNRESET, "%s", strerror(errno));
    text[got < 0 ? 0 : got] = '\0';
    reply = split(text, got < 0 ? 0 : (size_t)got);
    free(text);
    close(fd);
    return reply;
}

struct reply ask_for(const char *endpoint, const char *method, const char *path, const char *host,
                     const char *more)
{
    const char *request = textf("%s %s HTTP/1.1\r\n%s%s%s%sConnection: close\r\n\r\n", method, path,
                                host ? "Host: " : "", host ? host : "", host ? "\r\n" : "", more);

    return send_raw(endpoint, request, strlen(request));
}

struct reply get(const struct board *board, const char *path, const char *more)
{
    return ask_for(board->unix_endpoint, "GET", path, "localhost", more);
}

/* ---- /status.json ---- */

json_t *status_of(const struct board *board, const char *service)
{
    static json_t *document;
    const struct reply reply = get(board, "/status.json", "");
    json_error_t error;
    json_t *one;
    size_t at;

    assert_reply(reply, 200);
    json_decref(document);
    document = json_loadb(reply.body, reply.body_size, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(document, "%s at %d:\n%s", error.text, error.position, reply.body);
    json_array_foreach(json_object_get(document, "services"), at, one) {
        if (strcmp(text_of(one, "service"), service) == 0)
            return one;
    }
    return NULL;
}

const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "null";
}

json_t *await_text(const struct board *board, const char *service, const char *key,
                   const char *wanted)
{
    const int64_t deadline = now_ns() + DEADLINE_S * INT64_C(1000000000);

    for (;;) {
        json_t *one = status_of(board, service);
        const char *text = one ? text_of(one, key) : "not there";
        if (strcmp(text, wanted) == 0)
            return one;
        cr_assert_lt(now_ns(), deadline, "%s of %s is %s instead of %s", key, service, text,
                     wanted);
        poll(NULL, 0, 5);
    }
}

json_t *await_state(const struct board *board, const char *service, const char *state)
{
    return await_text(board, service, "state", state);
}
