/* The journal. See journal.h, and systemd's "Native Journal Protocol": a datagram of lines
 * FIELD=value, each ended by a newline. No value here has a newline in it. */
#include "base/journal.h"

#include "base/fork_guard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static atomic_int journal_fd = -1;
static struct sockaddr_un journal_address = {.sun_family = AF_UNIX};

/* The beginnings of lines, and their message ids, which never change: `journalctl -t rpd
 * MESSAGE_ID=...`. */
static const struct {
    const char *begins, *id;
} kinds[] = {
    {"bound ", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e01"},
    {"ready", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e02"},
    {"stopping: ", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e03"},
    {"stopped", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e04"},
    {"load failed: ", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e05"},
    {"slow: ", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e06"},
    {"loop: ", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e07"},
    {"crash: ", "c3a1f6d0f0b84a0f9d7a5a3f5b2d7e08"},
};

const char *journal_message_id(const char *message)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(message, kinds[i].begins, strlen(kinds[i].begins)) == 0)
            return kinds[i].id;
    return NULL;
}

/* Each datagram is sent to the address, because a restarted journal has a new socket there. */
bool journal_open(void)
{
    const char *own = getenv("RPD_JOURNAL_SOCKET");
    const char *path = own ? own : "/run/systemd/journal/socket";
    const int fd = *path && strlen(path) < sizeof journal_address.sun_path &&
                           access(path, F_OK) == 0
                       ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
                       : -1;

    if (fd < 0)
        return false;
    memcpy(journal_address.sun_path, path, strlen(path) + 1);
    fork_guard_add(fd);
    atomic_store(&journal_fd, fd);
    return true;
}

enum { PARTS_MAX = 16 };

struct message {
    struct iovec parts[PARTS_MAX];
    size_t count;
};

static void add(struct message *message, const char *data, size_t size)
{
    message->parts[message->count++] = (struct iovec){(char *)(size_t)data, size};
}

static void add_field(struct message *message, const char *name, const char *value)
{
    if (!value)
        return;
    add(message, name, strlen(name));
    add(message, value, strlen(value));
    add(message, "\n", 1);
}

bool journal_send(int priority, const char *line, size_t size, const struct journal_fields *fields)
{
    char digit[2] = {(char)('0' + priority), '\0'};
    struct message message = {.count = 0};
    const struct msghdr header = {.msg_name = &journal_address,
                                  .msg_namelen = sizeof journal_address,
                                  .msg_iov = message.parts};
    struct msghdr whole = header;

    add_field(&message, "SYSLOG_IDENTIFIER=rpd\nPRIORITY=", digit);
    if (fields) {
        add_field(&message, "RPD_SERVICE=", fields->service);
        add_field(&message, "RPD_PART=", fields->part);
        add_field(&message, "MESSAGE_ID=", fields->message_id);
    }
    add(&message, "MESSAGE=", strlen("MESSAGE="));
    add(&message, line, size);
    add(&message, "\n", 1);
    whole.msg_iovlen = message.count;
    return sendmsg(atomic_load(&journal_fd), &whole, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}
