/* A dashboard that runs, and requests to it, byte by byte. */
#ifndef TESTS_DASHBOARD_HTTP_H
#define TESTS_DASHBOARD_HTTP_H

#include "common.h"

#include <jansson.h>

struct board {
    const char *dir, *run;
    const char *unix_endpoint, *tcp_endpoint;
    unsigned port;
    struct process *rpd;
};

/* With a unix socket and a port of the loopback; its services are those in board.run. Skips the
 * test where the plugin was not built. */
struct board board_start(void);
void board_end(struct board *board);

struct reply {
    int code;         /* 0: there was none */
    const char *head; /* with the status line */
    const char *body;
    size_t body_size;
};

/* What is sent as it is, on a connection of its own; the answer is read to its end. */
struct reply send_raw(const char *endpoint, const char *request, size_t size);

/* more: further header lines, each with its "\r\n". */
struct reply ask_for(const char *endpoint, const char *method, const char *path, const char *host,
                     const char *more);

/* GET, of the unix socket. */
struct reply get(const struct board *board, const char *path, const char *more);

/* The service in /status.json; NULL: it is not there. It lives until the next call. */
json_t *status_of(const struct board *board, const char *service);

/* Its string, or "null". */
const char *text_of(const json_t *object, const char *key);

/* Until its key has this text, or it has this state. */
json_t *await_text(const struct board *board, const char *service, const char *key,
                   const char *wanted);
json_t *await_state(const struct board *board, const char *service, const char *state);

#define assert_reply(reply, wanted)                                                                \
    cr_assert_eq((reply).code, (wanted), "%d instead of %d:\n%s%s", (reply).code, (wanted),        \
                 (reply).head, (reply).body)

#endif
