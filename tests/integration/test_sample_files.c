/* samples/files.c, a server of bodies in a few lines: crowds that put and get at once, restarts in
 * between, and how long the source is. RPD_TEST_LONG: with bodies of 200 MiB, too. */
#include "rpdctl_run.h"

#include <pthread.h>

enum { CLIENTS = 24, ROUNDS = 6, MIB = 1024 * 1024, BLOCK = 64 * 1024 };

static const char *endpoint; /* of the server, for all threads */

static struct process *start(const char *dir)
{
    struct process *rpd;

    mkdir(textf("%s/files", dir), 0700);
    endpoint = textf("unix:%s/x.sock", dir);
    rpd = RPD_START(textf("%s/run", dir), build_path("samples/files.so"), "-l", endpoint, "-o",
                    textf("directory=%s/files", dir));
    assert_bound(rpd);
    return rpd;
}

/* ---- a crowd: plain threads, whose results the test checks ---- */

struct visitor {
    pthread_t thread;
    int number;
    bool puts;
    char finding[200]; /* "": no error */
};

static bool is_long_run(void)
{
    return getenv("RPD_TEST_LONG") != NULL;
}

static size_t size_of(int number, int round)
{
    static const size_t sizes[ROUNDS] = {0, 1, 1000, 16385, 300000, 3 * MIB};

    if (is_long_run() && round == ROUNDS - 1 && number < 4)
        return 200 * (size_t)MIB;
    return sizes[round] + (round > 0 ? (size_t)number * 17 : 0);
}

/* The bytes depend on the client's number and on the round, so that each upload differs from the
 * next one of the same name. */
static void fill(char *block, size_t size, size_t at, int number, int round)
{
    for (size_t i = 0; i < size; i++)
        block[i] = (char)(((at + i) * 2654435761u >> 11) + (size_t)(number * 31 + round));
}

static bool find(struct visitor *visitor, const char *what, int round, const char *found)
{
    snprintf(visitor->finding, sizeof visitor->finding, "client %d, round %d: %s: %.100s",
             visitor->number, round, what, found);
    return false;
}

static bool put(struct visitor *visitor, int fd, int round)
{
    const size_t size = size_of(visitor->number, round);
    char block[BLOCK], line[64];

    snprintf(line, sizeof line, "PUT n%d-%d %zu\n", visitor->number, round, size);
    if (send_all(fd, line, strlen(line)) != 0)
        return find(visitor, "cannot put", round, strerror(errno));
    for (size_t at = 0; at < size; at += BLOCK) {
        const size_t now = size - at < BLOCK ? size - at : BLOCK;
        fill(block, now, at, visitor->number, round);
        if (send_all(fd, block, now) != 0)
            return find(visitor, "cannot send", round, strerror(errno));
    }
    if (read_line(fd, line, sizeof line) <= 0 || strcmp(line, "stored\n") != 0)
        return find(visitor, "not stored", round, line);
    return true;
}

static bool get(struct visitor *visitor, int fd, int round)
{
    const size_t size = size_of(visitor->number, round);
    char block[BLOCK], wanted[BLOCK], line[64];

    snprintf(line, sizeof line, "GET n%d-%d\n", visitor->number, round);
    if (send_all(fd, line, strlen(line)) != 0 || read_line(fd, line, sizeof line) <= 0 ||
        strtoull(line, NULL, 10) != size || line[0] == 'f')
        return find(visitor, "no size", round, line);
    for (size_t at = 0; at < size; at += BLOCK) {
        const size_t now = size - at < BLOCK ? size - at : BLOCK;
        fill(wanted, now, at, visitor->number, round);
        if (read_exactly(fd, block, now) != (ssize_t)now || memcmp(block, wanted, now) != 0)
            return find(visitor, "not what was put", round, "");
    }
    return true;
}

static void *visit(void *arg)
{
    struct visitor *visitor = arg;
    const int fd = connect_to(endpoint);

    for (int round = 0; round < ROUNDS; round++)
        if ((visitor->puts && !put(visitor, fd, round)) || !get(visitor, fd, round))
            break;
    close(fd);
    return NULL;
}

static void visit_all(struct process *rpd, bool puts)
{
    static struct visitor visitors[CLIENTS];

    memset(visitors, 0, sizeof visitors);
    for (int i = 0; i < CLIENTS; i++) {
        visitors[i].number = i;
        visitors[i].puts = puts;
        cr_assert_eq(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(visitors[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++)
        cr_expect_str_empty(visitors[i].finding, "%s\n%s", visitors[i].finding,
                            process_stderr(rpd));
}

Test(sample_files, a_crowd_with_restarts_between)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir);

    visit_all(rpd, true);
    for (int restart = 0; restart < 2; restart++) {
        assert_stops(rpd);
        process_free(rpd);
        rpd = start(dir); /* and at once, before its index is loaded: */
        visit_all(rpd, false);
    }
    assert_text(ask_once(endpoint, "GET missing"), "failed: No such file or directory", rpd);
    assert_text(ask_once(endpoint, "GET n1-1"), "18", rpd);
    assert_text(ask_once(endpoint, "GET ../run"), "failed: No such file or directory", rpd);
    assert_text(ask_once(endpoint, "PUT n1-1 0"), "failed: File exists", rpd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* The server is killed while bodies arrive: no part of them exists afterwards. */
Test(sample_files, what_was_not_stored_is_not_there)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir);
    const int fd = client(endpoint);

    tell(fd, "PUT half 1000000\nthe beginning of it");
    assert_text(ask_once(endpoint, "GET half"), "failed: No such file or directory", rpd);
    process_signal(rpd, SIGKILL);
    process_wait_exit(rpd);
    close(fd);
    process_free(rpd);
    cr_assert_str_empty(listing(textf("%s/files", dir)));
    rpd = start(dir);
    assert_text(ask_once(endpoint, "GET half"), "failed: No such file or directory", rpd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(sample_files, passes_the_check)
{
    const char *dir = temp_dir_make();
    const struct outcome check = RPDCTL("check", "--quick", build_path("samples/files.so"), "-o",
                                        textf("directory=%s", dir));

    assert_code(check, 0);
    temp_dir_remove(dir);
}

Test(sample_files, is_short)
{
    const char *text = file_read(RPD_SOURCE_DIR "/samples/files.c");
    size_t lines = 0;

    cr_assert(text);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    cr_assert_leq(lines, 120, "%zu lines", lines);
}
