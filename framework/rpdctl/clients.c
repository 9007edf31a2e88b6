/* rpdctl clients: who is connected to a service, and what each waits for. Its daemon is asked. */
#include "rpdctl/ask.h"
#include "rpdctl/command_line.h"
#include "rpdctl/draw.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include "base/safe_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl clients NAME [--end ID]\n"
    "\n"
    "Lists the clients of a service: who each is (process, user and command, or address), since\n"
    "when, how many bytes it has sent and received, and what it waits for. Its daemon is asked; "
    "one\n"
    "that stands still does not answer. At most 1000 are listed.\n"
    "\n"
    "      --end ID  end this one, without an answer\n"
    "\n"
    "Exit codes: 0 done, 1 there is no such service or client, or no answer, 64 bad command "
    "line.\n";

enum { END = 256, PEER_MAX = 96 };

struct request {
    const char *service;
    long long end; /* 0: none */
};

static long long number_of(const json_t *client, const char *key)
{
    return (long long)json_integer_value(json_object_get(client, key));
}

/* What the process calls itself now, if it is there and may be looked at. */
static void read_command(long long pid, char command[24])
{
    char path[48];
    ssize_t got = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%lld/comm", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        got = read(fd, command, 23);
        close(fd);
    }
    command[got > 0 ? got : 0] = '\0';
    command[strcspn(command, "\n")] = '\0';
    safe_text(command);
}

static const char *peer_of(const json_t *client, char text[PEER_MAX])
{
    const char *address = json_string_value(json_object_get(client, "address"));
    const long long pid = number_of(client, "pid");
    char command[24] = "";

    if (address) {
        snprintf(text, PEER_MAX, strchr(address, ':') ? "[%s]:%lld" : "%s:%lld", address,
                 number_of(client, "port"));
    } else if (json_object_get(client, "uid")) {
        read_command(pid, command);
        snprintf(text, PEER_MAX, "pid %lld (%s), uid %lld", pid, *command ? command : "gone",
                 number_of(client, "uid"));
    } else {
        snprintf(text, PEER_MAX, "unknown");
    }
    return text;
}

static void print_client(const json_t *client)
{
    const char *state = json_string_value(json_object_get(client, "state"));
    const char *waits_for = json_string_value(json_object_get(client, "waits_for"));
    char peer[PEER_MAX], age[DRAW_NUMBER_MAX], received[DRAW_NUMBER_MAX] = "-",
                                               sent[DRAW_NUMBER_MAX] = "-";

    if (json_object_get(client, "sent")) {
        draw_count((uint64_t)number_of(client, "received"), received);
        draw_count((uint64_t)number_of(client, "sent"), sent);
    }
    printf("%-8lld %-40s %10s %-8s %10s %10s  %s\n", number_of(client, "id"), peer_of(client, peer),
           draw_duration((uint64_t)number_of(client, "age_ms"), age), state ? state : "", received,
           sent, waits_for ? waits_for : "");
}

static int print_clients(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "clients");
    const size_t count = json_array_size(list);

    if (count == 0) {
        puts("no client is there");
        return 0;
    }
    printf("%-8s %-40s %10s %-8s %10s %10s  %s\n", "ID", "PEER", "SINCE", "STATE", "FROM IT",
           "TO IT", "WAITS FOR");
    for (size_t i = 0; i < count; i++)
        print_client(json_array_get(list, i));
    if ((long long)count < number_of(answer, "count"))
        printf("and %lld more\n", number_of(answer, "count") - (long long)count);
    return 0;
}

static int ask(const struct request *request, const struct instance *instance)
{
    struct error error;
    json_t *answer;

    if (libjansson_load(&error) < 0) {
        rpdctl_say("%s", error.text);
        return RPDCTL_NO;
    }
    answer = rpdctl_ask("clients", instance,
                        request->end
                            ? json_pack("{ss ss sI}", "do", "end", "service", request->service,
                                        "client", (json_int_t)request->end)
                            : json_pack("{ss ss}", "do", "clients", "service", request->service));
    if (!answer)
        return RPDCTL_NO;
    if (request->end)
        printf("%s: client %lld is ended\n", request->service, request->end);
    else
        print_clients(answer);
    json_decref(answer);
    return 0;
}

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;
    char *end;

    (void)option;
    request->end = strtoll(optarg, &end, 10);
    if (end == optarg || *end || request->end <= 0)
        return rpdctl_refuse(argv[0], "--end %s: expected an ID of the list", optarg);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"end", required_argument, NULL, END},
                                            {NULL, 0, NULL, 0}};
    struct request request = {0};
    struct instance instance;
    int code = rpdctl_take_options(argc, argv, ":", options, take, &request), runtime_dirfd, found;

    if (!code)
        code = rpdctl_take_service(argc, argv, &request.service);
    if (code)
        return code;
    found = rpdctl_find_runtime(&runtime_dirfd);
    if (found < 0)
        return RPDCTL_NO;
    instance_look(found ? -1 : runtime_dirfd, request.service, &instance);
    code = ask(&request, &instance);
    instance_finish(&instance);
    if (!found)
        close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_clients = {
    .name = "clients",
    .summary = "who is connected, and what each waits for",
    .help = help,
    .run = run,
};
