/* The answers of rpdctl that require action: health, forget, restart, and what the other commands
 * say about services in trouble. */
#include "rpdctl_run.h"

#include <sched.h>
#include <sys/mount.h>

static const char *hello(void)
{
    return build_path("samples/hello.so");
}

static const char *slow_start(void)
{
    return build_path("samples/slow_start.so");
}

/* ---- wait --------------------------------------------------------------------------- */

Test(answers, wait_says_what_it_waits_for)
{
    const char *run = make_run(temp_dir_make());
    const struct outcome absent = RPDCTL_ON(run, "wait", "demo", "--ready", "--timeout", "0.2");

    assert_code(absent, 1);
    assert_has(absent.err, "wait: demo: not running; waiting until it is started and "
                           "ready\n");
    struct process *rpd = START_DEMO(run, hello());
    const struct outcome there = RPDCTL_ON(run, "wait", "demo", "--ready", "--timeout", "20");
    assert_code(there, 0);
    cr_assert_str_empty(there.err);
    assert_stops(rpd);
    process_free(rpd);
}

/* ---- a suspended daemon --------------------------------------------------------------- */

Test(answers, a_suspended_process_serves_nobody)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, hello());

    assert_code(RPDCTL_ON(run, "wait", "demo", "--ready"), 0);
    assert_code(RPDCTL_ON(run, "health", "demo"), 0);
    process_signal(rpd, SIGSTOP);
    while (RPDCTL_ON(run, "status", "demo").code == 0) /* the signal is on its way */
        poll(NULL, 0, 5);
    assert_code(RPDCTL_ON(run, "status", "demo"), 1);
    const struct outcome waited = RPDCTL_ON(run, "wait", "demo", "--ready", "--timeout", "0");
    assert_code(waited, 1);
    assert_has(waited.err, "it is stalled");
    assert_code(RPDCTL_ON(run, "wait", "demo", "--bound", "--timeout", "0"), 0);
    const struct outcome health = RPDCTL_ON(run, "health", "demo");
    assert_code(health, 2);
    cr_assert_str_eq(health.out, "demo: no answer (its loop stands still)\n");
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--ready");
    process_signal(rpd, SIGCONT);
    assert_code(outcome_of(waits), 0);
    assert_stops(rpd);
    process_free(rpd);
}

/* ---- health ------------------------------------------------------------------------------ */

Test(answers, health_has_the_codes_of_pg_isready)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);

    assert_code(RPDCTL_ON(run, "health", "demo"), 2);
    assert_code(RPDCTL_ON(run, "health"), 3);
    assert_code(RPDCTL_ON(run, "health", "NOT A NAME"), 3);
    assert_code(RPDCTL_ON("not/absolute", "health", "demo"), 3);
    struct process *rpd = START_DEMO(run, slow_start(), "-o", "load_s=60");
    const struct outcome starts = RPDCTL_ON(run, "health", "demo");
    assert_code(starts, 1);
    cr_assert_str_eq(starts.out, "demo: starts\n");
    cr_assert_eq(unlink(textf("%s/demo.sock", run)), 0);
    process_signal(rpd, SIGKILL);
    assert_ends(rpd, 128 + SIGKILL);
    process_free(rpd);
    const struct outcome dead = RPDCTL_ON(run, "health", "demo");
    assert_code(dead, 2);
    cr_assert_str_eq(dead.out, "demo: no answer (it is not running)\n");
    rpd = START_DEMO(run, hello());
    assert_code(RPDCTL_ON(run, "wait", "demo", "--ready"), 0);
    const struct outcome serves = RPDCTL_ON(run, "health", "demo");
    assert_code(serves, 0);
    cr_assert_str_eq(serves.out, "demo: serves\n");
    cr_assert_str_empty(RPDCTL_ON(run, "health", "--quiet", "demo").out);
    /* Not 1, as from commands that cannot write their output: that would say that the service
     * starts. */
    const struct outcome unheard = run_in(
        NULL,
        ARGS("sh", "-c", "exec \"$0\" -d \"$1\" health demo >/dev/full", build_path("rpdctl"), run),
        NULL);
    assert_code(unheard, 0);
    assert_has(unheard.err, "stdout: cannot write");
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* The daemon is alive, but its socket cannot be reached from here: no client is served. */
Test(answers, health_says_of_an_endpoint_that_is_not_there)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const char *place = textf("%s/place", dir), *endpoint = textf("unix:%s/x.sock", place);

    cr_assert_eq(mkdir(place, 0700), 0);
    struct process *rpd = START_DEMO(run, hello(), "-l", endpoint);
    assert_code(RPDCTL_ON(run, "wait", "demo", "--ready"), 0);
    assert_code(RPDCTL_ON(run, "health", "demo"), 0);
    /* The daemon would make a socket again that it too sees missing. */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("needs root");
    cr_assert_eq(mount("rpd-test", place, "tmpfs", 0, "mode=0700,size=1m"), 0, "%s",
                 strerror(errno));
    const struct outcome gone = RPDCTL_ON(run, "health", "demo");
    assert_code(gone, 2);
    cr_assert_str_eq(gone.out, textf("demo: no answer (%s)\n", endpoint));
    cr_assert_eq(umount(place), 0);
    assert_code(RPDCTL_ON(run, "health", "demo"), 0);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- what dead daemons leave -------------------------------------------------------------- */

