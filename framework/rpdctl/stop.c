/* rpdctl stop: ends the process of a service, and no other.
 *
 * The signals go through a pidfd of the very process that was looked at: a process of this boot,
 * with the start time of its page, while the service's lock is held. */
#include "rpdctl/stop.h"
#include "base/clock.h"
#include "base/proc.h"
#include "library/libjansson.h"
#include "observe/instance_wait.h"
#include "observe/service_names.h"
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl stop NAME [--all] [--force] [--timeout S]\n"
    "\n"
    "Ends a service: it takes no new clients, its present clients may finish, and then its\n"
    "process ends. Waits for that. If the process has other services, they are named, and\n"
    "no process is ended without --all. A service that is not running counts as stopped.\n"
    "\n"
    "      --all        end the other services of its process, too\n"
    "      --force      kill it (SIGKILL) if it has not ended in time\n"
    "      --timeout S  the time: so many seconds; default: the configuration's drain_s,\n"
    "                   and 2 more\n"
    "\n"
    "Exit codes: 0 it has ended, 1 it has not, or it has other services, 64 bad\n"
    "command line.\n";

enum { ALL = 256, FORCE, TIMEOUT, DRAIN_S = 10, CONFIG_MAX = 1 << 20, OTHERS_MAX = 512 };

static const uint64_t A_SECOND_US = 1000000;
static const uint64_t LONGER_US = 2000000; /* rpd itself forces the end one second after drain_s */
static const uint64_t START_US = 6000000;  /* from a lock to a page: rpd's deadlines are shorter */

/* ---- the command line ------------------------------------------------------------------ */

static int take(void *arg, int option, char **argv)
{
    struct rpdctl_stop_request *request = arg;

    switch (option) {
    case ALL: request->all = true; return 0;
    case FORCE: request->force = true; return 0;
    case TIMEOUT:
        request->has_timeout = true;
        return rpdctl_take_seconds(argv[0], "--timeout", optarg, &request->timeout_us);
    default: return 0; /* getopt returns no other */
    }
}

static int parse(struct rpdctl_stop_request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"all", no_argument, NULL, ALL},
        {"force", no_argument, NULL, FORCE},
        {"timeout", required_argument, NULL, TIMEOUT},
        {NULL, 0, NULL, 0},
    };
    const int code = rpdctl_take_options(argc, argv, ":", options, take, request);

    if (code)
        return code;
    return rpdctl_take_service(argc, argv, &request->service);
}

/* ---- how long ---------------------------------------------------------------------------- */

