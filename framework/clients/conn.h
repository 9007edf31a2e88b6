/* Connections on the loop: the data path. The backend's side is rpd/conn.h.
 *
 * Plain events with read and gathered writes. All connections of a loop share one input and one
 * output block: bytes stay there while a callback runs, and only what is left over is copied to the
 * connection itself, so that an idle connection owns no buffer. */
#ifndef FRAMEWORK_CONN_H
#define FRAMEWORK_CONN_H

#include "clients/conn_group.h"

int conn_loop_init(struct conn_loop *loop, struct event_base *base);
void conn_loop_finish(struct conn_loop *loop);

/* The owner sets the fields above state before the call. */
void conn_group_init(struct conn_group *group, struct conn_loop *loop);

/* [loop] Other limits hold from now on, for the clients that are there, too. limits stays the
 * caller's. */
void conn_group_change_limits(struct conn_group *group, const struct config_limits *limits);

/* The caller has closed all connections. */
void conn_group_finish(struct conn_group *group);

/* [loop] Takes in a client that has a place: on_connect, then on_data as bytes come. Closes the
 * client if there is no memory. */
void conn_open(struct conn_group *group, int take_fd, const struct rpd_listener *listener);

/* [loop] Takes in a client only to give it the busy answer. */
void conn_refuse(struct conn_group *group, int take_fd, const struct rpd_listener *listener);

/* [loop] Whether this is the callback that gives the busy answer. */
typedef void (*conn_code)(void);
bool conn_is_busy_answer(conn_code code);

/* [loop] Requests that have come are still answered; idle connections are closed now, the others as
 * soon as they are idle. */
void conn_group_drain(struct conn_group *group);

/* [loop] Closes all. */
void conn_group_abort(struct conn_group *group);

/* What is said of one of them. */
struct conn_view {
    uint64_t received, sent;
    size_t input, output; /* that waits, in bytes */
    bool is_closing;
    const char *waits_for;
};

/* [loop] All of them; what one is about; and the end of the one with this descriptor: false: there
 * is none. */
void conn_group_visit(const struct conn_group *group,
                      void (*visit)(void *arg, int fd, const struct rpd_conn *conn), void *arg);
void conn_look(const struct rpd_conn *conn, struct conn_view *ret);
bool conn_group_end(struct conn_group *group, int fd);

#endif
