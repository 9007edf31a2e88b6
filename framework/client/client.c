/* librpd-client. See rpd/client.h. The library is built from the files of this directory and from
 * framework/observe/, with nothing but libc. This file has the calls that wait; start.c has those
 * that do not. */
#include <rpd/client.h>

#include "base/clock.h"
#include "base/directory.h"
#include "client/connect.h"
#include "client/request.h"
#include "observe/instance.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- making sure ------------------------------------------------------------------------- */

/* Returns -1 on errors. errno is ENOENT if rpdctl ensure succeeded and the service is still not
 * there: it may come back. */
static int run_and_wait(struct client_request *request)
{
    struct client_words words = {request->error->text, sizeof request->error->text, 0};
    struct client_child child;

    if (client_run_rpdctl(request, &child) < 0)
        return -1;
    while (client_words_read(&words, child.errors) > 0)
        continue;
    client_words_end(&words);
    close(child.errors);
    return client_judge(request, client_wait_for(child.pid));
}

static int ensure(struct client_request *request)
{
    struct instance instance;
    bool is_there;
    int ran;

    errno = 0;
    if (client_open_directory(request) < 0)
        return -1;
    is_there = client_lives(request, &instance);
    instance_finish(&instance);
    if (is_there)
        return 0;
    errno = 0;
    if (!request->config)
        return client_fail(request, RPD_CLIENT_NOT_RUNNING,
                           "client: %s: is not running; start it, or name its configuration",
                           request->service);
    ran = run_and_wait(request);
    is_there = ran >= 0 && client_lives(request, &instance);
    if (ran >= 0)
        instance_finish(&instance);
    return is_there ? 0 : client_is_not_there(request, ran);
}

/* ---- connecting --------------------------------------------------------------------------- */

/* Unix endpoints first: they check rights, and cost less. */
static int connect_to_any(struct client_request *request, const struct record_view *record)
{
    int fd = -1;

    errno = ENOENT;
    for (int is_unix = 1; is_unix >= 0; is_unix--)
        for (size_t i = 0; fd < 0 && i < record->endpoint_count; i++)
            if ((strncmp(record->endpoints[i], "unix:", 5) == 0) == is_unix)
                fd = client_connect(record->endpoints[i], request->deadline_us);
    return fd;
}

/* The daemon may end between our look and our connect, and be started again. */
static int connect_once(struct client_request *request)
{
    struct instance instance;
    int fd = -1, cause;

    if (ensure(request) < 0)
        return -1;
    client_lives(request, &instance);
    if (instance.has_record)
        fd = connect_to_any(request, &instance.record);
    else
        errno = ENOENT;
    cause = errno;
    if (fd < 0)
        client_fail(request, cause == ETIMEDOUT ? RPD_CLIENT_TIMED_OUT : 71,
                    "client: %s: cannot connect: %s", request->service, strerror(cause));
    instance_finish(&instance);
    errno = cause;
    return fd;
}

static int connect_until_deadline(struct client_request *request)
{
    for (int tries = 1;; tries++) {
        int fd;

        errno = 0;
        request->error->code = 0;
        request->error->text[0] = '\0';
        fd = connect_once(request);
        if (fd >= 0 || !client_is_worth_another_try(errno) || tries == CLIENT_TRIES_MAX ||
            clock_us() + CLIENT_PAUSE_US > request->deadline_us)
            return fd;
        usleep(CLIENT_PAUSE_US);
    }
}

/* ---- the interface -------------------------------------------------------------------------- */

static int run(int (*act)(struct client_request *request), struct client_request request,
               struct rpd_client_error *ret_error)
{
    struct rpd_client_error unwanted = {0};
    int result;

    request.error = ret_error ? ret_error : &unwanted;
    *request.error = (struct rpd_client_error){0};
    request.dirfd = -1;
    result = request.service ? act(&request)
                             : client_fail(&request, 64, "client: service: no name was given");
    if (request.dirfd >= 0)
        close(request.dirfd);
    return result;
}

int rpd_ensure(const char *config, const char *service, struct rpd_client_error *ret_error)
{
    struct client_request request = {
        .config = config, .service = service, .deadline_us = UINT64_MAX};

    return run(ensure, request, ret_error);
}

int rpd_connect(const char *config, const char *service, int timeout_ms,
                struct rpd_client_error *ret_error)
{
    struct client_request request = {
        .config = config, .service = service, .deadline_us = UINT64_MAX};

    if (timeout_ms >= 0)
        request.deadline_us = clock_us() + 1000 * (uint64_t)timeout_ms;
    return run(connect_until_deadline, request, ret_error);
}
