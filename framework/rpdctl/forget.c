/* rpdctl forget: clears what a dead service has left.
 *
 * rpdctl holds the service's lock meanwhile, so that no daemon starts. The lock file itself stays,
 * as always. */
#include "base/lock.h"
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl forget NAME\n"
    "\n"
    "Removes what a service that is not running has left: the record and the state page\n"
    "of a crash, so that rpdctl status no longer shows it, and its history, with the\n"
    "failures for which rpdctl ensure would pause.\n"
    "\n"
    "Exit codes: 0 done, or nothing to do, 1 it is running, or a file cannot be removed, 64\n"
    "bad command line.\n";

/* Returns which of them were there; -1 after it has reported the error. */
static int clear(int runtime_dirfd, const char *service)
{
    static const char *const suffixes[] = {".json", ".state", ".metrics", ".history"};
    int count = 0;

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char name[NAME_MAX + 1];

        snprintf(name, sizeof name, "%s%s", service, suffixes[i]);
        if (unlinkat(runtime_dirfd, name, 0) == 0) {
            count++;
        } else if (errno != ENOENT) {
            rpdctl_say("forget: %s: cannot remove it: %s", name, strerror(errno));
            return -1;
        }
    }
    return count;
}

static int forget_in(int runtime_dirfd, const char *service)
{
    char name[NAME_MAX + 1], holder[LOCK_HOLDER_MAX];
    struct lock lock = {.fd = -1};
    struct error error;
    int taken, count;

    snprintf(name, sizeof name, "%s.lock", service);
    if (faccessat(runtime_dirfd, name, F_OK, 0) < 0) { /* a daemon that ran had one */
        printf("%s: nothing is known of it\n", service);
        return 0;
    }
    taken = lock_take(&lock, runtime_dirfd, ".", name, holder, &error);
    if (taken != 0) {
        if (taken > 0)
            rpdctl_say("forget: %s: it runs%s%s; stop it first (rpdctl stop %s)", service,
                       *holder ? ": " : "", holder, service);
        else
            rpdctl_say("forget: %s", error.text);
        return RPDCTL_NO;
    }
    count = clear(runtime_dirfd, service);
    lock_release(&lock);
    if (count >= 0)
        printf("%s: %s\n", service, count > 0 ? "forgotten" : "nothing is known of it");
    return count < 0 ? RPDCTL_NO : 0;
}

static int run(int argc, char **argv)
{
    static const struct option none[] = {{NULL, 0, NULL, 0}};
    const char *service;
    int code = rpdctl_take_options(argc, argv, ":", none, NULL, NULL), runtime_dirfd, found;

    if (!code)
        code = rpdctl_take_service(argc, argv, &service);
    if (code)
        return code;
    found = rpdctl_find_runtime(&runtime_dirfd);
    if (found)
        return found < 0 ? RPDCTL_NO : (printf("%s: nothing is known of it\n", service), 0);
    code = forget_in(runtime_dirfd, service);
    close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_forget = {
    .name = "forget",
    .summary = "clear what a dead service has left",
    .help = help,
    .run = run,
};
