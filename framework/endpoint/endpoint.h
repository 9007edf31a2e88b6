/* Endpoints: from text to an address that can be bound. No name is looked up. */
#ifndef FRAMEWORK_ENDPOINT_H
#define FRAMEWORK_ENDPOINT_H

#include "base/error.h"
#include "config/config.h"

#include <rpd/endpoint.h>

#include <limits.h>
#include <stdbool.h>
#include <sys/un.h>

enum endpoint_kind { ENDPOINT_PATH, ENDPOINT_ABSTRACT, ENDPOINT_TCP };

enum { ENDPOINT_TEXT_MAX = 160 };

struct rpd_endpoint {
    enum endpoint_kind kind;
    const char *origin;           /* where it was configured; NULL: the default */
    char text[ENDPOINT_TEXT_MAX]; /* "unix:/run/x.sock": absolute, as clients use it */
    struct sockaddr_storage address;
    socklen_t address_length;
    int backlog;
    bool freebind; /* TCP: also where the machine does not have the address */
    /* A unix path only: */
    char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char name[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* the last component */
    mode_t mode;
    gid_t group; /* (gid_t)-1: as it comes */
};

/* Reads one configured endpoint. A relative unix path is relative to runtime_dir. If
 * the text cannot be parsed, fails with 78 and reports what was expected. */
int endpoint_resolve(struct rpd_endpoint *endpoint, const struct config_listen *listen,
                     const char *runtime_dir, struct error *error);

/* Sets the address of a unix path to this name, of up to 84 bytes, in an open directory. Others
 * see the address as it was bound, so it contains the directory's path if that fits and leads
 * there. True: it contains the path, which may lead elsewhere when the address is bound. */
bool endpoint_place_in(struct rpd_endpoint *endpoint, int dirfd, const char *directory,
                       const char *name);

/* The same by the descriptor, regardless of changes to the directory's path and of its length. */
void endpoint_place_by_descriptor(struct rpd_endpoint *endpoint, int dirfd, const char *name);

/* Binds the address that endpoint_place_in() has set, in exactly the directory that is open. */
struct rpd_bound endpoint_bind_in(struct rpd_endpoint *endpoint, int dirfd, const char *name);

/* Writes an address as clients name it, "tcp:127.0.0.1:7007". */
void endpoint_format(const struct sockaddr *address, socklen_t length,
                     char ret_text[ENDPOINT_TEXT_MAX]);

/* Whether a bound address is what the endpoint asks for. Port 0 asks for any. */
bool endpoint_is(const struct rpd_endpoint *endpoint, const struct sockaddr *address,
                 socklen_t length);

bool endpoint_is_two(const struct config_listen *listen);

/* tcp:localhost names two addresses if the machine has ::1. Makes the second endpoint. Returns
 * false if there is none. */
bool endpoint_second(const struct rpd_endpoint *first, const struct config_listen *listen,
                     struct rpd_endpoint *ret_second);

/* Takes over the port of a bound address. */
void endpoint_set_port_of(struct rpd_endpoint *endpoint, const struct sockaddr *bound);

/* TCP with port 0: each such endpoint gets a port of its own. */
bool endpoint_takes_any_port(const struct rpd_endpoint *endpoint);

#endif
