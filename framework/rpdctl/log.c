/* rpdctl log: the log of a service, wherever it goes; and how much of it is written. */
#include "base/log_file.h"
#include "rpdctl/ask.h"
#include "rpdctl/command_line.h"
#include "rpdctl/ensure/daemon_log.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl log NAME [-f] [-n N]\n"
    "       rpdctl log NAME --level error|warning|info|debug\n"
    "\n"
    "Shows the log of the process in which the service runs, or has run: the file that its lines\n"
    "go to, or what the journal has of it.\n"
    "\n"
    "  -f               go on with what is added, also when the file is rotated\n"
    "  -n N             begin with the last N lines; default: 10\n"
    "      --level L    from now on write the service's lines up to this level, until it ends\n"
    "\n"
    "Exit codes: 0 done, 1 its lines are nowhere that can be read, or its daemon does not answer,\n"
    "64 bad command line.\n";

enum { LEVEL = 256, TAIL_BLOCK = 65536, LINES_MAX = 1000000, LOOK_MS = 200 };

struct request {
    const char *service, *level;
    bool follows;
    long lines;
};

/* ---- a file -------------------------------------------------------------------------------- */

/* Where the last lines begin. */
static off_t find_tail(int fd, off_t size, long lines)
{
    static char block[TAIL_BLOCK];
    off_t at = size;

    while (at > 0) {
        const off_t from = at > TAIL_BLOCK ? at - TAIL_BLOCK : 0;
        const ssize_t got = pread(fd, block, (size_t)(at - from), from);

        if (got <= 0)
            break;
        for (ssize_t i = got; i-- > 0;)
            if (block[i] == '\n' && from + i + 1 < size && lines-- == 1)
                return from + i + 1;
        at = from;
    }
    return 0;
}

/* False: the reader has gone. */
static bool copy_from(int fd, off_t *at)
{
    static char block[TAIL_BLOCK];
    struct stat status;
    ssize_t got;

    if (fstat(fd, &status) == 0 && status.st_size < *at)
        *at = 0; /* it was cut off */
    while ((got = pread(fd, block, sizeof block, *at)) > 0) {
        if (fwrite(block, 1, (size_t)got, stdout) != (size_t)got)
            return false;
        *at += got;
    }
    return fflush(stdout) == 0;
}

static int open_it(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* Until the reader has gone. (What was renamed is read to its end first: its writer may be late.)
 */
static void follow(const char *path, int *fd, off_t *at)
{
    struct pollfd reader = {.fd = STDOUT_FILENO};

    while (copy_from(*fd, at) && !(poll(&reader, 1, LOOK_MS) > 0 && reader.revents)) {
        const int fresh = log_file_is_at(*fd, path) ? -1 : open_it(path);

        if (fresh < 0)
            continue;
        poll(NULL, 0, LOOK_MS);
        copy_from(*fd, at);
        close(*fd);
        *fd = fresh;
        *at = 0;
    }
}

static int show_file(const struct request *request, const char *path)
{
    int fd = open_it(path);
    struct stat status;
    off_t at;

    if (fd < 0 || fstat(fd, &status) < 0) {
        rpdctl_say("log: %s: cannot be read: %s", path, strerror(errno));
        return RPDCTL_NO;
    }
    if (!S_ISREG(status.st_mode)) {
        rpdctl_say("log: %s: it is no file", path);
        close(fd);
        return RPDCTL_NO;
    }
    at = request->lines > 0 ? find_tail(fd, status.st_size, request->lines) : status.st_size;
    copy_from(fd, &at);
    if (request->follows)
        follow(path, &fd, &at);
    close(fd);
    return 0;
}

/* ---- the journal ----------------------------------------------------------------------------- */

/* Lines of the service, and those of its process, which are the daemon's own. */
static int show_journal(const struct request *request, pid_t pid)
{
    char lines[32], process[32], service[96];
    char *argv[] = {(char *)"journalctl",
                    (char *)"--no-pager",
                    (char *)"-n",
                    lines,
                    service,
                    (char *)"+",
                    process,
                    NULL,
                    NULL};

    snprintf(lines, sizeof lines, "%ld", request->lines);
    snprintf(service, sizeof service, "RPD_SERVICE=%s", request->service);
    snprintf(process, sizeof process, "_PID=%d", (int)pid);
    argv[7] = request->follows ? (char *)"-f" : NULL;
    fflush(stdout);
    execvp(argv[0], argv);
    rpdctl_say("log: %s: its lines are in the journal, and journalctl cannot be run: %s",
               request->service, strerror(errno));
    return RPDCTL_NO;
}

/* ---- where it goes --------------------------------------------------------------------------- */

/* Of one whose lines go to stderr, whatever has made that. False: that is no file. */
static bool find_stderr(pid_t pid, char path[PATH_MAX])
{
    char link[48];
    ssize_t size;

    snprintf(link, sizeof link, "/proc/%d/fd/2", (int)pid);
    size = readlink(link, path, PATH_MAX - 1);
    path[size > 0 ? size : 0] = '\0';
    return path[0] == '/' && strncmp(path, "/dev/", 5) != 0;
}

static int show(const struct request *request, const struct instance *instance)
{
    const char *place = instance->has_record ? instance->record.log : NULL;
    char path[PATH_MAX];

    if (place && strcmp(place, "journal") == 0)
        return show_journal(request, instance->pid);
    if (place && *place == '/')
        return show_file(request, place);
    if (instance->verdict != STATE_DEAD && find_stderr(instance->pid, path))
        return show_file(request, path);
    if (instance->verdict == STATE_DEAD && daemon_log_default_path(path, request->service) == 0 &&
        access(path, F_OK) == 0)
        return show_file(request, path);
    rpdctl_say("log: %s: its lines go to its stderr, which is no file that can be read; set log.to",
               request->service);
    return RPDCTL_NO;
}

/* ---- the command ------------------------------------------------------------------------------
 */

static int set_level(const struct request *request, const struct instance *instance)
{
    struct error error;
    json_t *answer;

    if (libjansson_load(&error) < 0) {
        rpdctl_say("%s", error.text);
        return RPDCTL_NO;
    }
    answer = rpdctl_ask(
        "log", instance,
        json_pack("{ss ss ss}", "do", "log", "service", request->service, "level", request->level));
    if (!answer)
        return RPDCTL_NO;
    json_decref(answer);
    printf("%s: the level of its log is %s now\n", request->service, request->level);
    return 0;
}

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;
    char *end;

    switch (option) {
    case 'f': request->follows = true; return 0;
    case LEVEL: request->level = optarg; return 0;
    default: break;
    }
    request->lines = strtol(optarg, &end, 10);
    if (end == optarg || *end || request->lines < 0 || request->lines > LINES_MAX)
        return rpdctl_refuse(argv[0], "-n %s: expected a number of lines", optarg);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"level", required_argument, NULL, LEVEL},
                                            {NULL, 0, NULL, 0}};
    struct request request = {.lines = 10};
    struct instance instance;
    int code = rpdctl_take_options(argc, argv, ":fn:", options, take, &request), runtime_dirfd;
    int found;

    if (!code)
        code = rpdctl_take_service(argc, argv, &request.service);
    if (code)
        return code;
    found = rpdctl_find_runtime(&runtime_dirfd);
    if (found < 0)
        return RPDCTL_NO;
    instance_look(found ? -1 : runtime_dirfd, request.service, &instance);
    code = request.level ? set_level(&request, &instance) : show(&request, &instance);
    instance_finish(&instance);
    if (!found)
        close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_log = {
    .name = "log",
    .summary = "its log, wherever that goes, and its level",
    .help = help,
    .run = run,
};
