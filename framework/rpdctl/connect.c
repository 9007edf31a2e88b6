/* rpdctl connect: joins stdin and stdout to a service, which it ensures first. It is for editors
 * and other programs that know how to start a helper and use its standard streams, and would
 * otherwise start one helper each.
 *
 *     stdin  ──► a thread ──► the socket      at the end of stdin: shutdown(SHUT_WR)
 *     stdout ◄── this thread ◄── the socket   at its end: the end
 *
 * Each direction blocks on its own, so neither waits for the other, and each reads at most one
 * block ahead. */
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"

#include <rpd/client.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl connect [-c FILE] [--timeout S] SERVICE\n"
    "\n"
    "Joins standard input and output to a service, for editors and other programs that\n"
    "speak to a helper in this way: however many of them there are, they share one daemon.\n"
    "If the service is not running, it is started first, from its configuration:\n"
    "FILE, else SERVICE.json in $XDG_CONFIG_HOME/rpd (or ~/.config/rpd) or in /etc/rpd.\n"
    "\n"
    "When standard input ends, the service sees the end; its remaining answers are still printed.\n"
    "\n"
    "  -c, --config FILE  start it from this configuration\n"
    "      --timeout S    give up if it cannot be connected to in so many seconds\n"
    "\n"
    "Exit codes: 0 the service has ended the connection, 1 it broke, or timed out; 2 the\n"
    "service is not running and has no configuration; else the exit code of ensure.\n";

enum { BLOCK = 64 * 1024, TIMEOUT = 256 };

struct request {
    const char *service, *config;
    uint64_t timeout_us; /* 0: none */
    char found[PATH_MAX];
};

/* ---- joining ------------------------------------------------------------------------ */

/* The bytes that were read; 0 at the end, -1 at an error. */
static ssize_t read_some(int fd, char *block)
{
    ssize_t got;

    do
        got = read(fd, block, BLOCK);
    while (got < 0 && errno == EINTR);
    return got;
}

static int write_all(int fd, const char *data, ssize_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, data, (size_t)size);

        if (written < 0 && errno != EINTR)
            return -1;
        data += written > 0 ? written : 0;
        size -= written > 0 ? written : 0;
    }
    return 0;
}

/* A service that wants no more input may still answer, so this ends nothing. */
static void *send_input(void *arg)
{
    const int to = *(const int *)arg;
    static char block[BLOCK];
    ssize_t got;

    while ((got = read_some(STDIN_FILENO, block)) > 0 && write_all(to, block, got) == 0)
        continue;
    shutdown(to, SHUT_WR);
    return NULL;
}

static int receive_output(const struct request *request, int from)
{
    static char block[BLOCK];
    ssize_t got;

    while ((got = read_some(from, block)) > 0)
        if (write_all(STDOUT_FILENO, block, got) < 0) {
            if (errno != EPIPE) /* a reader that closes the pipe knows that */
                rpdctl_say("connect: stdout: %s; look where it goes", strerror(errno));
            return RPDCTL_NO;
        }
    if (got == 0)
        return 0;
    rpdctl_say("connect: %s: the connection broke: %s; rpdctl status %s says how it is",
               request->service, strerror(errno), request->service);
    return RPDCTL_NO;
}

static int join(const struct request *request, int fd)
{
    static int to;
    pthread_t sender;

    to = fd; /* The thread may live as long as the process. */
    signal(SIGPIPE, SIG_IGN);
    if (pthread_create(&sender, NULL, send_input, &to) != 0) {
        rpdctl_say("connect: cannot start a thread; free some memory");
        return RPDCTL_NO;
    }
    pthread_detach(sender);
    return receive_output(request, fd);
}

/* ---- where it is started from ----------------------------------------------------------- */

static bool has_config(struct request *request, const char *directory, const char *below)
{
    const int size = snprintf(request->found, sizeof request->found, "%s%s/%s.json", directory,
                              below, request->service);

    return *directory == '/' && size < (int)sizeof request->found &&
           access(request->found, F_OK) == 0;
}

/* Without a configuration rpdctl only looks for the service. */
static void find_config(struct request *request)
{
    const char *configured = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (request->config)
        return;
    const bool is_theirs = configured && *configured == '/'
                               ? has_config(request, configured, "/rpd")
                               : has_config(request, home ? home : "", "/.config/rpd");
    if (is_theirs || has_config(request, "/etc", "/rpd"))
        request->config = request->found;
}

/* ---- the command ---------------------------------------------------------------------------- */

/* Finds the rpdctl that runs if a service has to be started. */
static int choose_rpdctl(void)
{
    char path[PATH_MAX];
    struct error error;

    if (rpdctl_beside("rpdctl", path, &error) == 0 && setenv("RPDCTL", path, 1) == 0)
        return 0;
    rpdctl_say("connect: %s", error.text);
    return -1;
}

static int connect_and_join(struct request *request)
{
    const uint64_t timeout_ms = request->timeout_us / 1000;
    struct rpd_client_error error;
    int fd;

    find_config(request);
    if (choose_rpdctl() < 0)
        return RPDCTL_NO;
    fd = rpd_connect(request->config, request->service,
                     request->timeout_us == 0 ? -1
                     : timeout_ms < INT_MAX   ? (int)timeout_ms
                                              : INT_MAX,
                     &error);
    if (fd < 0) {
        fprintf(stderr, "rpd: %s\n", error.text);
        return error.code;
    }
    return join(request, fd);
}

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;

    if (option == TIMEOUT)
        return rpdctl_take_seconds(argv[0], "--timeout", optarg, &request->timeout_us);
    request->config = optarg;
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"timeout", required_argument, NULL, TIMEOUT},
                                            {NULL, 0, NULL, 0}};
    struct request request = {0};
    int code = rpdctl_take_options(argc, argv, ":c:", options, take, &request);

    if (!code)
        code = rpdctl_take_service(argc, argv, &request.service);
    return code ? code : connect_and_join(&request);
}

const struct rpdctl_command rpdctl_connect = {
    .name = "connect",
    .summary = "join standard input and output to a service",
    .help = help,
    .run = run,
};
