/* A loop that stalls: it is reported after a second, and ended at stall_s. A process that is
 * stopped as a whole does not count as stalled. A job that runs for long is reported. */
#include "common.h"

#include <criterion/parameterized.h>

#include <time.h>

enum { STALL_S = 2 };

struct stage {
    const char *dir, *endpoint;
    struct process *rpd;
};

static struct stage start(int stall_s, const char *options)
{
    const char *dir = temp_dir_make(), *config = textf("%s/rpd.json", temp_dir_make());
    const char *endpoint = textf("unix:%s/x.sock", dir);

    write_text(config, textf("{\"stall_s\":%d,\"services\":[{\"name\":\"kv\",\"plugin\":\"%s\","
                             "\"listen\":[\"%s\"],\"options\":{%s}}]}",
                             stall_s, test_plugin("stalls"), endpoint, options));
    struct stage stage = {dir, endpoint, RPD_START(textf("%s/run", dir), "-c", config)};
    assert_bound(stage.rpd);
    return stage;
}

/* The request is not answered at once, or never. */
static int say_to(const struct stage *stage, const char *line)
{
    const int fd = connect_to(stage->endpoint);

    cr_assert_geq(fd, 0);
    cr_assert_eq(send_all(fd, textf("%s\n", line), strlen(line) + 1), 0);
    return fd;
}

static const char *line_with(const char *text, const char *part)
{
    const char *found = strstr(text, part);

    if (!found)
        return "";
    while (found > text && found[-1] != '\n')
        found--;
    return textf("%.*s", (int)strcspn(found, "\n"), found);
}

static void assert_words(const char *line, const char *const *words, const char *all)
{
    for (; *words; words++)
        cr_assert_not_null(strstr(line, *words), "no \"%s\" in \"%s\" of\n%s", *words, line, all);
}

/* ThreadSanitizer delays a signal until the code makes some call. */
static bool is_tsan(void)
{
    return strstr(build_path(""), "tsan") != NULL;
}

/* ---- stalls that end the daemon ---- */

static const struct fatal {
    const char *name, *options, *say;
    const char *words[5]; /* in the line, besides service and plugin */
    bool has_no_stack, has_no_stack_under_tsan;
} fatals[] = {
    /* clang-format off */
    {"a loop in on_data", "\"where\":\"on_data\",\"how\":\"spin\"", "stall",
     {"in spin_for_ever+0x", "< on_data+0x"}, .has_no_stack_under_tsan = true},
    {"a sleep in on_data", "\"where\":\"on_data\"", "stall",
     {"sleep_for+0x", "< on_data+0x"}, false, false},
    {"a sleep in serve", "\"where\":\"serve\"", NULL,
     {"sleep_for+0x", "< serve+0x"}, false, false},
    {"a sleep in attach", "\"where\":\"attach\"", NULL,
     {"sleep_for+0x", "< attach_part+0x"}, false, false},
    {"a sleep in on_ready", "\"where\":\"on_ready\"", NULL,
     {"sleep_for+0x", "< on_ready+0x"}, false, false},
    {"a sleep in a job's done", "\"where\":\"done\"", "job",
     {"sleep_for+0x", "< done+0x"}, false, false},
    {"a sleep with all signals blocked", "\"where\":\"on_data\",\"how\":\"mask\"", "stall",
     {"in an unknown place"}, .has_no_stack = true},
    /* clang-format on */
};
enum { FATALS = sizeof fatals / sizeof *fatals };

ParameterizedTestParameters(stall, ended)
{
    static size_t at[FATALS];

    for (size_t i = 0; i < FATALS; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, FATALS);
}

