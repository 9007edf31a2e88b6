/* How a daemon ended: what its launcher reads on --start-fd, and the line in the history of each of
 * its services. (test_exit_codes.c checks both for each error; this file has the other ways to
 * end.) */
#include "common.h"

#include <criterion/parameterized.h>

static const struct row {
    const char *name;
    const char *plugin;
    const char *env, *options; /* options of the service "a" */
    const char *say;           /* what a client sends once the service is ready */
    const char *until;         /* the signals are sent after this line on stderr */
    int signals[2];
    int code;
    const char *text; /* how the line begins; NULL: "-" */
    bool before_bound, is_mute;
} rows[] = {
    {"SIGTERM", "misbehave", .until = "a: ready ", .signals = {SIGTERM}, .code = 0},
    {"SIGTERM in the load", "misbehave", .options = "\"load\":\"forever\"", .until = "test: loads",
     .signals = {SIGTERM}, .code = 0},
    {"two SIGINTs", "misbehave", .say = "hang_job\n", .until = "test: a job hangs",
     .signals = {SIGINT, SIGINT}, .code = 70, .text = "stop: SIGINT: "},
    {"SIGKILL", "misbehave", .until = "a: ready ", .signals = {SIGKILL}, .code = 128 + SIGKILL,
     .is_mute = true},
    {"the load fails", "misbehave", .options = "\"load\":\"fail\"", .code = 69,
     .text = "load: a: "},
    {"the stop is forced", "misbehave", .say = "hang_job\n", .until = "test: a job hangs",
     .signals = {SIGTERM}, .code = 70, .text = "stop: drain: "},
    {"the loop stands still", "stalls", .options = "\"where\":\"on_data\"", .say = "stall\n",
     .code = 70, .text = "loop: service a ("},
    {"exit() on the loop", "misbehave", .say = "exit\n", .code = 70,
     .text = "exit: plugin misbehave.so called exit()"},
    {"exit() on a worker", "misbehave", .options = "\"load\":\"exit\"", .code = 70,
     .text = "exit: plugin misbehave.so called exit()"},
    {"SIGSEGV on the loop", "misbehave", .say = "segv\n", .code = 128 + SIGSEGV,
     .text = "crash: SIGSEGV "},
    {"SIGSEGV on a worker", "misbehave", .options = "\"load\":\"segv\"", .code = 128 + SIGSEGV,
     .text = "crash: SIGSEGV "},
    {"abort on the loop", "misbehave", .say = "abort\n", .code = 128 + SIGABRT,
     .text = "crash: SIGABRT "},
    {"a stack overflow", "misbehave", .say = "overflow\n", .code = 128 + SIGSEGV,
     .text = "crash: SIGSEGV "},

    {"SIGSEGV in a constructor", "misbehave", .env = "TEST_CONSTRUCTOR=segv", .code = 128 + SIGSEGV,
     .text = "crash: SIGSEGV ", .before_bound = true},
    {"a constructor hangs", "misbehave", .env = "TEST_CONSTRUCTOR=hang", .code = 76,
     .text = "code: ", .before_bound = true},
    {"SIGSEGV in a sealed bind", "own_bind", .env = "TEST_BIND=segv", .code = 128 + SIGSEGV,
     .text = "crash: SIGSEGV ", .before_bound = true},
    {"abort in a sealed bind", "own_bind", .env = "TEST_BIND=abort", .code = 128 + SIGABRT,
     .text = "crash: SIGABRT ", .before_bound = true},
    {"exit() in a sealed bind", "own_bind", .env = "TEST_BIND=exit", .code = 70,
     .text = "exit: plugin own_bind.so called exit()", .before_bound = true},
    {"a sealed bind hangs", "own_bind", .env = "TEST_BIND=hang", .code = 76,
     .text = "bind: ", .before_bound = true},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* A daemon with two services, a as the row says and b, and the launcher's end of the pipe. */
struct run {
    const char *dir;
    struct process *rpd;
    int start_fd;
};

static struct run start(const char *config, const char *env)
{
    struct run run = {.dir = temp_dir_make()};
    int pair[2];

    write_text(textf("%s/c.json", run.dir), config);
    if (pipe2(pair, O_CLOEXEC) != 0)
        test_die("pipe: %s", strerror(errno));
    run.rpd = process_start(&(struct process_options){.argv = ARGS("rpd", "-c", "c.json"),
                                                      .env = env ? ARGS(env) : NULL,
                                                      .runtime_dir = textf("%s/run", run.dir),
                                                      .directory = run.dir,
                                                      .start_fd = pair[1]});
    close(pair[1]);
    run.start_fd = pair[0];
    return run;
}

static void finish(const struct run *run)
{
    close(run->start_fd);
    process_free(run->rpd);
    temp_dir_remove(run->dir);
}

static const char *config_of(const struct row *row)
{
    return textf("{\"drain_s\":0,\"stall_s\":1,\"code_deadline_ms\":500,\"services\":["
                 "{\"name\":\"a\",\"plugin\":\"%s\",\"options\":{%s}},"
                 "{\"name\":\"b\",\"plugin\":\"echo.so\"}]}",
                 test_plugin(row->plugin), row->options ? row->options : "");
}

static const char *heard(const struct run *run)
{
    char told[8192];

    cr_assert_geq(read_to_end(run->start_fd, told, sizeof told), 0, "%s", strerror(errno));
    return textf("%s", told);
}

/* The history of a service: "BOUND LINE", without the time and the pid at the beginning of each
 * line. NULL: there is none. */
static const char *history(const struct run *run, const char *service, pid_t pid)
{
    const char *text = file_read(textf("%s/run/%s.history", run->dir, service));
    const char *result = "";

    if (!text)
        return NULL;
    while (*text) {
        const size_t size = strcspn(text, "\n") + 1;
        unsigned long long time_ms, start_time;
        int at = 0, found_pid;

        cr_assert_eq(sscanf(text, "%llu %d %llu %n", &time_ms, &found_pid, &start_time, &at), 3,
                     "%s", text);
        cr_assert_gt(time_ms, 1600000000000ULL);
        cr_assert_gt(start_time, 0);
        if (found_pid == pid && strncmp(text + at, "timed ", 6) != 0)
            result = textf("%s%.*s", result, (int)(size - (size_t)at), text + at);
        text += size;
    }
    return result;
}

/* The last line of stderr with this prefix, without "rpd: ". */
static const char *line_of(const char *text, const char *begin)
{
    const char *wanted = textf("rpd: %s", begin), *found = NULL;

    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, wanted, strlen(wanted)) == 0)
            found = textf("%.*s", (int)strcspn(line, "\n") - 5, line + 5);
    cr_assert_not_null(found, "no \"%s\" in:\n%s", wanted, text);
    return found;
}

