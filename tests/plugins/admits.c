/* A backend that records which clients it has admitted, in a file that outlives it: by the client's
 * name (five hexadecimal digits, which the kernel gives by autobind), and by the inode of the
 * socket while the client is connected. It greets each client, and echoes each line.
 *
 * In the step that $TEST_DIES_AT names it kills its process, once: the file $TEST_DIES_FILE must
 * exist, and is removed first. */
#include "admits.h"

#include <rpd/backend.h>

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("board", "", "the file"),
    RPD_OPTION_STRING("gate", "", "a file: the load ends when it is there"),
    RPD_OPTIONS_END,
};

static struct admits_board *board;
static char loaded;

static unsigned name_of(int fd)
{
    struct sockaddr_un peer = {0};
    socklen_t length = sizeof peer;
    char digits[6] = "";

    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0 ||
        length < offsetof(struct sockaddr_un, sun_path) + 6)
        return 0;
    memcpy(digits, peer.sun_path + 1, 5);
    return (unsigned)strtoul(digits, NULL, 16);
}

static void die_at(const char *step)
{
    const char *at = getenv("TEST_DIES_AT"), *file = getenv("TEST_DIES_FILE");

    if (at && file && strcmp(at, step) == 0 && unlink(file) == 0)
        kill(getpid(), SIGKILL);
}

__attribute__((constructor)) static void construct(void)
{
    die_at("constructor");
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    const int fd = rpd_conn_fd(conn);
    struct stat status;

    (void)state;
    if (board && fd < ADMITS_FDS && fstat(fd, &status) == 0) {
        /* In this order: when the test sees the inode, the name is already recorded. */
        __atomic_store_n(&board->admitted[name_of(fd) % ADMITS_NAMES], 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&board->inodes[fd], status.st_ino, __ATOMIC_SEQ_CST);
    }
    die_at("connect");
    rpd_conn_write(conn, "hello\n", 6);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    die_at("data");
    while (rpd_conn_read_line(conn, &line)) {
        rpd_conn_write(conn, line.data, line.size);
        rpd_conn_write(conn, "\n", 1);
    }
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    const char *path = rpd_option_string(service, "board");
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED
                       : mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    die_at("serve");
    if (fd >= 0)
        close(fd);
    if (map != MAP_FAILED) {
        board = map;
        memset(board->inodes, 0, sizeof board->inodes);
    }
    return rpd_serve_connections(service, listener);
}

static void *load(struct rpd_load *run)
{
    const char *gate = rpd_option_string(rpd_load_service(run), "gate");

    while (*gate && access(gate, F_OK) != 0 && rpd_load_wait(run, 1))
        continue;
    die_at("load");
    return &loaded;
}

static void on_ready(struct rpd_service *service, void *state)
{
    (void)service;
    (void)state;
    die_at("ready");
}

static void on_drain(struct rpd_service *service, void *state)
{
    (void)service;
    (void)state;
    die_at("drain");
}

static void stop(struct rpd_service *service, void *state)
{
    (void)service;
    (void)state;
    die_at("stop");
}

static void unload(void *state)
{
    (void)state;
    die_at("unload");
}

RPD_BACKEND(admits, .summary = "Says whom it has admitted", .options = options, .load = load,
            .unload = unload, .on_ready = on_ready, .on_drain = on_drain, .stop = stop,
            .serve = serve, .on_connect = on_connect, .on_data = on_data);
