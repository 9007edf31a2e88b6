/* A stage of the kit begins: its directory, its configuration, its process. See rpdctl/kit.h. */
#include "rpdctl/stage_inside.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "library/libjansson.h"
#include "rpdctl/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTIFY_FD = 3, DRAIN_S = 3 };

static json_t *make_config(const struct stage *stage, const struct stage_options *options)
{
    struct kit *kit = stage->kit;
    json_t *listen = json_array();
    json_t *service = json_pack("{ss ss}", "name", "check", "plugin",
                                descriptor_text(kit->descriptor, "file"));
    char endpoint[sizeof stage->socket + 8];

    snprintf(endpoint, sizeof endpoint, "unix:%s", stage->socket);
    json_array_append_new(listen, json_string(options->listen[0] ? options->listen[0] : endpoint));
    if (options->listen[1])
        json_array_append_new(listen, json_string(options->listen[1]));
    json_object_set_new(service, "listen", listen);
    if (options->warmup)
        json_object_set_new(service, "warmup", json_string(options->warmup));
    if (options->on_load_failure)
        json_object_set_new(service, "on_load_failure", json_string(options->on_load_failure));
    if (options->seal)
        json_object_set_new(service, "seal", json_string(options->seal));
    json_object_set_new(service, "options", json_pack("O", kit->options));
    return json_pack("{si s[o]}", "drain_s", DRAIN_S, "services", service);
}

static bool write_config(const struct stage *stage, const struct stage_options *options)
{
    const int fd = openat(stage->dirfd, "rpd.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    json_t *config = make_config(stage, options);
    const bool written = stream && config && json_dumpf(config, stream, 0) == 0;

    if (config)
        json_decref(config);
    return stream && fclose(stream) == 0 && written;
}

/* The kit's own environment, but what belongs to it alone. Of the child: never freed. */
static char **make_environment(const struct stage *stage)
{
    static const char *const own[] = {"RPD_RUNTIME_DIR=", "LISTEN_", "NOTIFY_SOCKET="};
    static char runtime[sizeof stage->dir + 32];
    size_t count = 0, used = 0;
    char **result;

    while (environ[count])
        count++;
    result = calloc(count + 2, sizeof *result);
    if (!result)
        _exit(127);
    for (size_t i = 0; i < count; i++) {
        bool kept = true;

        for (size_t o = 0; o < sizeof own / sizeof *own; o++)
            kept = kept && strncmp(environ[i], own[o], strlen(own[o])) != 0;
        if (kept)
            result[used++] = environ[i];
    }
    snprintf(runtime, sizeof runtime, "%s%s/run", own[0], stage->dir);
    result[used] = runtime;
    return result;
}

/* In the child: what it finds is what a shell would give it. */
static void become_daemon(const struct stage *stage, const char *wrap, int notify_fd)
{
    char config[sizeof stage->dir + 16], number[16];
    char **environment = make_environment(stage);
    const int log = openat(stage->dirfd, "log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* No handler of ours may swallow what a check sends before exec. */
    for (int caught = 1; caught < SIGRTMIN; caught++)
        signal(caught, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(config, sizeof config, "%s/rpd.json", stage->dir);
    snprintf(number, sizeof number, "%d", NOTIFY_FD);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    dup2(notify_fd, NOTIFY_FD);
    descriptors_close(NOTIFY_FD + 1, ~0U);
    if (wrap)
        execle(stage->kit->self, "rpdctl", "check-daemon", wrap, "-c", config, "--notify-fd",
               number, (char *)NULL, environment);
    else
        execle(stage->kit->rpd, "rpd", "-c", config, "--notify-fd", number, (char *)NULL,
               environment);
    _exit(127);
}

static bool make_directory(struct stage *stage)
{
    char dir[sizeof stage->dir], runtime[sizeof stage->dir + 8];

    snprintf(dir, sizeof dir, "%s/%zu", stage->kit->dir, (size_t)(stage - stage->kit->stages));
    snprintf(runtime, sizeof runtime, "%s/run", dir);
    snprintf(stage->dir, sizeof stage->dir, "%s", dir);
    snprintf(stage->socket, sizeof stage->socket, "%s/s", runtime);
    if (mkdir(dir, 0700) < 0 || mkdir(runtime, 0700) < 0)
        return false;
    stage->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return stage->dirfd >= 0;
}

struct stage *stage_start(struct kit *kit, const struct stage_options *options)
{
    struct stage *stage = &kit->stages[kit->stage_count];
    sigset_t all, before;
    int ends[2];

    if (kit->stage_count == KIT_STAGES)
        abort(); /* a mistake in a check */
    kit->stage_count++;
    *stage = (struct stage){.kit = kit, .dirfd = -1, .pidfd = -1, .notify_fd = -1};
    if (!make_directory(stage) || !write_config(stage, options) || pipe2(ends, O_CLOEXEC) < 0) {
        kit_failed(kit, "the kit cannot set a stage in %s: %s", kit->dir, strerror(errno));
        return NULL;
    }
    stage->notify_fd = ends[0];
    stage->started_us = clock_us();
    fflush(NULL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    stage->pid = fork();
    if (stage->pid == 0)
        become_daemon(stage, options->wrap, ends[1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    stage->pidfd = stage->pid > 0 ? pidfd_open(stage->pid, 0) : -1;
    if (stage->pidfd >= 0 || (stage->pid > 0 && (errno == ENOSYS || errno == EPERM)))
        return stage;
    kit_failed(kit, "the kit cannot start a process: %s", strerror(errno));
    return NULL;
}
