/* What is to be made sure of. See rpdctl/ensure/request.h. */
#include "rpdctl/ensure/request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int ensure_request_inspect(const struct ensure_request *request, size_t index,
                           struct plugin *plugin, struct error *error)
{
    const struct config_service *service = &request->config->services[index];
    const struct plugin_search search = {.base = service->plugin_base,
                                         .dirs = request->config->plugin_dirs};

    *plugin = (struct plugin){.fd = -1};
    return plugin_inspect(plugin, service->plugin, &search, error);
}

/* A service without one has its backend's. */
static int find_name(struct ensure_request *request, size_t index, struct error *error)
{
    const char *configured = request->config->services[index].name;
    struct plugin plugin;
    int failed = 0;

    if (configured) {
        snprintf(request->names[index], sizeof *request->names, "%s", configured);
        return 0;
    }
    failed = ensure_request_inspect(request, index, &plugin, error);
    if (!failed)
        snprintf(request->names[index], sizeof *request->names, "%s", plugin.note.backend);
    plugin_finish(&plugin);
    return failed;
}

/* Without them nothing can be seen: all would look as if it were about to start. */
static int check_descriptors(int any_fd, struct error *error)
{
    enum { NEEDED = 12 };
    int fds[NEEDED], count = 0, cause = 0;

    while (count < NEEDED && (fds[count] = fcntl(any_fd, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    if (count < NEEDED)
        cause = errno;
    while (count > 0)
        close(fds[--count]);
    return cause ? error_set(error, EXIT_SYSTEM, "ensure", "descriptors",
                             "cannot have more: %s; %s", strerror(cause),
                             error_remedy(cause, "let the sandbox allow fcntl(F_DUPFD_CLOEXEC)"))
                 : 0;
}

/* In another user's directory services are looked for, but nothing is made, and none is started. */
static int open_runtime(struct ensure_request *request, struct error *error)
{
    int fd;

    if (directory_find_runtime(request->runtime_dir, &fd, error) == 0)
        return fd;
    return directory_open_runtime(request->runtime_dir, error);
}

int ensure_request_prepare(struct ensure_request *request, struct error *error)
{
    request->dirfd = -1;
    request->names = calloc(request->config->service_count, sizeof *request->names);
    if (!request->names)
        return error_set(error, EXIT_SYSTEM, "ensure", "services", "out of memory");
    request->count = request->config->service_count;
    for (size_t i = 0; i < request->count; i++)
        if (find_name(request, i, error) < 0)
            return -1;
    request->dirfd = open_runtime(request, error);
    return request->dirfd < 0 ? -1 : check_descriptors(request->dirfd, error);
}

int ensure_request_follow(struct ensure_request *request, struct error *error)
{
    int fresh;

    if (directory_is_at(request->runtime_dir, request->dirfd))
        return 0;
    fresh = directory_open_at(request->runtime_dir, error);
    if (fresh < 0)
        return -1;
    dup3(fresh, request->dirfd, O_CLOEXEC); /* of two open ones: it cannot fail */
    close(fresh);
    return 1;
}

void ensure_request_finish(struct ensure_request *request)
{
    free(request->names);
    if (request->dirfd >= 0)
        close(request->dirfd);
}
