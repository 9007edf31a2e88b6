/* The kit's clients: they never block, and every wait has an end. See rpdctl/kit.h. */
#include "base/clock.h"
#include "rpdctl/kit.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SEND_MS = 3000, ANSWER_MS = 3000, BREAK_MS = 20, DEATH_MS = 1000, SHOWN_BYTES = 40 };

/* What a client met, unless it is that the daemon is just dying: its end is then the text. */
__attribute__((format(printf, 2, 3))) static void client_failed(struct stage *stage,
                                                                const char *format, ...)
{
    char text[KIT_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (stage_stays(stage, DEATH_MS))
        kit_failed(stage->kit, "%s", text);
}

int client_open(struct stage *stage)
{
    struct kit *kit = stage->kit;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (kit->client_count == KIT_CLIENTS)
        abort(); /* a mistake in a check */
    snprintf(address.sun_path, sizeof address.sun_path, "%s", stage->socket);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        kit->clients[kit->client_count++] = fd;
        return fd;
    }
    client_failed(stage, "a client could not connect: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

void client_close(struct kit *kit, int fd)
{
    for (size_t i = 0; i < kit->client_count; i++)
        if (kit->clients[i] == fd) {
            kit->clients[i] = kit->clients[--kit->client_count];
            close(fd);
            return;
        }
}

bool client_sends(struct stage *stage, int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        const ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);

        if (sent > 0) {
            at += sent;
            size -= (size_t)sent;
        } else if (errno != EAGAIN || poll(&room, 1, SEND_MS) != 1) {
            client_failed(stage, "a client could not send: %s", strerror(errno));
            return false;
        }
    }
    return true;
}

size_t client_reads(int fd, char *buffer, size_t size, int within_ms, bool *ret_ended)
{
    const uint64_t end_us = clock_us() + (uint64_t)within_ms * 1000u;
    size_t used = 0;

    *ret_ended = false;
    while (used < size) {
        const uint64_t now_us = clock_us();
        struct pollfd input = {.fd = fd, .events = POLLIN};
        ssize_t got;

        if (poll(&input, 1, now_us < end_us ? (int)((end_us - now_us) / 1000) : 0) != 1)
            break;
        got = recv(fd, buffer + used, size - used, 0);
        if (got <= 0) {
            *ret_ended = got == 0 || errno != EAGAIN;
            break;
        }
        used += (size_t)got;
    }
    return used;
}

/* Bytes as a person can read them. */
static const char *shown(const char *bytes, size_t size, char room[4 * SHOWN_BYTES + 8])
{
    char *at = room;

    for (size_t i = 0; i < size && i < SHOWN_BYTES; i++)
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f)
            *at++ = bytes[i];
        else
            at += snprintf(at, 5, "\\x%02x", (unsigned char)bytes[i]);
    snprintf(at, 4, "%s", size > SHOWN_BYTES ? "..." : "");
    return room;
}

bool client_asks(struct stage *stage, int fd)
{
    const struct kit *kit = stage->kit;

    return !kit->request || client_sends(stage, fd, kit->request, kit->request_size);
}

/* The probe's answer comes, and begins as it should. */
static bool reads_answer(struct stage *stage, int fd, int within_ms)
{
    const struct kit *kit = stage->kit;
    const size_t size = kit->reply_size > 0 ? kit->reply_size : 1;
    char found[4 * SHOWN_BYTES + 8], wanted[4 * SHOWN_BYTES + 8];
    char *answer = malloc(size);
    bool ended = false;
    const size_t got = answer ? client_reads(fd, answer, size, within_ms, &ended) : 0;
    const bool good = got == size && memcmp(answer, kit->reply, kit->reply_size) == 0;

    if (!good && got == 0)
        client_failed(stage, "the probe was not answered%s",
                      ended ? ": the connection was closed instead" : " in time");
    else if (!good)
        client_failed(stage, "the probe was answered by \"%s\"%s instead of \"%s\"",
                      shown(answer, got, found), ended ? " and the end" : "",
                      shown(kit->reply, kit->reply_size, wanted));
    free(answer);
    return good;
}

bool client_is_answered(struct stage *stage, int fd, int within_ms)
{
    return !stage->kit->request || reads_answer(stage, fd, within_ms);
}

bool stage_answers(struct stage *stage)
{
    struct kit *kit = stage->kit;
    const int fd = client_open(stage);
    const bool good = fd >= 0 && client_asks(stage, fd) && client_is_answered(stage, fd, ANSWER_MS);

    if (fd >= 0)
        client_close(kit, fd);
    if (!good)
        return false;
    /* Without an answer nothing says whether the client has broken anything. */
    return kit->request ? stage_lives(stage) : stage_stays(stage, BREAK_MS);
}