Test(answers, a_backtrace_does_not_fill_the_table_and_forget_clears_it)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, test_plugin("talk"));

    assert_code(RPDCTL_ON(run, "wait", "demo", "--ready"), 0);
    const struct outcome lives = RPDCTL_ON(run, "forget", "demo");
    assert_code(lives, 1);
    assert_has(lives.err, "forget: demo: it runs");
    assert_code(RPDCTL_ON(run, "health", "demo"), 0);
    process_signal(rpd, SIGSEGV);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 128 + SIGSEGV);
    const struct outcome table = RPDCTL_ON(run, "status");
    assert_has(table.out, "died of SIGSEGV: crash: SIGSEGV sent by process ");
    assert_has_not(table.out, "backtrace: ");
    assert_has(table.out, "; ... (pid ");
    assert_has(RPDCTL_ON(run, "status", "demo").out, "backtrace: ");
    assert_has(RPDCTL_ON(run, "status", "--json").out, "backtrace: ");
    const struct outcome forgotten = RPDCTL_ON(run, "forget", "demo");
    assert_code(forgotten, 0);
    cr_assert_str_eq(forgotten.out, "demo: forgotten\n");
    cr_assert_str_eq(RPDCTL_ON(run, "status").out, "no service runs\n");
    cr_assert_null(file_read(textf("%s/demo.history", run)));
    cr_assert_str_eq(RPDCTL_ON(run, "forget", "demo").out, "demo: nothing is known of it\n");
    assert_code(RPDCTL_ON(run, "forget", "never-there"), 0);
    cr_assert_neq(access(textf("%s/never-there.lock", run), F_OK), 0);
    process_free(rpd);
}

/* ---- restart ----------------------------------------------------------------------------- */

static const char *ask_pid(const char *run)
{
    const char *record = file_read(textf("%s/demo.json", run));
    const char *pid = record ? strstr(record, "\"pid\": ") : NULL;

    cr_assert_not_null(pid, "%s", record ? record : "no record");
    return textf("%d", (int)strtol(pid + 7, NULL, 10));
}

static struct outcome ensure_in(const char *dir, const char *run, const char *const *argv)
{
    return outcome_of(
        process_start(&(struct process_options){.argv = argv,
                                                .runtime_dir = run,
                                                .directory = dir,
                                                .env = ARGS(textf("XDG_STATE_HOME=%s", dir))}));
}

#define ENSURE(dir, run, ...) ensure_in(dir, run, ARGS("rpdctl", __VA_ARGS__))

Test(answers, restart_starts_it_as_it_was_started)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct outcome absent = RPDCTL_ON(run, "restart", "demo");

    assert_code(absent, 1);
    assert_has(absent.err, "restart: demo: it is not running");
    write_text(textf("%s/c.json", dir), textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                                              "\"options\":{\"greeting\":\"hi\"}}]}",
                                              hello()));
    assert_code(ENSURE(dir, run, "ensure", "c.json"), 0);
    const char *before = ask_pid(run), *endpoint = textf("unix:%s/demo.sock", run);
    cr_assert_str_eq(ask_once(endpoint, "Ada"), "hi, Ada");
    write_text(textf("%s/c.json", dir), textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                                              "\"options\":{\"greeting\":\"again\"}}]}",
                                              hello()));
    const struct outcome again = ENSURE(dir, run, "restart", "demo", "--ready");
    assert_code(again, 0);
    cr_assert_str_eq(again.out, textf("demo: stopped, pid %s\n%s\n", before, endpoint));
    cr_assert_str_neq(ask_pid(run), before);
    cr_assert_str_eq(ask_once(endpoint, "Ada"), "again, Ada");
    /* rpdctl does not stop a service that it could not start again. */
    before = ask_pid(run);
    write_text(textf("%s/c.json", dir), "{\"servces\":[]}");
    assert_code(ENSURE(dir, run, "restart", "demo"), 78);
    cr_assert_str_eq(ask_pid(run), before);
    assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    /* Started by arguments with a relative path. */
    assert_code(ENSURE(dir, run, "ensure", hello(), "-n", "demo", "-o", "greeting=ho"), 0);
    assert_code(ENSURE("/", run, "restart", "demo"), 0);
    cr_assert_str_eq(ask_once(endpoint, "Ada"), "ho, Ada");
    assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    temp_dir_remove(dir);
}

