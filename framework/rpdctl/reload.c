/* rpdctl reload: has a running daemon take its configuration anew, and reports how that ended. All
 * of it is the daemon's work, which is asked over its control socket (rpd-control(7)). */
#include "rpdctl/reload.h"
#include "base/clock.h"
#include "library/libjansson.h"
#include "observe/instance.h"
#include "observe/service_names.h"
#include "rpdctl/ask.h"
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl reload NAME | --pid PID [--check | --fresh] [--force] [--timeout S]\n"
    "\n"
    "Has the process of a service read its configuration anew. An error in it changes\n"
    "nothing. What can change while the process runs changes at once, all or nothing.\n"
    "The rest takes a new generation: with a keeper, a process that loads beside the old\n"
    "one, and replaces it when it is ready; without one, it is refused. Prints each key\n"
    "that changed, with its values and how the change took effect: live, generation or\n"
    "restart. Several reloads at once become one more behind the one that runs.\n"
    "\n"
    "      --check      only print what would change, and how\n"
    "      --fresh      a new generation though nothing changed, as for a new plugin file\n"
    "      --force      though the memory may not suffice for two generations\n"
    "      --pid PID    of the process with this pid, which a service manager knows\n"
    "      --timeout S  give up if the new generation is not ready after so many seconds;\n"
    "                   default: only a load without progress (no_progress_s) ends that\n"
    "\n"
    "Exit codes: 0 done, 1 it does not run, or does not answer; else that of rpd for the\n"
    "error: 78 a mistake in the configuration, or a change that is not possible, 65 to\n"
    "77 as if it were started.\n";

enum { CHECK = 256, FRESH, FORCE, OF_PID, TIMEOUT };

struct request {
    const char *service; /* NULL: that of the... */
    pid_t pid;           /* ...process */
    bool check, fresh, force;
    bool is_quiet; /* only errors are printed */
    uint64_t timeout_us;
};

/* ---- the command line ------------------------------------------------------------------ */

static int take_pid(struct request *request, char **argv)
{
    char *end;
    const unsigned long pid = strtoul(optarg, &end, 10);

    if (*optarg < '1' || *optarg > '9' || *end || pid > INT_MAX)
        return rpdctl_refuse(argv[0], "--pid %s: expected the number of a process", optarg);
    request->pid = (pid_t)pid;
    return 0;
}

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;

    switch (option) {
    case CHECK: request->check = true; return 0;
    case FRESH: request->fresh = true; return 0;
    case FORCE: request->force = true; return 0;
    case OF_PID: return take_pid(request, argv);
    case TIMEOUT: return rpdctl_take_seconds(argv[0], "--timeout", optarg, &request->timeout_us);
    default: return 0; /* getopt returns no other */
    }
}

static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"check", no_argument, NULL, CHECK},           {"fresh", no_argument, NULL, FRESH},
        {"force", no_argument, NULL, FORCE},           {"pid", required_argument, NULL, OF_PID},
        {"timeout", required_argument, NULL, TIMEOUT}, {NULL, 0, NULL, 0},
    };
    const int code = rpdctl_take_options(argc, argv, ":", options, take, request);

    if (code)
        return code;
    if (request->check && request->fresh)
        return rpdctl_refuse(argv[0], "only one of --check and --fresh");
    if (request->pid > 0 && optind == argc)
        return 0;
    if (request->pid > 0)
        return rpdctl_refuse(argv[0], "only one of NAME and --pid");
    return rpdctl_take_service(argc, argv, &request->service);
}

/* ---- what is said ---------------------------------------------------------------------- */

static const char *shown(const json_t *value)
{
    return json_is_string(value) ? json_string_value(value) : "(not set)";
}

static void print_changes(const json_t *reply)
{
    const json_t *changes = json_object_get(reply, "changes");
    size_t i;
    const json_t *change;

    json_array_foreach(changes, i, change)
        printf("%s: %s -> %s (%s)\n", shown(json_object_get(change, "key")),
               shown(json_object_get(change, "old")), shown(json_object_get(change, "new")),
               shown(json_object_get(change, "how")));
}

