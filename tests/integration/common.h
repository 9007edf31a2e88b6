/* Small helpers that the black-box tests share, on top of support/process.h. */
#ifndef TESTS_INTEGRATION_COMMON_H
#define TESTS_INTEGRATION_COMMON_H

#include "process.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Skips a test that cannot run with RPD_TEST_KEEPER=1, and says why: tests/README.md collects the
 * reasons. */
#define NOT_WITH_KEEPER(why)                                                                       \
    do {                                                                                           \
        if (with_keeper())                                                                         \
            cr_skip("with a keeper: " why);                                                        \
    } while (0)

/* A plugin of tests/plugins. */
const char *test_plugin(const char *name);

/* Whether another user can use the build tree, which may be below /root, for example. */
bool others_reach_the_build(void);

int client(const char *endpoint);

/* Sends a line to a server. */
void tell(int fd, const char *line);

int compare_texts(const void *a, const void *b);

/* The sorted content of a directory, one name per line, with the content of its directories;
 * without lock files and histories, which stay for ever. */
const char *listing(const char *dir);

void write_text(const char *path, const char *text);

void copy_file(const char *from, const char *to, mode_t mode);

/* How many lines of a text contain this. */
size_t lines_with(const char *text, const char *part);

/* The next line, without its newline. NULL at the end or an error. */
const char *hear_line(int fd);

/* Sends a line. Returns the answer, as above. */
const char *ask(int fd, const char *line);

const char *ask_once(const char *endpoint, const char *line);

#define assert_text(found, wanted, process)                                                        \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert(found_ != NULL && strcmp(found_, (wanted)) == 0,                                 \
                  "\"%s\" instead of \"%s\"; stderr:\n%s", found_ ? found_ : "(nothing)",          \
                  (wanted), process_stderr(process));                                              \
    } while (0)

#define assert_bound(process)                                                                      \
    cr_assert_eq(process_wait_bound(process), 0, "not bound: %s", process_stderr(process))

#define assert_line(process, text)                                                                 \
    cr_assert_eq(process_wait_line(process, text), 0, "no line \"%s\" in:\n%s", (text),            \
                 process_stderr(process))

/* The process ends by itself, with this code. */
#define assert_ends(process, code)                                                                 \
    do {                                                                                           \
        const int code_ = process_code(process_wait_exit(process));                                \
        cr_assert_eq(code_, (code), "exit code %d instead of %d:\n%s", code_, (code),              \
                     process_stderr(process));                                                     \
    } while (0)

#define assert_stops(process)                                                                      \
    do {                                                                                           \
        const int code_ = process_code(process_stop(process));                                     \
        cr_assert_eq(code_, 0, "exit code %d at stop:\n%s", code_, process_stderr(process));       \
    } while (0)

/* The directory has only lock files and histories. */
#define assert_empty(dir)                                                                          \
    do {                                                                                           \
        const char *left_ = listing(dir);                                                          \
        cr_assert_str_empty(left_, "left behind:\n%s", left_);                                     \
    } while (0)

/* The client gets nothing more: the stream ends. */
#define assert_eof(fd)                                                                             \
    do {                                                                                           \
        char byte_;                                                                                \
        const ssize_t got_ = read_exactly(fd, &byte_, 1);                                          \
        cr_assert_eq(got_, 0, "%zd instead of end-of-file (%s)", got_,                             \
                     got_ < 0 ? strerror(errno) : "a byte");                                       \
    } while (0)

/* A listening socket that does not belong to rpd. -1 and errno. */
int listen_at(const char *path, int type, int backlog);

#endif
