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

/* A plugin of tests/plugins. */
const char *test_plugin(const char *name);

/* Whether a build tree somewhere below /root, say, can be used by another user. */
bool others_reach_the_build(void);

int client(const char *endpoint);

/* A line to a server. */
void tell(int fd, const char *line);

int compare_texts(const void *a, const void *b);

/* What is in a directory, sorted, one name a line, directories with what is in
 * them; but no lock files and histories, which stay for ever. */
const char *listing(const char *dir);

void write_text(const char *path, const char *text);

void copy_file(const char *from, const char *to, mode_t mode);

/* How many lines of a text hold this. */
size_t lines_with(const char *text, const char *part);

/* The next line, without its newline. NULL at the end or an error. */
const char *hear_line(int fd);

/* A line is sent; the answer, as above. */
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

/* It ends by itself, with this code. */
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

/* Nothing but lock files and histories. */
#define assert_empty(dir)                                                                          \
    do {                                                                                           \
        const char *left_ = listing(dir);                                                          \
        cr_assert_str_empty(left_, "left behind:\n%s", left_);                                     \
    } while (0)

/* The rest of what a client gets: must be the end of the stream. */
#define assert_eof(fd)                                                                             \
    do {                                                                                           \
        char byte_;                                                                                \
        const ssize_t got_ = read_exactly(fd, &byte_, 1);                                          \
        cr_assert_eq(got_, 0, "%zd instead of end-of-file (%s)", got_,                             \
                     got_ < 0 ? strerror(errno) : "a byte");                                       \
    } while (0)

/* A socket that listens, as somebody else's would. -1 and errno. */
int listen_at(const char *path, int type, int backlog);

#endif
