/* Messages with descriptors. See channel.h. */
#include "keeper/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

union rights {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
};

static void put_descriptors(struct msghdr *packet, union rights *rights, const int *fds,
                            size_t count)
{
    struct cmsghdr *header;

    if (count == 0)
        return;
    memset(rights, 0, sizeof *rights);
    packet->msg_control = rights->room;
    packet->msg_controllen = CMSG_SPACE(sizeof(int) * count);
    header = CMSG_FIRSTHDR(packet);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
}

int channel_send(int fd, const struct channel_message *message, const int *fds, size_t fd_count,
                 int patience_ms)
{
    struct channel_message copy = *message;
    struct iovec bytes = {.iov_base = &copy, .iov_len = sizeof copy};
    struct msghdr packet = {.msg_iov = &bytes, .msg_iovlen = 1};
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    union rights rights;

    put_descriptors(&packet, &rights, fds, fd_count);
    for (;;) {
        if (sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN || patience_ms == 0)
            return -1;
        if (poll(&room, 1, patience_ms) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
}

static void take_descriptors(struct msghdr *packet, int *ret_fds, size_t *ret_count)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(packet); header;
         header = CMSG_NXTHDR(packet, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        *ret_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(ret_fds, CMSG_DATA(header), *ret_count * sizeof(int));
    }
}

int channel_receive(int fd, struct channel_message *ret, int *ret_fds, size_t *ret_count)
{
    struct iovec bytes = {.iov_base = ret, .iov_len = sizeof *ret};
    union rights rights;
    struct msghdr packet = {.msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = rights.room,
                            .msg_controllen = sizeof rights.room};
    ssize_t got;

    *ret_count = 0;
    do
        got = recvmsg(fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got < 0 ? -1 : 0;
    take_descriptors(&packet, ret_fds, ret_count);
    if (got == (ssize_t)sizeof *ret)
        return 1;
    while (*ret_count > 0)
        close(ret_fds[--*ret_count]);
    errno = EPROTO;
    return -1;
}

int channel_await(int fd, struct channel_message *ret, int *ret_fds, size_t *ret_count)
{
    struct pollfd message = {.fd = fd, .events = POLLIN};

    for (;;) {
        const int got = channel_receive(fd, ret, ret_fds, ret_count);

        if (got >= 0 || errno != EAGAIN)
            return got;
        poll(&message, 1, -1);
    }
}

/* ---- texts ------------------------------------------------------------------------------- */

enum { TEXT_MAX = 16 * 1024 * 1024 };

static int write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t wrote = write(fd, text, size);

        if (wrote < 0)
            return -1;
        text += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

int channel_send_text(int fd, const struct channel_message *message, const char *text, size_t size)
{
    const int file = memfd_create("rpd-text", MFD_CLOEXEC);
    int sent = -1, cause;

    if (file < 0)
        return -1;
    if (write_all(file, text, size) == 0)
        sent = channel_send(fd, message, &file, 1, 0);
    cause = errno;
    close(file);
    errno = cause;
    return sent;
}

char *channel_read_text(int take_fd)
{
    struct stat status;
    char *text = NULL;
    size_t used = 0;

    errno = EPROTO;
    if (fstat(take_fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= TEXT_MAX)
        text = calloc(1, (size_t)status.st_size + 1);
    while (text && used < (size_t)status.st_size) {
        const ssize_t got = pread(take_fd, text + used, (size_t)status.st_size - used, (off_t)used);

        if (got <= 0)
            break;
        used += (size_t)got;
    }
    close(take_fd);
    return text;
}
