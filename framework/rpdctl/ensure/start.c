/* Starts for ensure. See rpdctl/ensure/start.h. */
#include "rpdctl/ensure/start.h"

#include "base/clock.h"
#include "publish/history.h"
#include "rpdctl/ensure/daemon_log.h"
#include "rpdctl/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- histories ------------------------------------------------------------------------ */

static void note(const struct ensure_request *request, int dirfd, const struct history_end *end)
{
    for (size_t i = 0; i < request->count; i++)
        history_note_end(dirfd, request->names[i], end);
}

/* In the starter. A daemon that got this far has noted it itself. */
static void note_failure(void *arg, int dirfd, const struct launch_result *result)
{
    const struct ensure_request *request = arg;
    const char *last = strrchr(result->text, '\n');
    const struct history_end end = {.time_ms = clock_wall_ms(),
                                    .pid = result->pid,
                                    .start_time = result->start_time,
                                    .code = result->code,
                                    .text = last ? last + 1 : result->text};
    struct history_entry known;

    if (history_view_end(dirfd, request->names[0], result->pid, result->start_time, &known))
        return;
    note(request, dirfd, &end);
}

/* When the daemon's loop turned for the last time, if its page is still there. */
static uint64_t last_seen_ms(const struct history_entry *bound, const struct instance *seen)
{
    const uint64_t now_us = clock_us(), now_ms = clock_wall_ms();
    const struct rpd_state_page *page = &seen->page;
    const uint64_t turned_us = state_view_last_turn_us(page);

    if (!*page->magic || (pid_t)page->pid != bound->pid || page->start_time != bound->start_time ||
        seen->place != STATE_HERE || turned_us > now_us)
        return now_ms;
    return now_ms - (now_us - turned_us) / 1000;
}

void ensure_start_bury(const struct ensure_request *request, const struct history_entry *bound,
                       const struct instance *seen)
{
    char text[128];
    const struct history_end end = {.time_ms = last_seen_ms(bound, seen),
                                    .pid = bound->pid,
                                    .start_time = bound->start_time,
                                    .code = ENSURE_KILLED,
                                    .text = text};

    snprintf(text, sizeof text,
             "start: pid %d: gone without a word: killed, or the machine went down",
             (int)bound->pid);
    note(request, request->dirfd, &end);
}

/* ---- the command line ------------------------------------------------------------------- */

/* The daemon works in "/", so a path that is relative to the caller's working directory must be
 * made absolute. Only the plugin knows which options are paths. */
static char *absolute(const char *path)
{
    char *directory, *whole = NULL;

    if (*path == '/')
        return strdup(path);
    directory = getcwd(NULL, 0);
    if (directory && asprintf(&whole, "%s/%s", directory, path) < 0)
        whole = NULL;
    free(directory);
    return whole;
}

struct command_line {
    char **arguments;
    size_t count;
    char *config, *plugin, *base; /* ours; the other texts are the caller's */
};

static void add(struct command_line *line, const char *option, const char *value)
{
    if (!value)
        return;
    if (option)
        line->arguments[line->count++] = (char *)(uintptr_t)option;
    line->arguments[line->count++] = (char *)(uintptr_t)value;
}

static int write_command_line(const struct ensure_request *request, const char *program,
                              struct command_line *ret)
{
    enum {
        FIXED = 14
    }; /* rpd -c FILE PLUGIN -n NAME --relative-to DIR --start-fd N --log-file F NULL, and one */
    const struct config_request *given = &request->arguments->request;
    const size_t room = FIXED + 2 * (given->listen_count + given->option_count);

    *ret = (struct command_line){.arguments = calloc(room, sizeof(char *))};
    if (request->config->path)
        ret->config = strdup(request->config->path);
    if (given->plugin)
        ret->plugin = strchr(given->plugin, '/') ? absolute(given->plugin) : strdup(given->plugin);
    if (given->plugin && given->option_count > 0)
        ret->base = given->base ? strdup(given->base) : getcwd(NULL, 0);
    if (!ret->arguments || (request->config->path && !ret->config) ||
        (given->plugin && !ret->plugin))
        return -1;
    add(ret, NULL, program);
    ret->count += 2; /* launch.h's */
    add(ret, "-c", ret->config);
    add(ret, "-n", given->name);
    for (size_t i = 0; i < given->listen_count; i++)
        add(ret, "-l", given->listen[i]);
    add(ret, "--relative-to", ret->base);
    for (size_t i = 0; i < given->option_count; i++)
        add(ret, "-o", given->options[i]);
    add(ret, NULL, ret->plugin);
    return 0;
}

static void finish_command_line(struct command_line *line)
{
    free(line->base);
    free(line->arguments);
    free(line->config);
    free(line->plugin);
}

/* ---- the start ------------------------------------------------------------------------------ */

int ensure_start(const struct ensure_request *request, struct lock *take_lock,
                 struct launch_result *ret, struct error *error)
{
    char program[PATH_MAX], log[PATH_MAX];
    struct command_line line = {0};
    struct launch launch = {.program = program,
                            .log_fd = -1,
                            .take_lock = take_lock,
                            .dirfd = request->dirfd,
                            .failed = note_failure,
                            .arg = (void *)(uintptr_t)request};
    int failed = rpdctl_beside("rpd", program, error);

    if (!failed && write_command_line(request, program, &line) < 0)
        failed = error_set(error, EXIT_SYSTEM, "ensure", "rpd", "out of memory");
    if (!failed)
        failed = (launch.log_fd = daemon_log_open(request->config->log_file, request->names[0], log,
                                                  error)) < 0
                     ? -1
                     : 0;
    if (!failed && *log)
        add(&line, "--log-file", log);
    launch.arguments = line.arguments;
    if (!failed)
        failed = launch_daemon(&launch, request->deadline_us, ret, error);
    if (launch.log_fd >= 0)
        close(launch.log_fd);
    finish_command_line(&line);
    return failed;
}
