/* Questions to a daemon. See rpdctl/ask.h. */
#include "rpdctl/ask.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpdctl/program.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_US = 5 * 1000000, ANSWER_MAX = 64 * 1024 * 1024, FIRST_ROOM = 64 * 1024 };

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof address.sun_path)
        return fd;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Its first line; NULL and errno. */
static char *hear(int fd, bool is_long)
{
    const uint64_t deadline_us = clock_us() + PATIENCE_US;
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    size_t room = FIRST_ROOM, used = 0;
    char *text = malloc(room);

    while (text && room <= ANSWER_MAX) {
        ssize_t got;
        char *grown;

        if (poll(&answer, 1, is_long ? -1 : clock_ms_until(deadline_us)) == 0) {
            errno = ETIMEDOUT;
            break;
        }
        got = recv(fd, text + used, room - used - 1, MSG_DONTWAIT);
        if (got == 0)
            errno = EPIPE;
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            break;
        used += got > 0 ? (size_t)got : 0;
        text[used] = '\0';
        if (used > 0 && text[used - 1] == '\n')
            return text;
        if (used + 1 < room)
            continue;
        grown = realloc(text, room * 2);
        if (!grown)
            break;
        text = grown;
        room *= 2;
    }
    free(text);
    return NULL;
}

static char *exchange(const char *path, const char *request, bool is_long)
{
    const int fd = open_socket(path);
    char *answer = NULL;

    if (fd < 0)
        return NULL;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request) &&
        send(fd, "\n", 1, MSG_NOSIGNAL) == 1)
        answer = hear(fd, is_long);
    close(fd);
    return answer;
}

/* The caller's, or NULL after it was said. */
static json_t *judge(const char *command, const char *service, char *take_answer)
{
    json_t *answer = json_loads(take_answer, 0, NULL);
    const char *refusal = json_string_value(json_object_get(answer, "error"));

    free(take_answer);
    if (answer && !refusal)
        return answer;
    rpdctl_say("%s: %s: its daemon refuses: %s", command, service,
               refusal ? refusal : "its answer is no JSON");
    json_decref(answer);
    return NULL;
}

static char *ask(const char *command, const struct instance *instance, json_t *take_request,
                 bool is_long)
{
    const char *path = instance->has_record ? instance->record.control : NULL;
    char *text, *answer = NULL;

    json_object_set_new(take_request, "v", json_integer(1));
    json_object_set_new(take_request, "id", json_integer(1));
    text = json_dumps(take_request, JSON_COMPACT);
    json_decref(take_request);
    if (instance->verdict == STATE_DEAD) {
        rpdctl_say("%s: %s: it is not running", command, instance->service);
    } else if (!path || !text) {
        rpdctl_say("%s: %s: it has no record that names its control socket", command,
                   instance->service);
    } else {
        answer = exchange(path, text, is_long);
        if (!answer)
            rpdctl_say("%s: %s: no answer by %s: %s", command, instance->service, path,
                       strerror(errno));
    }
    free(text);
    return answer;
}

json_t *rpdctl_ask(const char *command, const struct instance *instance, json_t *take_request)
{
    char *answer = ask(command, instance, take_request, false);

    return answer ? judge(command, instance->service, answer) : NULL;
}

json_t *rpdctl_ask_for_long(const char *command, const struct instance *instance,
                            json_t *take_request)
{
    char *text = ask(command, instance, take_request, true);
    json_t *answer = text ? json_loads(text, 0, NULL) : NULL;

    free(text);
    if (text && !answer)
        rpdctl_say("%s: %s: its answer is no JSON", command, instance->service);
    return answer;
}
