/* rpdctl restart: stops a service and starts it again as it was started, with the arguments of its
 * process. Both happen in one turn of ensure's queue, so that no caller that ensures the service
 * meanwhile starts another one in between.
 *
 * If a service manager has started the service, only the manager may start it again. */
#include "observe/instance.h"
#include "rpdctl/command_line.h"
#include "rpdctl/ensure/command.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"
#include "rpdctl/stop.h"
#include "rpdctl/whole_proc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl restart NAME [--all] [--force] [--ready] [--timeout S]\n"
    "\n"
    "Stops a service, as rpdctl stop does, and ensures it again, by the arguments that its\n"
    "process was started with. Its configuration is read first; if it has an error nothing\n"
    "is stopped. A caller that ensures it meanwhile waits. Prints the endpoints, as rpdctl\n"
    "ensure does. A service that a service manager runs is left to that.\n"
    "\n"
    "      --all        restart it, too, if its process has other services\n"
    "      --force      kill it (SIGKILL) if it has not ended in time\n"
    "      --ready      return when the state is loaded, too\n"
    "      --timeout S  for the stop: so many seconds; default: the configuration's\n"
    "                   drain_s, and 2 more\n"
    "\n"
    "Exit codes: 0 it runs again, 1 it is not running, or was not stopped; else those of\n"
    "rpdctl ensure.\n";

enum { ALL = 256, FORCE, READY, TIMEOUT, ARGUMENTS_MAX = 256 };

struct request {
    struct rpdctl_stop_request stop;
    bool ready;
    int runtime_dirfd;
};

/* ---- the command line ------------------------------------------------------------------ */

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;

    switch (option) {
    case ALL: request->stop.all = true; return 0;
    case FORCE: request->stop.force = true; return 0;
    case READY: request->ready = true; return 0;
    case TIMEOUT:
        request->stop.has_timeout = true;
        return rpdctl_take_seconds(argv[0], "--timeout", optarg, &request->stop.timeout_us);
    default: return 0; /* getopt returns no other */
    }
}

static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"all", no_argument, NULL, ALL},
        {"force", no_argument, NULL, FORCE},
        {"ready", no_argument, NULL, READY},
        {"timeout", required_argument, NULL, TIMEOUT},
        {NULL, 0, NULL, 0},
    };
    const int code = rpdctl_take_options(argc, argv, ":", options, take, request);

    return code ? code : rpdctl_take_service(argc, argv, &request->stop.service);
}

/* ---- how it was started ------------------------------------------------------------------ */

/* Whether this is a service manager's own process, and not one that such a process has started. */
static bool is_managed(const struct instance *instance, const char *environment, size_t size)
{
    char wanted[48];

    snprintf(wanted, sizeof wanted, "SYSTEMD_EXEC_PID=%d", (int)instance->pid);
    return whole_proc_has(environment, size, wanted);
}

/* A plugin that was started by its name was looked for there. */
static void take_plugin_path(const char *environment, size_t size)
{
    const char *path = whole_proc_value(environment, size, "RPD_PLUGIN_PATH=");

    if (path)
        setenv("RPD_PLUGIN_PATH", path, 1);
}

/* Takes all arguments except the descriptors, which were the starter's. */
static int take_arguments(char *text, size_t size, char *ret_argv[ARGUMENTS_MAX])
{
    int count = 0;

    for (char *word = text; word < text + size && count < ARGUMENTS_MAX - 1;
         word += strlen(word) + 1) {
        if (strcmp(word, "--start-fd") == 0 || strcmp(word, "--notify-fd") == 0 ||
            strcmp(word, "--log-file") == 0)
            word += strlen(word) + 1; /* and its value */
        else if (strncmp(word, "--start-fd=", 11) != 0 && strncmp(word, "--notify-fd=", 12) != 0 &&
                 strncmp(word, "--log-file=", 11) != 0)
            ret_argv[count++] = word;
    }
    ret_argv[count] = NULL;
    return count;
}

static bool is_rpd(const struct instance *instance)
{
    char link[48], path[PATH_MAX];
    ssize_t size;
    const char *name;

    snprintf(link, sizeof link, "/proc/%d/exe", (int)instance->pid);
    size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    name = strrchr(path, '/');
    return name && (strcmp(name, "/rpd") == 0 || strcmp(name, "/rpd (deleted)") == 0);
}

static int refuse(const struct request *request, const char *why)
{
    rpdctl_say("restart: %s: %s", request->stop.service, why);
    return RPDCTL_NO;
}

/* ---- the command --------------------------------------------------------------------------- */

static int stop(void *arg)
{
    struct request *request = arg;

    return rpdctl_stop_in(&request->stop, request->runtime_dirfd);
}

/* Relative paths are relative to the process's working directory. */
static int restart_as(struct request *request, const struct instance *instance, char *arguments,
                      size_t size)
{
    char *argv[ARGUMENTS_MAX], directory[48];
    struct rpdctl_ensure_request ensure = {
        .ready = request->ready, .stop = stop, .stop_arg = request, .argv = argv};

    ensure.argc = take_arguments(arguments, size, argv);
    snprintf(directory, sizeof directory, "/proc/%d/cwd", (int)instance->pid);
    if (ensure.argc == ARGUMENTS_MAX - 1)
        return refuse(request,
                      "it has too many arguments; stop it, and start it as it was started");
    if (chdir(directory) < 0)
        return refuse(request, "its working directory cannot be entered; stop it, and start it as "
                               "it was started");
    return rpdctl_ensure_arguments(&ensure);
}

static int restart(struct request *request, const struct instance *instance)
{
    size_t size, environment_size;
    char *arguments = whole_proc_read(instance->pid, "cmdline", &size);
    char *environment = whole_proc_read(instance->pid, "environ", &environment_size);
    int code;

    if (instance->verdict == STATE_DEAD || instance->pid <= 0) {
        code = refuse(request, "it is not running; start it (rpdctl ensure)");
    } else if (instance->verdict == STATE_ELSEWHERE) {
        code = refuse(request, "it is alive, elsewhere: restart it from there");
    } else if (!arguments || !environment || size == 0 || !is_rpd(instance)) {
        code = refuse(request, "it cannot be seen how its process was started, or that is not rpd; "
                               "stop it, and start it as it was started");
    } else if (is_managed(instance, environment, environment_size)) {
        code = refuse(request,
                      "a service manager runs it; let that restart it (systemctl restart)");
    } else {
        take_plugin_path(environment, environment_size);
        code = restart_as(request, instance, arguments, size);
    }
    free(arguments);
    free(environment);
    return code;
}

static int run(int argc, char **argv)
{
    struct request request = {0};
    struct instance instance;
    int code = parse(&request, argc, argv), found;

    if (code)
        return code;
    found = rpdctl_find_runtime(&request.runtime_dirfd);
    if (found)
        return found < 0 ? RPDCTL_NO
                         : refuse(&request, "it is not running; start it (rpdctl ensure)");
    instance_look(request.runtime_dirfd, request.stop.service, &instance);
    code = restart(&request, &instance);
    instance_finish(&instance);
    close(request.runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_restart = {
    .name = "restart",
    .summary = "stop a service, and start it as it was started",
    .help = help,
    .run = run,
};