/* An ensure meanwhile gets the daemon that restart starts: there is only one start. */
Test(answers, nobody_comes_between_stop_and_start)
{
    enum { CALLERS = 6 };
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *callers[CALLERS], *restart;

    write_text(textf("%s/c.json", dir),
               textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\"}]}", hello()));
    assert_code(ENSURE(dir, run, "ensure", "c.json"), 0);
    restart = process_start(
        &(struct process_options){.argv = ARGS("rpdctl", "restart", "demo"),
                                  .runtime_dir = run,
                                  .directory = dir,
                                  .env = ARGS(textf("XDG_STATE_HOME=%s", dir))});
    for (int i = 0; i < CALLERS; i++)
        callers[i] = process_start(
            &(struct process_options){.argv = ARGS("rpdctl", "ensure", "c.json"),
                                      .runtime_dir = run,
                                      .directory = dir,
                                      .env = ARGS(textf("XDG_STATE_HOME=%s", dir))});
    assert_code(outcome_of(restart), 0);
    for (int i = 0; i < CALLERS; i++)
        assert_code(outcome_of(callers[i]), 0);
    const char *history = file_read(textf("%s/demo.history", run));
    cr_assert_eq(lines_with(history, " bound "), 2, "%s", history);
    cr_assert_eq(lines_with(history, " ended "), 1, "%s", history);
    assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    temp_dir_remove(dir);
}

Test(answers, restart_leaves_what_a_service_manager_runs)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("sh", "-c", "SYSTEMD_EXEC_PID=$$ exec \"$@\"", "sh",
                                               build_path("rpd"), hello(), "-n", "demo"),
                                  .runtime_dir = run});

    assert_line(rpd, "demo: ready");
    const struct outcome refused = RPDCTL_ON(run, "restart", "demo");
    assert_code(refused, 1);
    assert_has(refused.err, "a service manager runs it");
    assert_code(RPDCTL_ON(run, "health", "demo"), 0);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- ensure -------------------------------------------------------------------------------- */

Test(answers, ensure_tells_all_errors_of_a_command_line)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct outcome outcome = ENSURE(dir, run, "ensure", slow_start(), "-n", "demo", "-o",
                                          "load_s=never", "-o", "nothing=1", "-o", "nobody=2");

    assert_code(outcome, 78);
    cr_assert_eq(lines_with(outcome.err, "rpd: config: command line: -o "), 3, "%s", outcome.err);
    assert_has(outcome.err, "load_s");
    assert_has(outcome.err, "nothing");
    assert_has(outcome.err, "nobody");
    temp_dir_remove(dir);
}

/* Failures of one configuration do not delay another of the same name. */
Test(answers, a_pause_is_of_one_configuration)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const char *bad = textf("%s/bad.json", dir), *good = textf("%s/good.json", dir);

    write_text(bad, textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                          "\"options\":{\"directory\":\"/nonexistent\"}}]}",
                          build_path("samples/index.so")));
    write_text(good, textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\"}]}", hello()));
    /* A changed file clears earlier failures, so the file must be older than the failures here. */
    struct outcome outcome;
    int tries = 0;
    do
        outcome = ENSURE(dir, run, "ensure", "--ready", bad);
    while (!strstr(outcome.err, "not tried again for") && ++tries < 20);
    assert_code(outcome, 69);
    assert_has(outcome.err, "not tried again for");
    const struct outcome other = ENSURE(dir, run, "ensure", "--ready", good);
    assert_code(other, 0);
    assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    temp_dir_remove(dir);
}

