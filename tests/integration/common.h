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

#define UNUSED __attribute__((unused))

/* A test that RPD_TEST_KEEPER=1 cannot run, and why: tests/README.md collects these. */
#define NOT_WITH_KEEPER(why)                                                                       \
    do {                                                                                           \
        if (with_keeper())                                                                         \
            cr_skip("with a keeper: " why);                                                        \
    } while (0)

/* A plugin of tests/plugins. */
UNUSED static const char *test_plugin(const char *name)
{
    return build_path(textf("tests/plugins/%s.so", name));
}

/* Whether a build tree somewhere below /root, say, can be used by another user. */
UNUSED static bool others_reach_the_build(void)
{
    char path[PATH_MAX];
    struct stat status;

    if (!realpath(build_path("."), path))
        return false;
    for (char *slash = path + strlen(path); slash; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (stat(*path ? path : "/", &status) != 0 || !(status.st_mode & S_IXOTH))
            return false;
    }
    return true;
}

UNUSED static int client(const char *endpoint)
{
    const int fd = connect_to(endpoint);

    cr_assert_geq(fd, 0, "%s: %s", endpoint, strerror(errno));
    return fd;
}

/* A line to a server. */
UNUSED static void tell(int fd, const char *line)
{
    const char *whole = textf("%s\n", line);

    cr_assert_eq(send_all(fd, whole, strlen(whole)), 0, "%s: %s", line, strerror(errno));
}

UNUSED static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What is in a directory, sorted, one name a line, directories with what is in
 * them; but no lock files and histories, which stay for ever. */
UNUSED static const char *listing(const char *dir)
{
    const char *names[512];
    size_t count = 0;
    const char *result = "";
    DIR *stream = opendir(dir);

    for (const struct dirent *entry; stream && (entry = readdir(stream)) && count < 512;) {
        const size_t size = strlen(entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (size > 5 && strcmp(entry->d_name + size - 5, ".lock") == 0) ||
            (size > 8 && strcmp(entry->d_name + size - 8, ".history") == 0))
            continue;
        const char *path = textf("%s/%s", dir, entry->d_name);
        struct stat status;
        if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode))
            names[count++] = textf("%s/\n%s", path, listing(path));
        else
            names[count++] = textf("%s\n", path);
    }
    if (stream)
        closedir(stream);
    qsort(names, count, sizeof *names, compare_texts);
    for (size_t i = 0; i < count; i++)
        result = textf("%s%s", result, names[i]);
    return result;
}

UNUSED static void write_text(const char *path, const char *text)
{
    file_write(path, text, strlen(text));
}

UNUSED static void copy_file(const char *from, const char *to, mode_t mode)
{
    char block[65536];
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (in < 0 || out < 0)
        test_die("copy %s to %s: %s", from, to, strerror(errno));
    for (ssize_t got; (got = read(in, block, sizeof block)) > 0;)
        if (write(out, block, (size_t)got) != got)
            test_die("write %s: %s", to, strerror(errno));
    close(in);
    close(out);
    if (chmod(to, mode) != 0)
        test_die("chmod %s: %s", to, strerror(errno));
}

/* How many lines of a text hold this. */
UNUSED static size_t lines_with(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *line = text; *line;) {
        const size_t size = strcspn(line, "\n");
        if (memmem(line, size, part, strlen(part)))
            count++;
        line += size + (line[size] == '\n');
    }
    return count;
}

/* The next line, without its newline. NULL at the end or an error. */
UNUSED static const char *hear_line(int fd)
{
    static char answer[65536];
    const ssize_t got = read_line(fd, answer, sizeof answer);

    if (got <= 0 || answer[got - 1] != '\n')
        return NULL;
    answer[got - 1] = '\0';
    return answer;
}

/* A line is sent; the answer, as above. */
UNUSED static const char *ask(int fd, const char *line)
{
    const char *whole = textf("%s\n", line);

    return send_all(fd, whole, strlen(whole)) == 0 ? hear_line(fd) : NULL;
}

UNUSED static const char *ask_once(const char *endpoint, const char *line)
{
    const int fd = connect_to(endpoint);

    if (fd < 0)
        return NULL;
    const char *answer = ask(fd, line);
    close(fd);
    return answer;
}

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
UNUSED static int listen_at(const char *path, int type, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) +
                                   (path[0] != '@'));
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0 &&
        (backlog < 0 || listen(fd, backlog) == 0))
        return fd;
    close(fd);
    return -1;
}

#endif
