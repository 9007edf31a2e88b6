/* Looking. See rpdctl/ensure/look.h. */
#include "rpdctl/ensure/look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Without the lock of its name, a daemon may still have the lock of a path. */
static bool is_still_ending(const struct instance *instance)
{
    const int pidfd = instance_open_ending(instance);

    const bool is_there = pidfd >= 0 || errno == ENOSYS;

    if (pidfd >= 0)
        close(pidfd);
    return is_there;
}

bool ensure_look_is_unsettled(const struct instance *instance)
{
    if (instance->verdict == STATE_DEAD)
        return is_still_ending(instance);
    return !*instance->page.magic || instance->page.phase == RPD_PHASE_STARTING ||
           instance->page.phase >= RPD_PHASE_DRAINING;
}

static bool same_text(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

/* It may have several names. */
static bool same_file(const char *one, const char *other)
{
    struct stat first, second;

    return same_text(one, other) ||
           (one && other && stat(one, &first) == 0 && stat(other, &second) == 0 &&
            first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

/* Whether another file, or another command line, started the process. */
static bool is_from_elsewhere(const struct ensure_request *request, const struct instance *instance)
{
    return instance->has_record && !same_file(instance->record.config, request->config->path);
}

static enum ensure_picture judge(const struct ensure_request *request,
                                 const struct instance *instances)
{
    size_t alive = 0;

    for (size_t i = 0; i < request->count; i++)
        if (ensure_look_is_unsettled(&instances[i]))
            return ENSURE_UNSETTLED;
    for (size_t i = 0; i < request->count; i++)
        alive += instances[i].verdict != STATE_DEAD;
    if (alive == 0)
        return ENSURE_ABSENT;
    for (size_t i = 0; i < request->count; i++)
        if (instances[i].verdict == STATE_DEAD || !instance_is_same(&instances[i], &instances[0]) ||
            is_from_elsewhere(request, &instances[i]))
            return ENSURE_ELSEWHERE;
    return ENSURE_RUNS;
}

enum ensure_picture ensure_look(const struct ensure_request *request, struct instance *instances)
{
    for (size_t i = 0; i < request->count; i++) {
        instance_finish(&instances[i]);
        instance_look(request->dirfd, request->names[i], &instances[i]);
    }
    return judge(request, instances);
}

/* ---- in words ------------------------------------------------------------------------- */

void ensure_look_describe(const struct instance *instances, size_t count, char *ret_text,
                          size_t size)
{
    size_t used = 0;

    *ret_text = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        const struct instance *instance = &instances[i];
        const char *from = instance->record.config ? instance->record.config : "a command line";

        used += (size_t)snprintf(ret_text + used, size - used, "%s%s", used ? ", " : "",
                                 instance->service);
        if (used >= size)
            return;
        if (instance->verdict == STATE_DEAD)
            used += (size_t)snprintf(ret_text + used, size - used, " is not running");
        else
            used += (size_t)snprintf(ret_text + used, size - used, " runs as pid %d from %s",
                                     (int)instance->pid, instance->has_record ? from : "elsewhere");
    }
}