Test(answers, the_numbers_of_a_load_that_is_over_are_its_last)
{
    const char *dir = temp_dir_make(), *run = make_run(dir), *config = textf("%s/c.json", dir);

    for (int i = 0; i < 5; i++) {
        assert_code(
            ENSURE(dir, run, "ensure", "--ready", slow_start(), "-n", "demo", "-o", "load_s=0.3"),
            0);
        const struct outcome json = RPDCTL_ON(run, "status", "demo", "--json");
        assert_has(json.out, "\"permille\": 1000");
        assert_has(json.out, "\"eta_ms\": 0");
        assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    }
    write_text(config, textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                             "\"on_load_failure\":\"degraded\","
                             "\"options\":{\"steps\":20,\"failing\":\"load\"}}]}",
                             test_plugin("warm_serve")));
    assert_code(ENSURE(dir, run, "ensure", "--ready", config), 0);
    const struct outcome degraded = RPDCTL_ON(run, "status", "demo");
    assert_has(degraded.out, "degraded");
    assert_has_not(degraded.out, " left\n");
    assert_has_not(RPDCTL_ON(run, "status").out, " left ");
    assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    temp_dir_remove(dir);
}

/* ---- check and describe --------------------------------------------------------------------- */

Test(answers, check_shows_why_a_load_fails)
{
    const struct outcome ends = RPDCTL("check", build_path("samples/index.so"), "--quick", "--only",
                                       "bind.twice", "-o", "directory=/nonexistent");

    assert_code(ends, 1);
    assert_has(ends.out, ": rpd: load: check: /nonexistent: No such file");
}

Test(answers, ranges_are_written_as_people_write_them)
{
    const char *dir = temp_dir_make();

    assert_code(run_in(dir, ARGS("rpdctl", "new", "demo"), NULL), 0);
    const struct outcome built = run_in(
        dir,
        ARGS(TEST_CC, "-shared", "-fPIC", "-I" RPD_SOURCE_DIR "/include", "-o",
             textf("%s/demo.so", dir), "demo/demo.c", build_path("librpd.so")),
        NULL);
    assert_code(built, 0);
    const struct outcome table = RPDCTL("describe", textf("%s/demo.so", dir));
    assert_has(table.out, "2 to 1000000000");
    assert_has_not(table.out, "e+");
    temp_dir_remove(dir);
}

/* ---- what is printed ------------------------------------------------------------------------ */

Test(answers, secrets_are_not_printed)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);

    write_text(config, "{\"services\":[{\"plugin\":\"echo.so\",\"options\":{"
                       "\"db_password\":\"hunter2\",\"API_TOKEN\":\"abc\",\"pin\":1,"
                       "\"max_passes\":3}}]}");
    const struct outcome printed = run_in(dir, ARGS("rpd", "--print-config", "-c", config), NULL);
    assert_code(printed, 0);
    assert_has(printed.out, "db_password = \"(secret)\"");
    assert_has(printed.out, "API_TOKEN = \"(secret)\"");
    assert_has(printed.out, "pin = 1");
    assert_has_not(printed.out, "hunter2");
    temp_dir_remove(dir);
}

/* To a terminal U+009B is the same as ESC [; so is its byte alone. Letters beyond ASCII stay. */
Test(answers, no_control_character_reaches_a_terminal)
{
    const char *run = make_run(temp_dir_make());
    const int lock = hold_lock(run, "demo");
    struct rpd_state_page page = page_for(getpid(), RPD_PHASE_READY);

    page.errors = 1;
    page.error_time_s = INT64_MIN;
    snprintf(page.error, sizeof page.error,
             "\xc2\x9b"
             "31m \x9b"
             "2J \xc3\xa4 \xe2\x82\xac");
    put_page(run, "demo", &page);
    const struct outcome shown = RPDCTL_ON(run, "status");
    assert_has(shown.out, "last error, 0 s ago: ??31m ?2J \xc3\xa4 \xe2\x82\xac\n");
    page.error_time_s = INT64_MAX;
    put_page(run, "demo", &page);
    assert_has(RPDCTL_ON(run, "status").out, "last error, 0 s ago: ");
    close(lock);
    const struct outcome refused = run_in(NULL,
                                          ARGS("rpd", "-\xc2\x9b"
                                                      "1m"),
                                          NULL);
    assert_code(refused, 64);
    assert_has_not(refused.err, "\xc2\x9b");
    const struct outcome option = run_in(
        NULL, ARGS("rpd", "-t", hello(), "-o", "gre\xc2\x9bting=1"), NULL);
    assert_has_not(option.err, "\x9b");
}
