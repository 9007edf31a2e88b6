/* Where the log goes: a file that is rotated, or the journal; `rpdctl log`; and the content of the
 * log, whatever bytes clients send. */
#include "common.h"
#include "rpdctl_run.h"

#include <ctype.h>

struct scene {
    const char *dir, *run, *config, *endpoint, *log;
    struct process *rpd;
};

/* log: the members of "log", with %s for the scene's directory. */
static struct scene start_with(const char *log, const char *const *env)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = make_run(scene.dir);
    scene.config = textf("%s/rpd.json", scene.dir);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    scene.log = textf("%s/own.log", scene.dir);
    write_text(scene.config,
               textf("{\"log\":{\"limit\":0%s},\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                     "\"listen\":[\"%s\"]}]}",
                     log, test_plugin("counts"), scene.endpoint));
    scene.rpd = process_start(&(struct process_options){.argv = ARGS("rpd", "-c", scene.config),
                                                        .runtime_dir = scene.run,
                                                        .notify = true,
                                                        .env = env});
    return scene;
}

static void end_scene(struct scene *scene)
{
    assert_stops(scene->rpd);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

static int connected(const struct scene *scene)
{
    for (int i = 0; i < 6000; i++) {
        const int fd = connect_to(scene->endpoint);
        if (fd >= 0)
            return fd;
        poll(NULL, 0, 5);
    }
    cr_assert_fail("nobody listens: %s", process_stderr(scene->rpd));
    return -1;
}

static void ask_ok(int fd, const char *line)
{
    tell(fd, line);
    cr_assert_str_eq(hear_line(fd), "ok", "%s", line);
}

static void await_text(const char *path, const char *part)
{
    const int64_t deadline = now_ns() + INT64_C(60000000000);
    const char *text;

    while (!(text = file_read(path)) || !strstr(text, part)) {
        cr_assert_lt(now_ns(), deadline, "no \"%s\" in %s:\n%s", part, path, text ? text : "");
        poll(NULL, 0, 5);
    }
}

/* ---- files ---- */

#define TO_FILE ",\"to\":\"own.log\""

Test(log_places, a_file_gets_all_lines_and_stderr_none)
{
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);

    ask_ok(fd, "log hello");
    await_text(scene.log, "rpd: demo: said: hello\n");
    cr_assert(isdigit((unsigned char)*file_read(scene.log)), "lines have their time");
    cr_expect_str_eq(process_stderr(scene.rpd), "");
    close(fd);
    end_scene(&scene);
}

Test(log_places, a_file_that_cannot_be_opened_ends_the_start)
{
    struct scene scene = start_with(",\"to\":\"missing/own.log\"", NULL);

    assert_ends(scene.rpd, 73);
    assert_has(process_stderr(scene.rpd), "rpd: start: ");
    assert_has(process_stderr(scene.rpd), "missing/own.log: cannot open the log: ");
    process_free(scene.rpd);
    temp_dir_remove(scene.dir);
}

Test(log_places, sigusr1_opens_the_file_anew)
{
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);
    const char *old = textf("%s.1", scene.log);

    ask_ok(fd, "log one");
    cr_assert_eq(rename(scene.log, old), 0);
    process_signal(scene.rpd, SIGUSR1);
    const int64_t deadline = now_ns() + INT64_C(60000000000);
    while (access(scene.log, F_OK) != 0 && now_ns() < deadline)
        poll(NULL, 0, 2);
    ask_ok(fd, "log two");
    assert_has(file_read(scene.log), "said: two\n");
    assert_has_not(file_read(scene.log), "said: one\n");
    assert_has(file_read(old), "said: one\n");
    close(fd);
    end_scene(&scene);
}

/* As logrotate does with "create": the file is renamed and a new one made, again and again, while
 * lines come as fast as possible. Each line is in exactly one of the files. */
Test(log_places, rotation_loses_no_line)
{
    enum { LINES = 20000, FILES = 8 };
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);
    static unsigned char seen[LINES];

    tell(fd, textf("logs %d", LINES / 2));
    for (int i = 0; i < FILES; i++) {
        cr_assert_eq(rename(scene.log, textf("%s.%d", scene.log, i)), 0);
        write_text(scene.log, "");
        if (i == FILES / 2)
            tell(fd, "x");
        poll(NULL, 0, 60);
    }
    cr_assert_str_eq(hear_line(fd), "ok");
    cr_assert_str_eq(hear_line(fd), "ok");
    for (int i = 0; i <= FILES; i++) {
        const char *text = file_read(i < FILES ? textf("%s.%d", scene.log, i) : scene.log);
        for (const char *at = text; at && (at = strstr(at, "number ")); at++)
            seen[strtoul(at + 7, NULL, 10)]++;
    }
    for (int i = 0; i < LINES / 2; i++)
        cr_assert_eq(seen[i], 1, "line %d is there %d times", i, seen[i]);
    /* And later lines go to the new one. */
    const int64_t deadline = now_ns() + INT64_C(60000000000);
    do {
        cr_assert_lt(now_ns(), deadline);
        poll(NULL, 0, 50);
        ask_ok(fd, "log later");
    } while (!strstr(file_read(scene.log), "said: later"));
    close(fd);
    end_scene(&scene);
}

