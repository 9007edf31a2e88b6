/* Checks of bind: in time, alone, and all or nothing. */
#include "library/libjansson.h"
#include "rpdctl/check/checks.h"

#include "config/keys.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { END_MS = 3000 };

static enum verdict check_budget(struct kit *kit)
{
    struct stage *stage = stage_start(kit, &(const struct stage_options){0});

    if (!stage || !stage_is_bound(stage))
        return FAILED;
    return kit_passed(kit, "%.1f ms after it was started",
                      (double)(stage->bound_us - stage->started_us) / 1e3);
}

static enum verdict check_sealed(struct kit *kit)
{
    struct stage *stage;

    if (!kit->note.has_own_bind)
        return kit_skipped(kit, "rpd binds for it");
    if (!config_key_at("services[].seal"))
        return kit_skipped(kit, "this rpd has no seal");
    stage = stage_start(kit, &(const struct stage_options){.seal = "enforce"});
    return stage && stage_is_bound(stage) ? kit_passes(kit) : FAILED;
}

/* A listener of another process, and its endpoint. -1: there is none. */
static int take_port(char ret_endpoint[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &length) == 0) {
        snprintf(ret_endpoint, 64, "tcp:127.0.0.1:%d", ntohs(address.sin_port));
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static enum verdict check_taken(struct kit *kit)
{
    char endpoint[64];
    const int fd = take_port(endpoint);
    struct stage *stage;
    bool good;

    if (fd < 0)
        return kit_skipped(kit, "no TCP port can be had here");
    stage = stage_start(kit, &(const struct stage_options){.listen = {endpoint}});
    good = stage && stage_ends(stage, EXIT_RUNNING, END_MS);
    close(fd);
    return good ? kit_passes(kit) : FAILED;
}

static enum verdict check_twice(struct kit *kit)
{
    struct stage *first = stage_start_ready(kit), *second;
    char endpoint[sizeof first->socket + 8];

    if (!first)
        return FAILED;
    snprintf(endpoint, sizeof endpoint, "unix:%s", first->socket);
    second = stage_start(kit, &(const struct stage_options){.listen = {endpoint}});
    if (!second || !stage_ends(second, EXIT_RUNNING, END_MS) || !stage_answers(first))
        return FAILED;
    return kit_passed(kit, "the second one leaves, the first one goes on");
}

/* An address of documentation (RFC 5737), which no machine has. The other endpoint is a good one.
 * (A bind of its own may refuse to be reached from other machines at all.) */
static enum verdict check_failure(struct kit *kit)
{
    struct stage *stage = stage_start(
        kit, &(const struct stage_options){.listen = {NULL, "tcp:192.0.2.1:7"}});

    if (!stage)
        return FAILED;
    if (!stage_ends(stage, EXIT_SYSTEM, END_MS) &&
        !(kit->note.has_own_bind && stage_ends(stage, EXIT_CONFIG, END_MS))) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)};
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const bool odd = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

        close(fd);
        return odd ? kit_skipped(kit, "any address can be bound here") : FAILED;
    }
    return access(stage->socket, F_OK) != 0
               ? kit_passed(kit, "the start ends, and no socket is left")
               : kit_failed(kit, "a socket is left; close and remove what a bind made");
}

/* Clients connect while serve is kept waiting, and are answered afterwards. */
static enum verdict check_without_serve(struct kit *kit)
{
    struct stage *stage = stage_start(kit, &(const struct stage_options){.wrap = "serve-late"});
    int fd;

    if (!stage || !stage_is_bound(stage))
        return FAILED;
    fd = client_open(stage);
    if (fd < 0 || !client_asks(stage, fd) || !stage_is_ready(stage))
        return FAILED;
    if (!client_is_answered(stage, fd, END_MS))
        return FAILED;
    return kit_passes(kit);
}

const struct check checks_of_bind[] = {
    {"bind.budget", "bound in time", check_budget, true},
    {"bind.sealed", "its bind keeps to the socket", check_sealed, true},
    {"bind.taken", "an endpoint that is taken", check_taken, true},
    {"bind.twice", "a second daemon for the same endpoint", check_twice, true},
    {"bind.failure", "a bind that fails leaves nothing", check_failure, true},
    {"bind.without_serve", "clients connect before serve", check_without_serve, true},
    {0},
};