ParameterizedTest(size_t *at, stall, ended)
{
    const struct fatal *fatal = &fatals[*at];
    const struct stage stage = start(STALL_S, fatal->options);
    const char *const always[] = {"rpd: loop: service kv (", "/stalls.so): stood still for 2 s in ",
                                  "; it must not block: use rpd_job_submit(); ended", NULL};
    int fd = -1;

    if (fatal->say) {
        assert_line(stage.rpd, ": ready ");
        fd = say_to(&stage, fatal->say);
    }
    assert_ends(stage.rpd, 70);
    const char *text = process_stderr(stage.rpd);
    const char *line = line_with(text, "stood still");
    assert_words(line, always, text);
    if (!fatal->has_no_stack_under_tsan || !is_tsan())
        assert_words(line, fatal->words, text);
    if (!fatal->has_no_stack && !is_tsan()) {
        cr_assert_null(strstr(line, "event_base_loop"), "the loop's own frames: %s", line);
        cr_assert_null(strstr(line, "librpd"), "rpd's own frames: %s", line);
    }
    cr_assert_eq(lines_with(text, "has been standing still for 1 s in "), 1, "%s", text);
    cr_assert_eq(lines_with(text, "stood still"), 1, "%s", text);
    cr_assert_eq(lines_with(text, "goes on"), 0, "%s", text);
    cr_expect_str_eq(listing(stage.dir), textf("%s/run/\n", stage.dir), "left:\n%s",
                     listing(stage.dir));
    if (fd >= 0)
        close(fd);
}

/* ---- stalls that do not ---- */

static void assert_no_stall(const char *text)
{
    cr_assert_eq(lines_with(text, "stands still"), 0, "%s", text);
    cr_assert_eq(lines_with(text, "stood still"), 0, "%s", text);
    cr_assert_eq(lines_with(text, "goes on"), 0, "%s", text);
}

Test(stall, a_short_one_is_only_told)
{
    /* More than the second and a half after which a stall is reported, and far from the limit. */
    const struct stage stage = start(20, "\"where\":\"on_data\",\"ms\":2500");
    const int fd = connect_to(stage.endpoint);

    cr_assert_geq(fd, 0);
    assert_text(ask(fd, "stall"), "stall", stage.rpd);
    assert_line(stage.rpd, "rpd: loop: goes on after ");
    const char *text = process_stderr(stage.rpd);
    const char *const words[] = {"rpd: warning: loop: service kv (",
                                 "/stalls.so): ", "sleep_for+0x",
                                 "; it must not block: use rpd_job_submit()", NULL};
    assert_words(line_with(text, "has been standing still for 1 s in "), words, text);
    const double seconds = strtod(strstr(text, "goes on after ") + 14, NULL);
    cr_assert(seconds >= 2.5 && seconds < 10, "%s", text);
    /* Each one is reported. */
    assert_text(ask(fd, "stall"), "stall", stage.rpd);
    cr_assert_eq(process_wait_lines(stage.rpd, "goes on after ", 2), 0);
    assert_text(ask(fd, "alive"), "alive", stage.rpd);
    assert_stops(stage.rpd);
    text = process_stderr(stage.rpd);
    cr_assert_eq(lines_with(text, "standing still"), 2, "%s", text);
    cr_assert_eq(lines_with(text, "stood still"), 0, "%s", text);
    close(fd);
}

/* Several callbacks in one turn, none of them long; together they take longer than stall_s. */
enum { MANY = 60 };

static void connect_many(const struct stage *stage, int fds[MANY])
{
    for (int i = 0; i < MANY; i++) {
        fds[i] = connect_to(stage->endpoint);
        cr_assert_geq(fds[i], 0);
        assert_text(ask(fds[i], "alive"), "alive", stage->rpd);
    }
}

Test(stall, a_long_turn_without_a_long_callback_is_only_told)
{
    const struct stage stage = start(STALL_S, "\"where\":\"on_close\",\"ms\":70");
    int fds[MANY], fd;

    connect_many(&stage, fds);
    fd = connect_to(stage.endpoint);
    cr_assert_geq(fd, 0);
    assert_text(ask(fd, "abort"), "abort", stage.rpd); /* 4.2 s later */
    assert_line(stage.rpd, "rpd: loop: goes on after ");
    const char *text = process_stderr(stage.rpd);
    const char *const words[] = {"rpd: warning: loop: service kv (",
                                 "/stalls.so): one turn takes ",
                                 " callbacks of 0.",
                                 "none longer than ",
                                 "or use rpd_job_submit()",
                                 NULL};
    assert_words(line_with(text, "one turn takes"), words, text);
    cr_assert_eq(lines_with(text, "one turn takes"), 1, "%s", text);
    cr_assert_geq(strtol(strstr(text, "in a turn of ") + 13, NULL, 10), MANY, "%s", text);
    assert_text(ask(fd, "alive"), "alive", stage.rpd);
    assert_stops(stage.rpd);
    cr_assert_eq(lines_with(process_stderr(stage.rpd), "stood still"), 0, "%s",
                 process_stderr(stage.rpd));
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(fd);
}