/* Reads drain_s from the configuration as it is now. */
static long long drain_s_of(const char *config)
{
    struct error error;
    const int fd = config && libjansson_load(&error) == 0
                       ? open(config, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                       : -1;
    char *text = fd < 0 ? NULL : malloc(CONFIG_MAX);
    const ssize_t size = text ? read(fd, text, CONFIG_MAX) : -1;
    json_t *tree = size > 0 ? json_loadb(text, (size_t)size, 0, NULL) : NULL;
    const json_t *drain_s = tree ? json_object_get(tree, "drain_s") : NULL;
    const long long seconds = json_is_integer(drain_s) ? json_integer_value(drain_s) : DRAIN_S;

    json_decref(tree);
    free(text);
    if (fd >= 0)
        close(fd);
    return seconds >= 0 && seconds <= 86400 ? seconds : DRAIN_S;
}

static uint64_t timeout_us(const struct rpdctl_stop_request *request,
                           const struct instance *instance)
{
    const char *config = instance->has_record ? instance->record.config : NULL;

    if (request->has_timeout)
        return request->timeout_us;
    return (uint64_t)drain_s_of(config) * A_SECOND_US + LONGER_US;
}

/* ---- what else it does ------------------------------------------------------------------- */

static bool is_another_service_of(int runtime_dirfd, const struct instance *instance,
                                  const char *name)
{
    struct instance other;
    bool is_one;

    if (strcmp(name, instance->service) == 0)
        return false;
    instance_look(runtime_dirfd, name, &other);
    is_one = other.verdict != STATE_DEAD && instance_is_same(&other, instance);
    instance_finish(&other);
    return is_one;
}

/* Writes the names as "b, c"; returns how many there are. */
static size_t find_others(int runtime_dirfd, const struct instance *instance,
                          char ret_text[OTHERS_MAX])
{
    struct service_names names;
    size_t count = 0, used = 0;

    *ret_text = '\0';
    if (service_names_read(runtime_dirfd, &names) < 0) {
        rpdctl_say("stop: %s: cannot find out what else its process does: %s", instance->service,
                   strerror(errno));
        service_names_finish(&names);
        return 1;
    }
    for (size_t i = 0; i < names.count; i++)
        if (is_another_service_of(runtime_dirfd, instance, names.names[i]) &&
            (count++, used < OTHERS_MAX))
            used += (size_t)snprintf(ret_text + used, OTHERS_MAX - used, "%s%s", used ? ", " : "",
                                     names.names[i]);
    service_names_finish(&names);
    return count;
}

/* ---- ending it ----------------------------------------------------------------------------- */

static bool is_stopped(const struct instance *instance)
{
    char pid[16];
    struct proc_stat stat;

    snprintf(pid, sizeof pid, "%d", (int)instance->pid);
    return proc_read_stat(pid, &stat) == 0 && (stat.state == 'T' || stat.state == 't');
}

static int send_to(int runtime_dirfd, const struct instance *instance, int pidfd, int number)
{
    if (instance_signal(runtime_dirfd, instance, pidfd, number) == 0 || errno == ESRCH)
        return 0;
    rpdctl_say("stop: %s: cannot end process %d: %s", instance->service, (int)instance->pid,
               strerror(errno));
    return -1;
}

static int say_not_ended(const struct instance *instance, uint64_t waited_us)
{
    if (errno != ETIMEDOUT)
        rpdctl_say("stop: %s: cannot wait: %s", instance->service, strerror(errno));
    else
        rpdctl_say("stop: %s: process %d has not ended within %g s; wait for it, or use --force",
                   instance->service, (int)instance->pid, (double)waited_us / 1e6);
    return RPDCTL_NO;
}

static int say_ended(int runtime_dirfd, const struct instance *instance, const char *others,
                     bool was_killed)
{
    struct history_entry end;
    char text[RPDCTL_TEXT_MAX];

    printf("%s%s%s: ", instance->service, *others ? ", " : "", others);
    if (was_killed)
        printf("killed, pid %d\n", (int)instance->pid);
    else if (history_view_end(runtime_dirfd, instance->service, instance->pid, instance->start_time,
                              &end))
        printf("%s, pid %d\n", rpdctl_describe_end(&end, text), (int)instance->pid);
    else
        printf("stopped, pid %d\n", (int)instance->pid);
    return 0;
}

/* Waits for the end of the process, and for a free lock. */
static int end_it(const struct rpdctl_stop_request *request, int runtime_dirfd,
                  const struct instance *instance, const char *others, int pidfd)
{
    const uint64_t limit_us = timeout_us(request, instance);
    bool was_killed = false;

    if (send_to(runtime_dirfd, instance, pidfd, SIGTERM) < 0)
        return RPDCTL_NO;
    if (is_stopped(instance))
        rpdctl_say("stop: %s: process %d is suspended, and can end only when it continues: kill "
                   "-CONT %d",
                   instance->service, (int)instance->pid, (int)instance->pid);
    if (instance_wait_end(runtime_dirfd, instance, pidfd, clock_us() + limit_us) < 0) {
        if (errno != ETIMEDOUT || !request->force)
            return say_not_ended(instance, limit_us);
        if (send_to(runtime_dirfd, instance, pidfd, SIGKILL) < 0)
            return RPDCTL_NO;
        was_killed = true;
        if (instance_wait_end(runtime_dirfd, instance, pidfd, clock_us() + LONGER_US) < 0)
            return say_not_ended(instance, limit_us + LONGER_US);
    }
    return say_ended(runtime_dirfd, instance, others, was_killed);
}

static int say_not_running(const struct rpdctl_stop_request *request)
{
    printf("%s: not running\n", request->service);
    return 0;
}

/* Reports where the service can be stopped from. */
static int say_elsewhere(const struct instance *instance)
{
    const struct rpd_state_page *page = &instance->page;
    const pid_t here = instance->place == STATE_OTHER_PID_NAMESPACE
                           ? proc_find_in_namespace(page->namespaces[RPD_STATE_PID_NAMESPACE],
                                                    instance->pid)
                           : 0;

    if (here > 0)
        rpdctl_say("stop: %s: it is alive in another pid namespace, as pid %d there and %d here; "
                   "nothing was ended; stop it from there, or from here with: kill %d",
                   instance->service, (int)instance->pid, (int)here, (int)here);
    else
        rpdctl_say("stop: %s: it is alive, as pid %d, in %s (pid:[%u], time:[%u]), and cannot be "
                   "signalled from here; nothing was ended; stop it from there",
                   instance->service, (int)instance->pid, state_place_text(instance->place),
                   page->namespaces[RPD_STATE_PID_NAMESPACE],
                   page->namespaces[RPD_STATE_TIME_NAMESPACE]);
    return RPDCTL_NO;
}

static int say_cannot_signal(const struct rpdctl_stop_request *request, int runtime_dirfd,
                             const struct instance *instance, int cause)
{
    if (cause == ESRCH && !state_view_is_locked(runtime_dirfd, request->service))
        return say_not_running(request);
    if (cause == EXDEV)
        return say_elsewhere(instance);
    if (cause == ESRCH)
        rpdctl_say("stop: %s: its lock is held, but not by process %d, which its page names; "
                   "nothing was ended",
                   request->service, (int)instance->pid);
    else if (cause == EPERM)
        rpdctl_say("stop: %s: its page names process %d, which is not of the user that its lock "
                   "belongs to; nothing was ended",
                   request->service, (int)instance->pid);
    else
        rpdctl_say("stop: %s: process %d: %s", request->service, (int)instance->pid,
                   strerror(cause));
    return RPDCTL_NO;
}

static int stop(const struct rpdctl_stop_request *request, int runtime_dirfd,
                const struct instance *instance)
{
    char others[OTHERS_MAX];
    int pidfd, code;

    if (find_others(runtime_dirfd, instance, others) > 0 && !request->all) {
        if (*others)
            rpdctl_say("stop: %s: its process %d has other services: %s; --all ends them, too",
                       request->service, (int)instance->pid, others);
        return RPDCTL_NO;
    }
    pidfd = instance_open(runtime_dirfd, instance);
    if (pidfd < 0 && errno != ENOSYS)
        return say_cannot_signal(request, runtime_dirfd, instance, errno);
    code = end_it(request, runtime_dirfd, instance, others, pidfd);
    if (pidfd >= 0)
        close(pidfd);
    return code;
}

/* A daemon that has its lock and no page yet will have its page in a moment, or has failed. */
static int look(const struct rpdctl_stop_request *request, int runtime_dirfd, struct instance *ret)
{
    enum instance_outcome outcome;

    instance_look(runtime_dirfd, request->service, ret);
    if ((*ret->page.magic && ret->verdict != STATE_DEAD) ||
        !state_view_is_locked(runtime_dirfd, request->service))
        return 0;
    instance_finish(ret);
    if (instance_wait(runtime_dirfd, request->service, INSTANCE_BOUND,
                      clock_us() + (request->has_timeout ? request->timeout_us : START_US), ret,
                      &outcome) < 0) {
        rpdctl_say("stop: %s: cannot wait: %s", request->service, strerror(errno));
        return -1;
    }
    if (outcome != INSTANCE_TIMED_OUT)
        return 0;
    rpdctl_say("stop: %s: its lock is held by an unknown process; nothing was ended",
               request->service);
    return -1;
}

int rpdctl_stop_in(const struct rpdctl_stop_request *request, int runtime_dirfd)
{
    struct instance instance;
    int code = RPDCTL_NO;

    if (look(request, runtime_dirfd, &instance) == 0)
        code = instance.verdict == STATE_DEAD &&
                       !state_view_is_locked(runtime_dirfd, request->service)
                   ? say_not_running(request)
                   : stop(request, runtime_dirfd, &instance);
    instance_finish(&instance);
    return code;
}

static int run(int argc, char **argv)
{
    struct rpdctl_stop_request request = {0};
    int code = parse(&request, argc, argv), runtime_dirfd, found;

    if (code)
        return code;
    found = rpdctl_find_runtime(&runtime_dirfd);
    if (found)
        return found < 0 ? RPDCTL_NO : say_not_running(&request);
    code = rpdctl_stop_in(&request, runtime_dirfd);
    close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_stop = {
    .name = "stop",
    .summary = "end a service, and wait for its end",
    .help = help,
    .run = run,
};
