/* Peers and their clients. See peers.h. */
#include "clients/peers.h"

#include <errno.h>
#include <netinet/in.h>
#include <search.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Compared as bytes: it must have no padding. */
struct key {
    uint32_t family;
    uint32_t uid; /* of a unix client; of others 0 */
    uint8_t address[16];
};

struct peer {
    struct key key; /* first: the tree compares keys */
    size_t clients;
    struct conn_memory memory;
};
_Static_assert(offsetof(struct peer, key) == 0, "the one is found by a pointer to the other");

static int compare(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct key));
}

static uint32_t uid_of(int fd)
{
    struct ucred credentials = {.uid = (uid_t)-1};
    socklen_t size = sizeof credentials;

    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
    return credentials.uid;
}

/* An IPv4 client is the same peer to a listener of both kinds and to one of its
 * own. */
static void set_ipv4(struct key *key, const struct sockaddr_in *address)
{
    key->family = AF_INET6;
    key->address[10] = key->address[11] = 0xff;
    memcpy(key->address + 12, &address->sin_addr, sizeof address->sin_addr);
}

static struct key key_of(int fd, const struct sockaddr *address, socklen_t length)
{
    struct key key = {.family = AF_UNIX};

    if (length >= sizeof(struct sockaddr_in) && address->sa_family == AF_INET) {
        set_ipv4(&key, (const struct sockaddr_in *)(const void *)address);
    } else if (length >= sizeof(struct sockaddr_in6) && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const void *)address;
        key.family = AF_INET6;
        memcpy(key.address, &ipv6->sin6_addr, sizeof key.address);
    } else {
        key.uid = uid_of(fd);
    }
    return key;
}

static struct peer *find_or_add(struct peers *peers, const struct key *key)
{
    struct peer *const *found = tfind(key, &peers->tree, compare);
    struct peer *added;

    if (found)
        return *found;
    added = calloc(1, sizeof *added);
    if (!added)
        return NULL;
    added->key = *key;
    conn_memory_init(&added->memory, peers->memory_most);
    if (!tsearch(added, &peers->tree, compare)) {
        free(added);
        return NULL;
    }
    return added;
}

struct peer *peers_enter(struct peers *peers, int fd, const struct sockaddr *address,
                         socklen_t length, size_t most)
{
    const struct key key = key_of(fd, address, length);
    struct peer *peer = find_or_add(peers, &key);

    if (!peer || peer->clients >= most) {
        errno = peer ? EDQUOT : ENOMEM;
        return NULL;
    }
    peer->clients++;
    return peer;
}

struct conn_memory *peer_memory(struct peer *peer)
{
    return &peer->memory;
}

void peers_leave(struct peers *peers, struct peer *peer)
{
    if (--peer->clients > 0)
        return;
    tdelete(peer, &peers->tree, compare);
    free(peer);
}