/* As many clients, each with an expensive request: kv's KEYS. */
Test(stall, many_clients_at_once_are_served)
{
    const struct stage stage = start(STALL_S, "\"where\":\"on_data\",\"ms\":70");
    int fds[MANY];

    connect_many(&stage, fds);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(send_all(fds[i], "stall\n", 6), 0);
    for (int i = 0; i < MANY; i++)
        assert_text(hear_line(fds[i]), "stall", stage.rpd);
    assert_stops(stage.rpd);
    cr_assert_eq(lines_with(process_stderr(stage.rpd), "stood still"), 0, "%s",
                 process_stderr(stage.rpd));
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}

/* A callback that does not return ends the process, however many ran before it in the turn. */
Test(stall, the_last_of_many_does_not_return)
{
    const struct stage stage = start(STALL_S, "\"where\":\"on_data\"");
    int fds[MANY], fd;

    connect_many(&stage, fds);
    fd = connect_to(stage.endpoint);
    cr_assert_geq(fd, 0);
    cr_assert_eq(send_all(fd, "abort\nstall\n", 12), 0);
    assert_ends(stage.rpd, 70);
    const char *text = process_stderr(stage.rpd);
    const char *const words[] = {"rpd: loop: service kv (", "stood still for 2 s in ",
                                 "sleep_for+0x", "< on_data+0x", NULL};
    assert_words(line_with(text, "stood still"), words, text);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(fd);
}

Test(stall, none_where_none_is_wanted)
{
    const struct stage stage = start(0, "\"where\":\"on_data\",\"ms\":2500");

    assert_text(ask_once(stage.endpoint, "stall"), "stall", stage.rpd);
    assert_stops(stage.rpd);
    assert_no_stall(process_stderr(stage.rpd));
}

/* The time matters here: a stall would have ended the daemon twice in it. */
static void wait_seconds(int seconds)
{
    const struct timespec pause = {.tv_sec = seconds};

    nanosleep(&pause, NULL);
}

Test(stall, a_stopped_process_has_not_stalled)
{
    const struct stage stage = start(STALL_S, "\"where\":\"\"");
    const int fd = connect_to(stage.endpoint);

    cr_assert_geq(fd, 0);
    assert_text(ask(fd, "before"), "before", stage.rpd);
    for (int i = 0; i < 3; i++) {
        process_signal(stage.rpd, SIGSTOP);
        wait_seconds(i == 0 ? 2 * STALL_S : STALL_S / 2);
        process_signal(stage.rpd, SIGCONT);
        assert_text(ask(fd, "after"), "after", stage.rpd);
    }
    assert_stops(stage.rpd);
    assert_no_stall(process_stderr(stage.rpd));
    close(fd);
}

/* A stop has its own limit, drain_s: work during the drain may take longer than stall_s. */
Test(stall, a_stop_is_not_watched)
{
    const struct stage stage = start(1, "\"where\":\"on_drain\",\"ms\":2500");

    assert_text(ask_once(stage.endpoint, "alive"), "alive", stage.rpd);
    assert_stops(stage.rpd);
    const char *text = process_stderr(stage.rpd);
    cr_assert_eq(lines_with(text, "test: stalls in on_drain"), 1, "%s", text);
    assert_no_stall(text);
}

/* ---- jobs ---- */

Test(stall, a_long_job_is_named_once)
{
    const struct stage stage = start(STALL_S, "\"where\":\"job\",\"ms\":12500");
    const int fd = say_to(&stage, "job");

    assert_line(stage.rpd, "test: stalls in job");
    assert_line(stage.rpd, "job of service kv has been running for ");
    assert_text(ask_once(stage.endpoint, "alive"), "alive", stage.rpd);
    assert_line(stage.rpd, "test: the job is done");
    assert_stops(stage.rpd);
    const char *text = process_stderr(stage.rpd);
    const char *const words[] = {"rpd: warning: job of service kv has been running for 1",
                                 " s: ",
                                 "sleep_for+0x",
                                 "< run+0x",
                                 "(stalls.so)",
                                 NULL};
    assert_words(line_with(text, "job of service kv"), words, text);
    cr_assert_eq(lines_with(text, "job of service kv"), 1, "%s", text);
    assert_no_stall(text);
    close(fd);
}