static void say_errors(const json_t *reply)
{
    const json_t *errors = json_object_get(reply, "errors");
    size_t i;
    const json_t *error;

    json_array_foreach(errors, i, error)
        fprintf(stderr, "rpd: %s\n", shown(error));
    if (json_array_size(errors) == 0)
        fprintf(stderr, "rpd: %s\n", shown(json_object_get(reply, "error")));
}

static int report(const struct request *request, const json_t *reply)
{
    const json_int_t code = json_integer_value(json_object_get(reply, "code"));
    const char *text = json_string_value(json_object_get(reply, "text"));

    if (!request->is_quiet)
        print_changes(reply);
    if (!json_is_true(json_object_get(reply, "ok"))) {
        say_errors(reply);
        return code > 0 && code < 256 ? (int)code : RPDCTL_NO;
    }
    if (request->is_quiet)
        return 0;
    if (request->check && json_array_size(json_object_get(reply, "changes")) == 0)
        printf("%s: nothing has changed\n", request->service);
    else if (text && *text)
        printf("%s: %s\n", request->service, text);
    return 0;
}

/* ---- the command ------------------------------------------------------------------------- */

static int refuse(const struct request *request, const char *why)
{
    rpdctl_say("reload: %s: %s", request->service ? request->service : "--pid", why);
    return RPDCTL_NO;
}

static int ask(const struct request *request, const struct instance *instance)
{
    json_t *reply = rpdctl_ask_for_long("reload", instance,
                                        json_pack("{s:s, s:b, s:b, s:b, s:I}", "do", "reload",
                                                  "check", request->check, "fresh", request->fresh,
                                                  "force", request->force, "timeout_ms",
                                                  (json_int_t)(request->timeout_us / 1000)));
    const int code = reply ? report(request, reply) : RPDCTL_NO;

    json_decref(reply);
    return code;
}

static int reload(const struct request *request, const struct instance *instance)
{
    struct error error;

    if (instance->verdict == STATE_DEAD)
        return refuse(request, "it does not run; start it (rpdctl ensure)");
    if (!instance->has_record || !instance->record.control)
        return refuse(request, "it has no control socket that can be seen from here; send SIGHUP "
                               "to its process");
    if (libjansson_load(&error) < 0)
        return refuse(request, error.text);
    return ask(request, instance);
}

int rpdctl_reload_instance(const struct instance *instance)
{
    const struct request request = {.service = instance->service, .is_quiet = true};

    return reload(&request, instance);
}

/* Any of its services will do: the whole process reloads. False: it has none here. */
static bool find_service_of(pid_t pid, int runtime_dirfd, char ret_name[64])
{
    struct service_names names = {0};
    struct instance instance;
    bool found = false;

    if (service_names_read(runtime_dirfd, &names) < 0)
        return false;
    for (size_t i = 0; i < names.count && !found; i++) {
        instance_look(runtime_dirfd, names.names[i], &instance);
        found = instance.verdict != STATE_DEAD && instance.pid == pid;
        if (found)
            snprintf(ret_name, 64, "%s", names.names[i]);
        instance_finish(&instance);
    }
    service_names_finish(&names);
    return found;
}

static int run(int argc, char **argv)
{
    struct request request = {0};
    struct instance instance;
    char name[64];
    int code = parse(&request, argc, argv), found, runtime_dirfd;

    if (code)
        return code;
    found = rpdctl_find_runtime(&runtime_dirfd);
    if (found)
        return found < 0 ? RPDCTL_NO
                         : refuse(&request, "it does not run; start it (rpdctl ensure)");
    if (request.pid > 0) {
        if (!find_service_of(request.pid, runtime_dirfd, name)) {
            rpdctl_say("reload: pid %d: it has no service in this run-time directory",
                       (int)request.pid);
            close(runtime_dirfd);
            return RPDCTL_NO;
        }
        request.service = name;
    }
    instance_look(runtime_dirfd, request.service, &instance);
    code = reload(&request, &instance);
    instance_finish(&instance);
    close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_reload = {
    .name = "reload",
    .summary = "have a service take its configuration anew",
    .help = help,
    .run = run,
};