/* As with "copytruncate": the next line begins at the new end. */
Test(log_places, a_file_that_is_cut_off_has_no_gap)
{
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);

    ask_ok(fd, "logs 100");
    cr_assert_eq(truncate(scene.log, 0), 0);
    ask_ok(fd, "log after");
    const char *text = file_read(scene.log);
    cr_assert(isdigit((unsigned char)*text), "it begins with byte %d", *text);
    assert_has(text, "said: after\n");
    close(fd);
    end_scene(&scene);
}

/* ---- the content --------------------------------------------------------------------- */

/* Each line of the log was begun by rpd, whatever clients have sent. */
Test(log_places, foreign_bytes_never_break_a_line)
{
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);
    unsigned seed = 7;

    for (int i = 0; i < 500; i++) {
        char line[64] = "log ";
        size_t size = 4;
        for (int j = 0; j < 40; j++) {
            static const unsigned char special[] = {'\r', 0x1b, 0x9b, 0x85, 0xc2, 0xe2, 0xff,
                                                    0xc0, 0x7f, '"',  '\\', '%',  0xf4, 0x90};
            const unsigned r = (unsigned)rand_r(&seed);
            line[size++] = (char)(r & 1 ? special[r / 2 % sizeof special] : r / 2 % 256);
            if (line[size - 1] == '\n')
                line[size - 1] = 'n';
        }
        line[size++] = '\n';
        cr_assert_eq(send_all(fd, line, size), 0);
        cr_assert_str_eq(hear_line(fd), "ok");
    }
    const char *text = file_read(scene.log);
    size_t count = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        cr_assert_not_null(memmem(line, 60, " rpd: ", 6), "%.80s", line);
        count += memmem(line, strcspn(line, "\n"), "said: ", 6) != NULL;
    }
    cr_expect_eq(count, 500);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        cr_assert(*at == '\n' || (*at >= 0x20 && *at != 0x7f), "byte %d", *at);
    struct process *p = process_start(
        &(struct process_options){.argv = ARGS("iconv", "-f", "UTF-8", scene.log)});
    cr_expect_eq(process_code(process_wait_exit(p)), 0, "it is no UTF-8: %s", process_stderr(p));
    process_free(p);
    close(fd);
    end_scene(&scene);
}

/* ---- the journal ---- */

static int fake_journal(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = 60};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* The next datagram that contains this. */
static const char *entry_with(int journal, const char *part)
{
    static char entry[65536];

    for (;;) {
        const ssize_t got = recv(journal, entry, sizeof entry - 1, 0);
        cr_assert_gt(got, 0, "no entry with \"%s\"", part);
        entry[got] = '\0';
        cr_assert_eq(strlen(entry), (size_t)got, "a NUL");
        for (const char *line = entry; *line; line += strcspn(line, "\n") + 1)
            cr_assert(isupper((unsigned char)*line) && strchr(line, '=') < strchr(line, '\n'),
                      "no field: %s", line);
        if (strstr(entry, part))
            return entry;
    }
}

Test(log_places, the_journal_gets_fields)
{
    const char *path = textf("%s/journal", temp_dir_make());
    const int journal = fake_journal(path);
    struct scene scene = start_with(",\"to\":\"journal\"",
                                    ARGS(textf("RPD_JOURNAL_SOCKET=%s", path)));
    const char *entry = entry_with(journal, "MESSAGE=demo: bound ");

    assert_has(entry, "SYSLOG_IDENTIFIER=rpd\n");
    assert_has(entry, "PRIORITY=6\n");
    assert_has(entry, "RPD_SERVICE=demo\n");
    assert_has(entry, "MESSAGE_ID=c3a1f6d0f0b84a0f9d7a5a3f5b2d7e01\n");
    const int fd = connected(&scene);
    ask_ok(fd, "log a\x01\r b");
    entry = entry_with(journal, "said: ");
    assert_has(entry, "MESSAGE=demo: said: a\\x01\\x0d b\n");
    assert_has_not(entry, "MESSAGE_ID=");
    cr_expect_str_eq(process_stderr(scene.rpd), "");
    close(fd);
    end_scene(&scene);
    close(journal);
}

