/* A daemon with limits, and clients that reach them. */
#ifndef TESTS_INTEGRATION_LIMITS_SCENE_H
#define TESTS_INTEGRATION_LIMITS_SCENE_H

#include "common.h"
#include "observe/state_view.h"

struct server {
    const char *dir, *endpoint, *tcp;
    struct process *rpd;
};

/* members: of the service, after "limits". */
struct server serve(const char *plugin, const char *limits, const char *members);

struct server serve_talk(const char *limits);

void end_server(struct server *server);

bool something_comes(int fd, int milliseconds);

/* The connection is closed by end of file or, if the daemon left input unread, by a reset. */
bool is_closed(int fd);

/* The sum of the numbers in all lines "N clients TEXT". */
int clients_in_lines(const char *log, const char *text);

/* Waits until the log has counted this many. */
void wait_for_clients_in_lines(struct server *server, const char *text, int count);

/* At most this many: the daemon opens a file for a moment now and then. */
void assert_fds(const struct server *server, int most);

int64_t ms_since(int64_t start_ns);

/* Connects from another address of this machine. */
int client_from(const char *address, const char *endpoint);

/* Connects as another user. Returns 0 if the daemon answers. */
int ask_as_nobody(const char *endpoint);

#define assert_quiet(fd, milliseconds)                                                             \
    cr_assert(!something_comes(fd, milliseconds), "an answer, or the end")

#define assert_closed(fd, server)                                                                  \
    cr_assert(is_closed(fd), "not closed:\n%s", process_stderr((server)->rpd))

#define assert_answered(fd, server) assert_text(ask(fd, "echo x"), "x", (server)->rpd)

#endif