/* The first such line, if there are several. */
static const char *first_of(const char *text, const char *begin)
{
    const char *line = strstr(text, textf("rpd: %s", begin));

    cr_assert_not_null(line, "no \"%s\" in:\n%s", begin, text);
    return textf("%.*s", (int)strcspn(line, "\n") - 5, line + 5);
}

ParameterizedTestParameters(outcome, row)
{
    static size_t at[ROWS];

    for (size_t i = 0; i < ROWS; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, ROWS);
}

ParameterizedTest(size_t *at, outcome, row)
{
    const struct row *row = &rows[*at];

    if (row->before_bound && strstr(build_path(""), "tsan"))
        cr_skip("ThreadSanitizer holds signals back there");
    const struct run run = start(config_of(row), row->env);
    if (row->say) {
        assert_line(run.rpd, "a: ready ");
        const int fd = client(textf("unix:%s/run/a.sock", run.dir));
        cr_assert_eq(send_all(fd, row->say, strlen(row->say)), 0);
    }
    if (row->until)
        assert_line(run.rpd, row->until);
    for (size_t i = 0; i < 2 && row->signals[i]; i++) {
        process_signal(run.rpd, row->signals[i]);
        if (row->signals[1] && i == 0)
            assert_line(run.rpd, "stopping: ");
    }
    assert_ends(run.rpd, row->code);

    const char *text = process_stderr(run.rpd);
    const char *end = textf("ended %d %s\n", row->code, row->text ? line_of(text, row->text) : "-");
    const char *told = heard(&run);
    cr_expect_str_eq(told, row->before_bound ? end : "bound\n", "%s: heard \"%s\"; stderr:\n%s",
                     row->name, told, text);
    for (const char *service = "a"; service; service = strcmp(service, "a") == 0 ? "b" : NULL) {
        const char *noted = history(&run, service, process_pid(run.rpd));
        if (row->before_bound)
            cr_expect_null(noted, "%s: %s", row->name, noted);
        else
            cr_expect_str_eq(noted, textf("bound 0 -\n%s", row->is_mute ? "" : end),
                             "%s: %s noted \"%s\"; stderr:\n%s", row->name, service, noted, text);
    }
    finish(&run);
}

