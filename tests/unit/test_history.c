/* Histories and outcomes: how long a history grows, what is kept of it, and which text is written
 * where. */
#include "guard/outcome.h"
#include "process.h"
#include "publish/history.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *dir;
static int dirfd_of_it;

static void make_dir(void)
{
    dir = temp_dir_make();
    dirfd_of_it = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(dirfd_of_it, 0);
}

static void remove_dir(void)
{
    close(dirfd_of_it);
    temp_dir_remove(dir);
}

TestSuite(history, .init = make_dir, .fini = remove_dir, .timeout = 60);

static const char *path(void)
{
    return textf("%s/s.history", dir);
}

/* Lines "0000001 xxx...\n" of this size, up to this many bytes. */
static void fill(size_t line_size, size_t size)
{
    char *text = malloc(size + line_size + 1);
    size_t used = 0;

    for (unsigned i = 1; used + line_size <= size; i++, used += line_size) {
        memset(text + used, 'x', line_size);
        text[used + (size_t)snprintf(text + used, 9, "%08u", i % 100000000)] = ' ';
        text[used + line_size - 1] = '\n';
    }
    file_write(path(), text, used);
    free(text);
}

static size_t size_now(void)
{
    struct stat status;

    cr_assert_eq(stat(path(), &status), 0);
    return (size_t)status.st_size;
}

static void open_and_close(void)
{
    const int fd = history_open(dirfd_of_it, "s");

    cr_assert_geq(fd, 0, "%s", strerror(errno));
    close(fd);
}

Test(history, is_made_and_appended_to)
{
    struct stat status;
    int fd = history_open(dirfd_of_it, "s");

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "one\n", 4), 4);
    close(fd);
    fd = history_open(dirfd_of_it, "s");
    cr_assert_eq(write(fd, "two\n", 4), 4);
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0644);
    close(fd);
    cr_assert_str_eq(file_read(path()), "one\ntwo\n");
}

Test(history, stays_up_to_its_limit)
{
    fill(64, HISTORY_MAX);
    open_and_close();
    cr_assert_eq(size_now(), HISTORY_MAX);
}

Test(history, is_cut_to_whole_lines)
{
    static const size_t sizes[] = {10, 64, 100, 1000, 4096, 16384};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill(sizes[i], HISTORY_MAX + 16384);
        const size_t before = size_now(), kept = HISTORY_KEPT / sizes[i] * sizes[i];
        const char *text = textf("%s", file_read(path()));
        open_and_close();
        cr_assert_eq(size_now(), kept, "lines of %zu: %zu of %zu are left", sizes[i], size_now(),
                     before);
        cr_assert_str_eq(file_read(path()), text + before - kept);
    }
}

Test(history, one_endless_line_is_dropped)
{
    char *text = calloc(1, HISTORY_MAX + 1);

    memset(text, 'x', HISTORY_MAX + 1);
    file_write(path(), text, HISTORY_MAX + 1);
    free(text);
    open_and_close();
    cr_assert_eq(size_now(), 0);
}

Test(history, half_a_line_is_ended)
{
    file_write(path(), "1 2 3 en", 8);
    open_and_close();
    cr_assert_str_eq(file_read(path()), "1 2 3 en\n");
}

Test(history, is_a_plain_file)
{
    cr_assert_eq(mkdir(path(), 0700), 0);
    cr_assert_lt(history_open(dirfd_of_it, "s"), 0);
    rmdir(path());
    cr_assert_eq(mkfifo(path(), 0600), 0);
    cr_assert_lt(history_open(dirfd_of_it, "s"), 0);
    unlink(path());
    cr_assert_eq(symlink("elsewhere", path()), 0);
    cr_assert_lt(history_open(dirfd_of_it, "s"), 0);
}

Test(history, what_killed_starts_left_is_removed)
{
    const char *left = textf("%s/.s.history.4711.tmp", dir);
    const char *others = textf("%s/.s.history.x.tmp", dir);

    file_write(left, "", 0);
    file_write(others, "", 0);
    history_sweep(dirfd_of_it, "s");
    cr_assert_neq(access(left, F_OK), 0);
    cr_assert_eq(access(others, F_OK), 0);
}

/* ---- outcomes ------------------------------------------------------------------ */

static int start_fd;

/* The start fd's read end; a history named s. */
static int begin(void)
{
    int pair[2];

    cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
    start_fd = pair[1];
    outcome_set_start_fd(pair[1]);
    cr_assert_eq(outcome_add_history(history_open(dirfd_of_it, "s"), "s", 4711), 0);
    return pair[0];
}

static const char *heard(int fd)
{
    char text[8192];

    close(start_fd); /* As the end of the process would, unless it was closed before. */
    cr_assert_geq(read_to_end(fd, text, sizeof text), 0);
    close(fd);
    return textf("%s", text);
}

/* The history, without the time of each line, which must be the present. */
static const char *noted(void)
{
    const char *result = "";
    const char *text = file_read(path());

    while (*text) {
        const size_t size = strcspn(text, "\n") + 1;
        char *end;
        const long long time_ms = strtoll(text, &end, 10);
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        cr_assert_leq(time_ms, (long long)now.tv_sec * 1000 + 1000);
        cr_assert_geq(time_ms, (long long)now.tv_sec * 1000 - 60000);
        result = textf("%s%.*s", result, (int)(size - (size_t)(end - text)), end);
        text += size;
    }
    return result;
}

Test(history, an_end_is_told_once)
{
    const int fd = begin();

    outcome_note("load: s: first; fix it");
    outcome_note("rpd: load: s: last; fix it");
    outcome_ended(69, NULL);
    outcome_ended(70, "another");
    cr_assert_str_eq(heard(fd), "ended 69 load: s: last; fix it\nsaid load: s: first; fix it\n");
    cr_assert_str_eq(noted(), textf(" %d 4711 ended 69 load: s: last; fix it\n", getpid()));
}

Test(history, who_was_bound_tells_its_end_to_the_history_only)
{
    const int fd = begin();

    outcome_bound();
    cr_assert_str_eq(heard(fd), "bound\n");
    outcome_ended(0, NULL);
    cr_assert_str_eq(noted(),
                     textf(" %d 4711 bound 0 -\n %d 4711 ended 0 -\n", getpid(), getpid()));
}

Test(history, a_line_is_one_line_and_fits_a_pipe)
{
    const int fd = begin();
    char text[9000];

    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\0';
    text[1] = '\n';
    outcome_ended(139, text);
    const char *line = heard(fd);
    cr_assert_leq(strlen(line), 4096u);
    cr_assert_eq(strncmp(line, "ended 139 y?yyyy", 16), 0, "%.20s", line);
    cr_assert_eq(strcspn(line, "\n"), strlen(line) - 1);
}

Test(history, a_launcher_that_does_not_read_is_not_waited_for)
{
    int pair[2];

    cr_assert_eq(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(pair[1], "x", 1) == 1)
        ;
    fcntl(pair[1], F_SETFL, 0);
    outcome_set_start_fd(pair[1]);
    outcome_ended(70, "text");
    cr_assert_lt(outcome_start_fd(), 0);
}

Test(history, a_child_says_nothing)
{
    const int fd = begin();
    const pid_t child = fork();

    if (child == 0) {
        outcome_ended(1, "the child's");
        _exit(0);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    outcome_ended(2, "the parent's");
    cr_assert_str_eq(heard(fd), "ended 2 the parent's\n");
    cr_assert_str_eq(noted(), textf(" %d 4711 ended 2 the parent's\n", getpid()));
}
