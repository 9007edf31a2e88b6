/* Endpoints. See endpoint.h. */
#include "endpoint/endpoint.h"

#include "base/directory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char EXPECTED[] = "expected unix:/path, unix:name, unix:@name, tcp:127.0.0.1:7007, "
                               "tcp:[::1]:7007, tcp:localhost:7007 or "
                               "tcp:*:7007";

static int refuse(const struct config_listen *listen, const char *why, struct error *error)
{
    return error_set(error, EXIT_CONFIG, "config", listen->origin ? listen->origin : "endpoint",
                     "endpoint \"%s\": %s", listen->endpoint, why);
}

static int find_group(const char *name, gid_t *ret_group)
{
    char buffer[4096];
    struct group group, *found = NULL;
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    if (*name && !*end && number < UINT32_MAX) {
        *ret_group = (gid_t)number;
        return 0;
    }
    if (getgrnam_r(name, &group, buffer, sizeof buffer, &found) != 0 || !found)
        return -1;
    *ret_group = found->gr_gid;
    return 0;
}

static int resolve_abstract(struct rpd_endpoint *endpoint, const struct config_listen *listen,
                            const char *name, struct error *error)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&endpoint->address;
    const size_t length = strlen(name);

    if (length == 0)
        return refuse(listen, "a name must follow the @; expected unix:@name", error);
    if (length + 1 > sizeof address->sun_path)
        return refuse(listen,
                      "the name is longer than a socket address can hold (106 bytes); use a "
                      "shorter one",
                      error);
    endpoint->kind = ENDPOINT_ABSTRACT;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + 1, name, length);
    endpoint->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    snprintf(endpoint->text, sizeof endpoint->text, "unix:@%s", name);
    return 0;
}

static int resolve_path(struct rpd_endpoint *endpoint, const struct config_listen *listen,
                        const char *path, const char *runtime_dir, struct error *error)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&endpoint->address;
    char whole[PATH_MAX];
    const char *slash;
    int length = *path == '/' ? snprintf(whole, sizeof whole, "%s", path)
                              : snprintf(whole, sizeof whole, "%s/%s", runtime_dir, path);

    if (*path == '\0' || path[strlen(path) - 1] == '/')
        return refuse(listen, "the path of a socket must follow; expected unix:/path", error);
    if (length < 0 || (size_t)length >= sizeof address->sun_path)
        return refuse(listen,
                      "the path is longer than a socket address can hold (107 bytes); use a "
                      "shorter one",
                      error);
    slash = strrchr(whole, '/');
    if (strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0)
        return refuse(listen, "the path names a directory; name a socket in it", error);
    endpoint->kind = ENDPOINT_PATH;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, whole, (size_t)length + 1);
    endpoint->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length +
                                           1);
    snprintf(endpoint->text, sizeof endpoint->text, "unix:%.107s", whole);
    snprintf(endpoint->directory, sizeof endpoint->directory, "%.*s",
             slash == whole ? 1 : (int)(slash - whole), whole);
    snprintf(endpoint->name, sizeof endpoint->name, "%s", slash + 1);
    endpoint->mode = listen->mode;
    endpoint->group = (gid_t)-1;
    if (listen->group && find_group(listen->group, &endpoint->group) < 0)
        return refuse(listen, "there is no such group; see /etc/group", error);
    return 0;
}

static void set_ipv4(struct rpd_endpoint *endpoint, struct in_addr host, in_port_t port)
{
    struct sockaddr_in *address = (struct sockaddr_in *)&endpoint->address;

    address->sin_family = AF_INET;
    address->sin_addr = host;
    address->sin_port = htons(port);
    endpoint->address_length = sizeof *address;
}

static void set_ipv6(struct rpd_endpoint *endpoint, struct in6_addr host, in_port_t port)
{
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)&endpoint->address;

    address->sin6_family = AF_INET6;
    address->sin6_addr = host;
    address->sin6_port = htons(port);
    endpoint->address_length = sizeof *address;
}

static int resolve_host(struct rpd_endpoint *endpoint, const char *host, in_port_t port)
{
    struct in_addr ipv4;
    struct in6_addr ipv6;
    const size_t length = strlen(host);
    char inner[INET6_ADDRSTRLEN];

    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "*") == 0)
        host = "0.0.0.0";
    if (inet_pton(AF_INET, host, &ipv4) == 1) {
        set_ipv4(endpoint, ipv4, port);
        return 0;
    }
    if (length < 3 || length > sizeof inner || host[0] != '[' || host[length - 1] != ']')
        return -1;
    snprintf(inner, sizeof inner, "%.*s", (int)length - 2, host + 1);
    if (inet_pton(AF_INET6, inner, &ipv6) != 1)
        return -1;
    set_ipv6(endpoint, ipv6, port);
    return 0;
}