/* One history for all runs, with the pid and the time of each. */
Test(outcome, of_one_run_after_another)
{
    struct run run = start("{\"services\":[{\"plugin\":\"echo.so\"}]}", NULL);
    const pid_t first = process_pid(run.rpd);

    assert_line(run.rpd, "ready");
    assert_stops(run.rpd);
    struct process *next = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", "c.json"),
        .runtime_dir = textf("%s/run", run.dir),
        .directory = run.dir,
        .notify = true,
    });
    assert_bound(next);
    cr_expect_str_eq(history(&run, "echo", first), "bound 0 -\nended 0 -\n");
    cr_expect_str_eq(history(&run, "echo", process_pid(next)), "bound 0 -\n");
    assert_stops(next);
    cr_expect_str_eq(history(&run, "echo", process_pid(next)), "bound 0 -\nended 0 -\n");
    assert_text(listing(textf("%s/run", run.dir)), "", next);
    process_free(next);
    finish(&run);
}

/* It is text even if the log is JSON. */
Test(outcome, with_a_log_in_json)
{
    const struct run run = start(textf("{\"log\":{\"format\":\"json\"},\"services\":[{\"plugin\":"
                                       "\"%s\",\"options\":{\"load\":\"fail\"}}]}",
                                       test_plugin("misbehave")),
                                 NULL);

    assert_ends(run.rpd, 69);
    const char *end = "ended 69 load: misbehave: the test wants it; do not ask for it\n";
    cr_expect_str_eq(history(&run, "misbehave", process_pid(run.rpd)), textf("bound 0 -\n%s", end));
    finish(&run);
}

/* A missing history is reported, but does not prevent serving. */
Test(outcome, without_a_history)
{
    struct run run = start("{\"services\":[{\"plugin\":\"echo.so\"}]}", NULL);

    assert_line(run.rpd, "ready");
    assert_stops(run.rpd);
    unlink(textf("%s/run/echo.history", run.dir));
    mkdir(textf("%s/run/echo.history", run.dir), 0700);
    struct process *next = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", "c.json"),
        .runtime_dir = textf("%s/run", run.dir),
        .directory = run.dir,
    });
    assert_line(next, "rpd: echo: warning: cannot open ");
    assert_line(next, "ready");
    assert_stops(next);
    process_free(next);
    finish(&run);
}

/* Several mistakes are all on stderr, and the launcher reads them all. */
Test(outcome, of_a_configuration_with_mistakes)
{
    const struct run run = start("{\"workers\":0,\"drain_s\":-1,\"services\":"
                                 "[{\"plugin\":\"echo.so\"}]}",
                                 NULL);

    assert_ends(run.rpd, 78);
    cr_expect_eq(lines_with(process_stderr(run.rpd), "rpd: config: "), 2);
    cr_expect_str_eq(heard(&run),
                     textf("ended 78 %s\nsaid %s\n", line_of(process_stderr(run.rpd), "config: "),
                           first_of(process_stderr(run.rpd), "config: ")));
    finish(&run);
}

/* Descriptors to which no result can be written. */
Test(outcome, of_a_descriptor_that_is_none)
{
    const struct {
        const char *const *argv;
        const char *line;
    } cases[] = {
        {ARGS("rpd", "--start-fd", "99", "echo.so"),
         "rpd: command line: --start-fd: descriptor 99 is not open; "},
        {ARGS("rpd", "--start-fd", "2", "--notify-fd", "2", "echo.so"),
         "rpd: command line: --start-fd: descriptor 2 is --notify-fd's; "},
    };

    for (size_t i = 0; i < 2; i++) {
        const char *dir = temp_dir_make();
        struct process *rpd = process_start(
            &(struct process_options){.argv = cases[i].argv, .runtime_dir = dir});

        assert_ends(rpd, 64);
        cr_expect(strstr(process_stderr(rpd), cases[i].line), "%s", process_stderr(rpd));
        cr_expect_eq(lines_with(process_stderr(rpd), ""), 1, "%s", process_stderr(rpd));
        process_free(rpd);
        temp_dir_remove(dir);
    }
}
