/* See kv_client.h. */
#include "kv_client.h"

#include "process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 500, REQUEST = 160, VALUE = 100 };

static void read_batch(int fd, int count)
{
    char answers[5 * BATCH];

    if (read_exactly(fd, answers, (size_t)count * 5) != count * 5 || memcmp(answers, "+OK", 3) != 0)
        test_die("a SET failed: %.60s", answers);
}

void kv_client_fill(int fd, long keys)
{
    static char batch[BATCH * REQUEST];
    char value[VALUE + 1];
    int waiting = 0;

    memset(value, 'x', VALUE);
    value[VALUE] = '\0';
    for (long i = 0; i < keys;) {
        size_t size = 0;
        int count = 0;
        for (; count < BATCH && i < keys; count++, i++)
            size += (size_t)snprintf(batch + size, sizeof batch - size,
                                     "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012ld\r\n$100\r\n%s\r\n", i,
                                     value);
        if (send_all(fd, batch, size) != 0)
            test_die("send: %s", strerror(errno));
        /* One batch is in transit while the next is built. */
        if (waiting > 0)
            read_batch(fd, waiting);
        waiting = count;
    }
    read_batch(fd, waiting);
}

/* One answer at the beginning of the data read so far: its first line tells its whole size. */
static size_t read_answer(int fd, char *answer, size_t room)
{
    size_t size = 0;

    for (;;) {
        const char *end = memmem(answer, size, "\r\n", 2);
        size_t whole = end ? (size_t)(end - answer) + 2 : room;
        if (end && *answer == '$' && answer[1] != '-')
            whole += strtoul(answer + 1, NULL, 10) + 2;
        if (end && size >= whole)
            return size;
        const ssize_t got = recv(fd, answer + size, room - size - 1, 0);
        if (got <= 0)
            test_die("recv: %s", got < 0 ? strerror(errno) : "end-of-file");
        size += (size_t)got;
        answer[size] = '\0';
    }
}

int64_t kv_client_get(int fd, unsigned long number, bool *ret_loading)
{
    char text[64], answer[1024] = "";
    const int size = snprintf(text, sizeof text, "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012lu\r\n",
                              number);
    const int64_t began = now_ns();

    send_all(fd, text, (size_t)size);
    read_answer(fd, answer, sizeof answer);
    *ret_loading = strncmp(answer, "-LOADING", 8) == 0;
    return now_ns() - began;
}

bool kv_client_is_loaded(int fd)
{
    char answer[1024] = "";

    send_all(fd, "DBSIZE\r\n", 8);
    read_answer(fd, answer, sizeof answer);
    return *answer == ':';
}

void kv_client_await_loaded(int fd)
{
    while (!kv_client_is_loaded(fd))
        poll(NULL, 0, 1);
}