static int resolve_tcp(struct rpd_endpoint *endpoint, const struct config_listen *listen,
                       const char *text, struct error *error)
{
    const char *colon = strrchr(text, ':');
    char host[80];
    char *end;
    unsigned long port;

    if (!colon || colon[1] < '0' || colon[1] > '9')
        return refuse(listen, "a port is missing; expected tcp:HOST:PORT", error);
    port = strtoul(colon + 1, &end, 10);
    if (*end || port > 65535)
        return refuse(listen, "the port is out of range; use a number from 0 to 65535", error);
    if (snprintf(host, sizeof host, "%.*s", (int)(colon - text), text) >= (int)sizeof host ||
        resolve_host(endpoint, host, (in_port_t)port) < 0)
        return refuse(listen,
                      "the host must be a numeric address (IPv6 in brackets), localhost or *; "
                      "names are not looked up",
                      error);
    endpoint->kind = ENDPOINT_TCP;
    endpoint_format((struct sockaddr *)&endpoint->address, endpoint->address_length,
                    endpoint->text);
    return 0;
}

static in_port_t port_of(const struct sockaddr *address)
{
    return ntohs(address->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

/* Not whether IPv6 is there at all: a machine may have it without this address. */
static bool machine_has(const struct rpd_endpoint *endpoint)
{
    struct rpd_endpoint any_port = *endpoint;
    const int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has;

    ((struct sockaddr_in6 *)&any_port.address)->sin6_port = 0;
    has = fd >= 0 && bind(fd, (struct sockaddr *)&any_port.address, any_port.address_length) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

bool endpoint_is_two(const struct config_listen *listen)
{
    static const char localhost[] = "tcp:localhost:";

    return strncmp(listen->endpoint, localhost, sizeof localhost - 1) == 0;
}

bool endpoint_second(const struct rpd_endpoint *first, const struct config_listen *listen,
                     struct rpd_endpoint *ret_second)
{
    if (!endpoint_is_two(listen))
        return false;
    *ret_second = *first;
    memset(&ret_second->address, 0, sizeof ret_second->address);
    set_ipv6(ret_second, in6addr_loopback, port_of((const struct sockaddr *)&first->address));
    endpoint_format((struct sockaddr *)&ret_second->address, ret_second->address_length,
                    ret_second->text);
    return machine_has(ret_second);
}

int endpoint_resolve(struct rpd_endpoint *endpoint, const struct config_listen *listen,
                     const char *runtime_dir, struct error *error)
{
    const char *text = listen->endpoint;

    memset(endpoint, 0, sizeof *endpoint);
    endpoint->backlog = listen->backlog;
    endpoint->freebind = listen->freebind;
    endpoint->origin = listen->origin;
    if (strncmp(text, "unix:@", 6) == 0)
        return resolve_abstract(endpoint, listen, text + 6, error);
    if (strncmp(text, "unix:", 5) == 0)
        return resolve_path(endpoint, listen, text + 5, runtime_dir, error);
    if (strncmp(text, "tcp:", 4) == 0)
        return resolve_tcp(endpoint, listen, text + 4, error);
    return refuse(listen, EXPECTED, error);
}

static void format_unix(const struct sockaddr_un *address, socklen_t length,
                        char ret_text[ENDPOINT_TEXT_MAX])
{
    const size_t used = length > offsetof(struct sockaddr_un, sun_path)
                            ? length - offsetof(struct sockaddr_un, sun_path)
                            : 0;

    if (used == 0)
        snprintf(ret_text, ENDPOINT_TEXT_MAX, "unix: (unnamed)");
    else if (address->sun_path[0] == '\0')
        snprintf(ret_text, ENDPOINT_TEXT_MAX, "unix:@%.*s", (int)used - 1, address->sun_path + 1);
    else
        snprintf(ret_text, ENDPOINT_TEXT_MAX, "unix:%.*s", (int)used, address->sun_path);
}

void endpoint_format(const struct sockaddr *address, socklen_t length,
                     char ret_text[ENDPOINT_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_UNIX) {
        format_unix((const struct sockaddr_un *)address, length, ret_text);
    } else if (address->sa_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &ipv4->sin_addr, host, sizeof host);
        snprintf(ret_text, ENDPOINT_TEXT_MAX, "tcp:%s:%u", host, ntohs(ipv4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &ipv6->sin6_addr, host, sizeof host);
        snprintf(ret_text, ENDPOINT_TEXT_MAX, "tcp:[%s]:%u", host, ntohs(ipv6->sin6_port));
    } else {
        snprintf(ret_text, ENDPOINT_TEXT_MAX, "address family %u", address->sa_family);
    }
}

void endpoint_set_port_of(struct rpd_endpoint *endpoint, const struct sockaddr *bound)
{
    const in_port_t port = htons(port_of(bound));

    if (endpoint->address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&endpoint->address)->sin6_port = port;
    else
        ((struct sockaddr_in *)&endpoint->address)->sin_port = port;
    endpoint_format((struct sockaddr *)&endpoint->address, endpoint->address_length,
                    endpoint->text);
}

bool endpoint_takes_any_port(const struct rpd_endpoint *endpoint)
{
    return endpoint->kind == ENDPOINT_TCP &&
           port_of((const struct sockaddr *)&endpoint->address) == 0;
}

/* False: it does not fit. */
static bool set_path(struct rpd_endpoint *endpoint, const char *directory, const char *name)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&endpoint->address;
    const char *slash = strcmp(directory, "/") == 0 ? "" : "/";
    int length;

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    length = snprintf(address->sun_path, sizeof address->sun_path, "%s%s%.84s", directory, slash,
                      name);
    endpoint->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                           strlen(address->sun_path) + 1);
    return length >= 0 && (size_t)length < sizeof address->sun_path;
}

void endpoint_place_by_descriptor(struct rpd_endpoint *endpoint, int dirfd, const char *name)
{
    char directory[32];

    snprintf(directory, sizeof directory, "/proc/self/fd/%d", dirfd);
    set_path(endpoint, directory, name);
}

bool endpoint_place_in(struct rpd_endpoint *endpoint, int dirfd, const char *directory,
                       const char *name)
{
    if (set_path(endpoint, directory, name) && directory_is_at(directory, dirfd))
        return true;
    endpoint_place_by_descriptor(endpoint, dirfd, name);
    return false;
}

struct rpd_bound endpoint_bind_in(struct rpd_endpoint *endpoint, int dirfd, const char *name)
{
    const char *path = ((struct sockaddr_un *)&endpoint->address)->sun_path;
    struct rpd_bound bound = rpd_bind_plainly(endpoint);
    struct stat status;

    if (bound.outcome != RPD_BIND_LISTENING ||
        fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return bound;
    /* The path was made to lead elsewhere just now, and the socket is there. */
    unlink(path);
    close(bound.fd);
    endpoint_place_by_descriptor(endpoint, dirfd, name);
    return rpd_bind_plainly(endpoint);
}

bool endpoint_is(const struct rpd_endpoint *endpoint, const struct sockaddr *address,
                 socklen_t length)
{
    const struct sockaddr *wanted = (const struct sockaddr *)&endpoint->address;
    char wanted_text[ENDPOINT_TEXT_MAX], found_text[ENDPOINT_TEXT_MAX];
    struct sockaddr_storage found = {0};

    if (address->sa_family != wanted->sa_family || length > sizeof found)
        return false;
    memcpy(&found, address, length);
    if (endpoint->kind == ENDPOINT_TCP && port_of(wanted) == 0) {
        if (found.ss_family == AF_INET6)
            ((struct sockaddr_in6 *)&found)->sin6_port = 0;
        else
            ((struct sockaddr_in *)&found)->sin_port = 0;
    }
    endpoint_format(wanted, endpoint->address_length, wanted_text);
    endpoint_format((struct sockaddr *)&found, length, found_text);
    /* sun_path of a path address may or may not count its NUL. */
    return strcmp(wanted_text, found_text) == 0;
}

const struct sockaddr *rpd_endpoint_address(const struct rpd_endpoint *endpoint,
                                            socklen_t *ret_length)
{
    *ret_length = endpoint->address_length;
    return (const struct sockaddr *)&endpoint->address;
}

int rpd_endpoint_backlog(const struct rpd_endpoint *endpoint)
{
    return endpoint->backlog;
}

const char *rpd_endpoint_text(const struct rpd_endpoint *endpoint)
{
    return endpoint->text;
}