Test(log_places, without_a_journal_lines_go_to_stderr)
{
    const char *path = textf("%s/journal", temp_dir_make());
    struct scene scene = start_with(",\"to\":\"journal\"",
                                    ARGS(textf("RPD_JOURNAL_SOCKET=%s", path)));

    assert_line(scene.rpd, "log.to: the journal's socket is not there");
    assert_line(scene.rpd, "demo: bound");
    end_scene(&scene);
}

/* The journal goes while rpd runs: lines that it does not take are not lost. */
Test(log_places, lines_that_the_journal_does_not_take_go_to_stderr)
{
    const char *path = textf("%s/journal", temp_dir_make());
    const int journal = fake_journal(path);
    struct scene scene = start_with(",\"to\":\"journal\"",
                                    ARGS(textf("RPD_JOURNAL_SOCKET=%s", path)));
    const int fd = connected(&scene);

    entry_with(journal, "ready");
    close(journal);
    unlink(path);
    ask_ok(fd, "log alone");
    assert_line(scene.rpd, "said: alone");
    const int again = fake_journal(path);
    ask_ok(fd, "log again");
    entry_with(again, "said: again");
    close(again);
    close(fd);
    end_scene(&scene);
}

/* ---- rpdctl log ---- */

Test(log_places, rpdctl_shows_the_file)
{
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);

    ask_ok(fd, "logs 50");
    struct outcome outcome = RPDCTL_ON(scene.run, "log", "demo", "-n", "3");
    assert_code(outcome, 0);
    cr_expect_eq(lines_with(outcome.out, ""), 3, "%s", outcome.out);
    assert_has(outcome.out, "number 49.");
    assert_has(outcome.out, "number 47.");
    cr_expect_eq(lines_with(RPDCTL_ON(scene.run, "log", "demo").out, ""), 10);
    cr_expect_gt(lines_with(RPDCTL_ON(scene.run, "log", "demo", "-n", "1000").out, ""), 50);
    cr_expect_str_eq(RPDCTL_ON(scene.run, "log", "demo", "-n", "0").out, "");
    assert_code(RPDCTL_ON(scene.run, "log", "demo", "-n", "x"), 64);
    close(fd);
    end_scene(&scene);
}

static void await_line(struct process *process, const char *part, int64_t deadline)
{
    while (!strstr(process_stdout(process), part)) {
        cr_assert_lt(now_ns(), deadline, "no \"%s\" in: %s%s", part, process_stdout(process),
                     process_stderr(process));
        poll(NULL, 0, 5);
    }
}

Test(log_places, rpdctl_follows_the_file_when_it_is_rotated)
{
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);
    const int64_t deadline = now_ns() + INT64_C(60000000000);

    ask_ok(fd, "log before"); /* (It serves: its record is there.) */
    struct process *follows = RPDCTL_START(scene.run, "log", "demo", "-f");
    await_line(follows, "said: before", deadline);
    cr_assert_eq(rename(scene.log, textf("%s.1", scene.log)), 0);
    process_signal(scene.rpd, SIGUSR1);
    while (access(scene.log, F_OK) != 0 && now_ns() < deadline)
        poll(NULL, 0, 2);
    ask_ok(fd, "log after");
    await_line(follows, "said: after", deadline);
    cr_expect_eq(lines_with(process_stdout(follows), "said: after"), 1);
    process_signal(follows, SIGTERM);
    process_wait_exit(follows);
    process_free(follows);
    close(fd);
    end_scene(&scene);
}

Test(log_places, rpdctl_sets_the_level)
{
    struct scene scene = start_with(TO_FILE, NULL);
    const int fd = connected(&scene);

    ask_ok(fd, "debug");
    assert_has_not(file_read(scene.log), "for those who debug");
    assert_code(RPDCTL_ON(scene.run, "log", "demo", "--level", "debug"), 0);
    ask_ok(fd, "debug");
    assert_has(file_read(scene.log), "debug: for those who debug");
    assert_code(RPDCTL_ON(scene.run, "log", "demo", "--level", "error"), 0);
    ask_ok(fd, "log quiet");
    assert_has_not(file_read(scene.log), "said: quiet");
    const struct outcome outcome = RPDCTL_ON(scene.run, "log", "demo", "--level", "loud");
    assert_code(outcome, 1);
    assert_has(outcome.err, "expected \"level\"");
    assert_code(RPDCTL_ON(scene.run, "log", "other", "--level", "info"), 1);
    close(fd);
    end_scene(&scene);
}
