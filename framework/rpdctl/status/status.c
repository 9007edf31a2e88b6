/* rpdctl status: the state of services, without asking them. */
#include "rpdctl/status/status.h"

#include "base/clock.h"
#include "base/directory.h"
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/screen.h"
#include "rpdctl/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl status [NAME | --all-users] [--json | --watch]\n"
    "\n"
    "Shows all services of this user that run, or that a crash has left; of one, shows\n"
    "all that is known. Only a loop that rests is asked whether it turns, and has 0.9 s to\n"
    "answer: a service whose loop stands still is shown, too. The states are:\n"
    "\n"
    "  alive     it serves\n"
    "  warming   clients can connect; its state is still loading\n"
    "  stalled   its loop has not turned for 0.9 s, or its process is suspended\n"
    "  draining  no new clients; it ends soon\n"
    "  dead      it is not running\n"
    "  alive, elsewhere\n"
    "            its lock is held, but its process cannot be looked at from here: it is in\n"
    "            another pid or time namespace, or /proc is not there\n"
    "\n"
    "CLIENTS are those that are served / those that wait for the state to be loaded.\n"
    "\n"
    "      --all-users  show those of other users, too, and of the system: in /run/rpd*,\n"
    "                   /run/user/*/rpd and /tmp/rpd-UID, as far as you may look there\n"
    "      --json       print JSON\n"
    "      --watch      show it again and again, on a terminal, until Ctrl-C\n"
    "\n"
    "Exit codes: 0 done, 1 NAME is dead or stalled, 64 bad command line.\n";

enum { JSON = 256, WATCH, ALL_USERS, WATCH_US = 250000 };

struct request {
    const char *service; /* NULL: all */
    bool as_json, watch, all_users;
};

/* ---- the command line ------------------------------------------------------------------ */

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;

    (void)argv;
    switch (option) {
    case JSON: request->as_json = true; return 0;
    case WATCH: request->watch = true; return 0;
    default: request->all_users = true; return 0;
    }
}

static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, JSON},
        {"watch", no_argument, NULL, WATCH},
        {"all-users", no_argument, NULL, ALL_USERS},
        {NULL, 0, NULL, 0},
    };
    const int code = rpdctl_take_options(argc, argv, ":", options, take, request);

    if (code)
        return code;
    if (request->as_json && request->watch)
        return rpdctl_refuse(argv[0], "--json and --watch: only one of them");
    if (request->watch && !isatty(STDOUT_FILENO))
        return rpdctl_refuse(argv[0], "--watch: standard output is no terminal");
    if (request->all_users && optind != argc)
        return rpdctl_refuse(argv[0], "--all-users: shows all services; name none");
    return optind == argc ? 0 : rpdctl_take_service(argc, argv, &request->service);
}

/* ---- one look ---------------------------------------------------------------------------- */

/* 0, or -1 after it has reported the error. status_finish() is due. */
static int look(const struct request *request, struct status *ret)
{
    char path[RUNTIME_PATH_MAX];
    int runtime_dirfd = -1, failed;

    *ret = (struct status){0};
    if (!request->all_users && rpdctl_find_runtime_path(path, &runtime_dirfd) < 0)
        return -1;
    failed = request->all_users ? status_read_all_users(ret)
                                : status_read(path, runtime_dirfd, request->service, ret);
    if (failed)
        rpdctl_say("status: cannot look at the run-time directory: %s", strerror(errno));
    if (runtime_dirfd >= 0)
        close(runtime_dirfd);
    return failed;
}

static void print_text(const struct request *request, const struct status *status, FILE *to)
{
    if (request->service)
        status_print_detail(status, status->rows, to);
    else
        status_print_table(status, to);
}

static int print(const struct request *request, const struct status *status)
{
    struct error error;

    if (!request->as_json) {
        print_text(request, status, stdout);
        return 0;
    }
    if (status_print_json(status, stdout, &error) == 0)
        return 0;
    rpdctl_say("%s", error.text);
    return -1;
}

static int show(const struct request *request)
{
    struct status status;
    int failed = look(request, &status);
    bool serves_not;

    if (!failed)
        failed = print(request, &status);
    serves_not = !failed && request->service &&
                 (status.rows->instance.verdict == STATE_DEAD ||
                  status.rows->instance.verdict == STATE_STALLED);
    status_finish(&status);
    return failed || serves_not ? RPDCTL_NO : 0;
}

/* ---- again and again ----------------------------------------------------------------------- */

/* Until the next look: sooner if a loop will then have stood still for too long. */
static uint64_t pause_us(const struct status *status)
{
    uint64_t shortest_us = WATCH_US;

    for (size_t i = 0; i < status->count; i++) {
        const struct instance *instance = &status->rows[i].instance;
        const uint64_t late_us = instance->page.turned_us + RPD_STATE_STALL_US + 1000;

        if (instance->verdict != STATE_DEAD && instance->page.turned_us != RPD_STATE_RESTS &&
            late_us > status->now_us && late_us - status->now_us < shortest_us)
            shortest_us = late_us - status->now_us;
    }
    return shortest_us;
}

/* The text of one look, for the caller to free; NULL after it has reported the error. */
static char *read_frame(const struct request *request, uint64_t *ret_pause_us)
{
    struct status status;
    char *frame = NULL;
    size_t size;
    FILE *to = look(request, &status) == 0 ? open_memstream(&frame, &size) : NULL;

    *ret_pause_us = pause_us(&status);
    if (to) {
        print_text(request, &status, to);
        fclose(to);
    }
    status_finish(&status);
    return frame;
}

static int watch(const struct request *request)
{
    bool goes_on = true;
    uint64_t next_us;

    screen_begin();
    while (goes_on) {
        char *frame = read_frame(request, &next_us);

        goes_on = frame && screen_show(frame) && screen_pause(next_us);
        if (!frame || screen_has_failed()) {
            free(frame);
            screen_end();
            return RPDCTL_NO;
        }
        free(frame);
    }
    screen_end();
    return 0;
}

static int run(int argc, char **argv)
{
    struct request request = {0};
    const int code = parse(&request, argc, argv);

    if (code)
        return code;
    return request.watch ? watch(&request) : show(&request);
}

const struct rpdctl_command rpdctl_status = {
    .name = "status",
    .summary = "what runs, and how it is",
    .help = help,
    .run = run,
};
