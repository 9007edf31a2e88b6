/* Acts that a plugin must not do, each with its name; the misbehaving plugins share them.
 * Constructors and binds have no options, so they read the environment. This is a header because
 * each .c file here is a plugin. */
#ifndef TESTS_PLUGINS_ACTS_H
#define TESTS_PLUGINS_ACTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Ends only when the stack is full; the compiler must not notice. */
static inline int overflow(volatile char *above)
{
    volatile char room[4096];

    room[0] = *above;
    return room[0] ? overflow(room) + room[0] : 0;
}

/* Waits until another process opens $TEST_GATE, a FIFO, and writes to it or closes it. */
static inline void wait_at_gate(void)
{
    const int fd = open(getenv("TEST_GATE"), O_RDONLY | O_CLOEXEC);
    char byte;

    while (fd >= 0 && read(fd, &byte, 1) < 0 && errno == EINTR)
        continue;
    if (fd >= 0)
        close(fd);
}

/* Writes to stderr, in one write, which files exist at this moment. */
static inline void report(const char *where)
{
    char line[256];
    const char *record = getenv("TEST_RECORD"), *path = getenv("TEST_SOCKET");
    const int size = snprintf(line, sizeof line, "test: %s: socket %s, record %s\n", where,
                              path && access(path, F_OK) == 0 ? "yes" : "no",
                              record && access(record, F_OK) == 0 ? "yes" : "no");

    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        return;
}

static inline void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

/* Acts that are the same wherever they are done. */
static inline void act(const char *where, const char *what)
{
    char top = 1;

    if (!what)
        return;
    if (strcmp(what, "hang") == 0) {
        say("test: hangs\n");
        for (;;)
            pause();
    } else if (strcmp(what, "gate") == 0) {
        say("test: waits at the gate\n");
        wait_at_gate();
    } else if (strcmp(what, "exit") == 0) {
        exit(0);
    } else if (strcmp(what, "segv") == 0) {
        static volatile uintptr_t nowhere = 8;

        *(volatile int *)nowhere = 1;
    } else if (strcmp(what, "abort") == 0) {
        abort();
    } else if (strcmp(what, "overflow") == 0) {
        top = (char)overflow(&top);
    } else if (strcmp(what, "report") == 0) {
        report(where);
    }
}

#endif
