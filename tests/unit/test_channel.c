/* Messages with descriptors. */
#include "keeper/channel.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void make_pair(int pair[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

Test(channel, whole_and_in_order)
{
    struct channel_message message = {.kind = CHANNEL_PHASE, .service = 3, .numbers = {1, 2, 3}};
    struct channel_message got;
    int pair[2], fds[CHANNEL_FDS_MAX];
    size_t count;

    make_pair(pair);
    errno = 0;
    cr_assert_eq(channel_receive(pair[1], &got, fds, &count), -1);
    cr_assert_eq(errno, EAGAIN);
    for (uint32_t i = 0; i < 5; i++) {
        message.count = i;
        cr_assert_eq(channel_send(pair[0], &message, NULL, 0, 0), 0);
    }
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(channel_await(pair[1], &got, fds, &count), 1);
        cr_assert_eq(got.count, i);
        cr_assert_eq(count, 0);
        cr_assert_eq(memcmp(got.numbers, message.numbers, sizeof got.numbers), 0);
    }
    close(pair[0]);
    cr_assert_eq(channel_receive(pair[1], &got, fds, &count), 0);
    cr_assert_eq(channel_send(pair[1], &message, NULL, 0, 0), -1);
    cr_assert_eq(errno, EPIPE);
}

Test(channel, as_many_descriptors_as_there_can_be)
{
    const struct channel_message message = {.kind = CHANNEL_CLIENTS, .count = CHANNEL_FDS_MAX};
    struct channel_message got;
    int pair[2], fds[CHANNEL_FDS_MAX];
    size_t count;

    make_pair(pair);
    for (size_t i = 0; i < CHANNEL_FDS_MAX; i++)
        fds[i] = pair[0];
    cr_assert_eq(channel_send(pair[0], &message, fds, CHANNEL_FDS_MAX, 0), 0);
    cr_assert_eq(channel_receive(pair[1], &got, fds, &count), 1);
    cr_assert_eq(count, (size_t)CHANNEL_FDS_MAX);
    for (size_t i = 0; i < count; i++) {
        cr_assert(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        close(fds[i]);
    }
}

/* Descriptors beyond the receiver's limit are lost: the count shows it. */
Test(channel, without_descriptors)
{
    enum { SENT = 20, ROOM = 5 };
    const struct channel_message message = {.kind = CHANNEL_CLIENTS, .count = SENT};
    struct channel_message got;
    struct rlimit limit, before;
    int pair[2], fds[CHANNEL_FDS_MAX];
    size_t count;

    make_pair(pair);
    for (size_t i = 0; i < SENT; i++)
        fds[i] = pair[0];
    cr_assert_eq(channel_send(pair[0], &message, fds, SENT, 0), 0);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)pair[1] + 1 + ROOM;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(channel_receive(pair[1], &got, fds, &count), 1);
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert_eq(got.count, (uint32_t)SENT);
    cr_assert_leq(count, (size_t)ROOM);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}
