/* Peers: how many clients each user (unix) or address without its port (tcp)
 * has, so that one of them cannot take all places. */
#ifndef FRAMEWORK_PEERS_H
#define FRAMEWORK_PEERS_H

#include "clients/conn_memory.h"

#include <stddef.h>
#include <sys/socket.h>

struct peer;

/* Those that have a client; zeroed to begin with. */
struct peers {
    void *tree;
    size_t memory_most; /* bound of what all connections of one hold in buffers; 0: none */
};

/* Counts one more client, connected at fd, of its peer, of which there may be
 * `most`. NULL with errno: EDQUOT if that is too many, ENOMEM without memory. */
struct peer *peers_enter(struct peers *peers, int fd, const struct sockaddr *address,
                         socklen_t length, size_t most);

/* The peer's, while it has a client. */
struct conn_memory *peer_memory(struct peer *peer);

/* One client of the peer has left. */
void peers_leave(struct peers *peers, struct peer *peer);

#endif
