/* The kit's verdicts, and what it clears between two checks. See rpdctl/kit.h; its daemons are
 * in rpdctl/stage_start.c and rpdctl/stage.c, its clients in rpdctl/client.c. */
#include "rpdctl/stage_inside.h"

#include "rpdctl/descriptor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- verdicts ------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static void tell(struct kit *kit, const char *format,
                                                       va_list arguments)
{
    vsnprintf(kit->text, sizeof kit->text, format, arguments);
}

#define TELL_AND_RETURN(verdict)                                                                   \
    va_list arguments;                                                                             \
    va_start(arguments, format);                                                                   \
    tell(kit, format, arguments);                                                                  \
    va_end(arguments);                                                                             \
    return verdict

enum verdict kit_passed(struct kit *kit, const char *format, ...)
{
    TELL_AND_RETURN(PASSED);
}

enum verdict kit_passes(struct kit *kit)
{
    kit->text[0] = '\0';
    return PASSED;
}

enum verdict kit_failed(struct kit *kit, const char *format, ...)
{
    TELL_AND_RETURN(FAILED);
}

enum verdict kit_skipped(struct kit *kit, const char *format, ...)
{
    TELL_AND_RETURN(SKIPPED);
}

bool kit_has(const struct kit *kit, const char *callback)
{
    return descriptor_has(kit->descriptor, callback);
}

void kit_sleep_ms(unsigned milliseconds)
{
    nanosleep(&(const struct timespec){.tv_sec = milliseconds / 1000,
                                       .tv_nsec = milliseconds % 1000 * 1000000L},
              NULL);
}

/* ---- between two checks --------------------------------------------------------------------- */

/* Two levels: DIR, and DIR/run. */
static void remove_files(int dirfd)
{
    DIR *stream = fdopendir(dup(dirfd));

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd, entry->d_name, 0) == 0 || errno != EISDIR)
            continue;
        const int below = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (below < 0)
            continue;
        remove_files(below);
        close(below);
        unlinkat(dirfd, entry->d_name, AT_REMOVEDIR);
    }
    if (stream)
        closedir(stream);
}

void kit_clear(struct kit *kit)
{
    for (size_t i = 0; i < kit->client_count; i++)
        close(kit->clients[i]);
    kit->client_count = 0;
    for (size_t i = 0; i < kit->stage_count; i++) {
        struct stage *stage = &kit->stages[i];

        stage_signal(stage, SIGKILL);
        stage_reap(stage, 0);
        if (stage->pidfd >= 0)
            close(stage->pidfd);
        if (stage->notify_fd >= 0)
            close(stage->notify_fd);
        if (stage->dirfd >= 0) {
            remove_files(stage->dirfd);
            close(stage->dirfd);
        }
        rmdir(stage->dir);
    }
    kit->stage_count = 0;
}
