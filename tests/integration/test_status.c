/* rpdctl status: what it shows of a service in each of its states, and on a terminal. */
#include "rpdctl_run.h"
#include "terminal.h"

#include <jansson.h>

static json_t *parsed(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);

    cr_assert_not_null(json, "line %d: %s in:\n%s", error.line, error.text, text);
    return json;
}

/* The value that `status SERVICE --json` has for this key. */
static json_t *json_of(const char *run, const char *service)
{
    json_t *document = parsed(RPDCTL_ON(run, "status", service, "--json").out);
    json_t *row = json_array_get(json_object_get(document, "services"), 0);

    cr_assert_not_null(row);
    json_incref(row);
    json_decref(document);
    return row;
}

static const char *text_at(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? textf("%s", text) : "(none)";
}

static const char *state_of(const char *run)
{
    json_t *row = json_of(run, "demo");
    const char *state = text_at(row, "state");

    json_decref(row);
    return state;
}

#define assert_state(run, wanted)                                                                  \
    do {                                                                                           \
        const char *state_ = state_of(run);                                                        \
        cr_assert_str_eq(state_, (wanted), "%s instead of %s", state_, (wanted));                  \
    } while (0)

static void wait_for_state(const char *run, const char *wanted)
{
    for (int i = 0; i < 2000 && strcmp(state_of(run), wanted) != 0; i++)
        poll(NULL, 0, 1);
    assert_state(run, wanted);
}

/* ---- living services ------------------------------------------------------------------------ */

Test(status, nothing_runs_and_nothing_is_made)
{
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir);
    const struct outcome all = RPDCTL_ON(run, "status");
    const struct outcome one = RPDCTL_ON(run, "status", "demo");

    assert_code(all, 0);
    cr_assert_str_eq(all.out, "no service runs\n");
    assert_code(one, 1);
    cr_assert_str_eq(one.out, "service:   demo\nstate:     dead\n");
    assert_code(RPDCTL_ON(run, "status", "demo", "--json"), 1);
    const struct outcome json = RPDCTL_ON(run, "status", "--json");
    assert_code(json, 0);
    json_t *document = parsed(json.out);
    cr_assert_eq(json_integer_value(json_object_get(document, "version")), 1);
    cr_assert_eq(json_array_size(json_object_get(document, "services")), 0);
    json_decref(document);
    assert_empty(dir);
    temp_dir_remove(dir);
}

Test(status, a_row_for_each_that_runs)
{
    const char *run = make_run(temp_dir_make());
    struct process *warms = START_DEMO(run, build_path("samples/slow_start.so"), "-o", "load_s=60");
    struct process *other = RPD_START(run, build_path("plugins/echo.so"), "-n", "other");

    assert_code(RPDCTL_ON(run, "wait", "other", "--ready"), 0);
    struct outcome all = RPDCTL_ON(run, "status");
    while (process_alive(warms) && !strstr(all.out, " left")) /* an estimate takes a moment */
        all = RPDCTL_ON(run, "status");
    assert_code(all, 0);
    cr_assert_eq(lines_with(all.out, ""), 3, "%s", all.out);
    assert_has(all.out, "SERVICE  STATE    PID");
    assert_has(all.out, textf("demo     warming  %d", (int)process_pid(warms)));
    assert_has(all.out, "[");
    assert_has(all.out, " s left  unix:");
    assert_has(all.out, textf("other    alive    %d", (int)process_pid(other)));
    assert_has(all.out, textf("unix:%s/other.sock\n", run));
    /* A service that has stopped leaves its lock, and has no row. */
    assert_stops(other);
    all = RPDCTL_ON(run, "status");
    assert_has_not(all.out, "other");
    assert_stops(warms);
    cr_assert_str_eq(RPDCTL_ON(run, "status").out, "no service runs\n");
    process_free(warms);
    process_free(other);
}

Test(status, all_of_one)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("samples/slow_start.so"), "-o", "load_s=60");
    const int fd = client(textf("unix:%s/demo.sock", run));
    json_t *row;

    cr_assert_eq(send_all(fd, "x\n", 2), 0);
    do { /* the loop counts it in its next turn */
        row = json_of(run, "demo");
        if (json_integer_value(json_object_get(json_object_get(row, "clients"), "held")) == 1)
            break;
        json_decref(row);
    } while (process_alive(rpd));
    const struct outcome one = RPDCTL_ON(run, "status", "demo");
    assert_code(one, 0);
    assert_has(one.out, "service:   demo\nstate:     warming\n");
    assert_has(one.out, textf("pid:       %d, since ", (int)process_pid(rpd)));
    assert_has(one.out, "clients:   0 active, 1 held; 1 so far");
    assert_has(one.out, "  load             loading  [");
    assert_has(one.out, "of 60.0 k ms");
    cr_assert_str_eq(text_at(row, "service"), "demo");
    cr_assert_str_eq(text_at(row, "phase"), "warming");
    cr_assert_eq(json_integer_value(json_object_get(row, "pid")), process_pid(rpd));
    cr_assert_eq((unsigned long long)json_integer_value(json_object_get(row, "start_time")),
                 start_time_of(process_pid(rpd)));
    const json_t *part = json_array_get(json_object_get(json_object_get(row, "load"), "parts"), 0);
    cr_assert_str_eq(text_at(part, "name"), "load");
    cr_assert_eq(json_integer_value(json_object_get(part, "total")), 60000);
    json_decref(row);
    close(fd);
    assert_stops(rpd);
    process_free(rpd);
}

Test(status, keys_are_there_in_every_state)
{
    static const char *const keys[] = {
        "service",     "state",         "pid",         "start_time",    "uptime_ms", "build",
        "old_build",   "plugin",        "config",      "config_digest", "control",   "endpoints",
        "unreachable", "last_end",      "runtime_dir", "elsewhere",     "phase",     "degraded",
        "warmup",      "clients",       "load",        "loop",          "errors",    "last_error",
        "keeper",      "slow_callbacks"};
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));

    for (int round = 0; round < 2; round++) {
        json_t *row = json_of(run, "demo");
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            cr_expect_not_null(json_object_get(row, keys[i]), "%s", keys[i]);
        cr_expect_eq(json_object_size(row), sizeof keys / sizeof *keys);
        json_decref(row);
        if (round == 0)
            assert_stops(rpd);
    }
    process_free(rpd);
}

/* ---- dead services ----------------------------------------------------------------------- */

/* As after an upgrade: the running program is not the one that a start would run. */
Test(status, one_whose_program_was_replaced_is_old)
{
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir), *own = textf("%s/rpd", dir);

    copy_file(build_path("rpd"), own, 0700);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS(own, build_path("plugins/echo.so"), "-n", "demo"),
                                  .runtime_dir = run,
                                  .notify = true});
    assert_bound(rpd);
    json_t *row = json_of(run, "demo");
    cr_assert(json_is_false(json_object_get(row, "old_build")));
    json_decref(row);
    cr_assert_null(strstr(RPDCTL_ON(run, "status").out, "old build"));
    copy_file(build_path("rpd"), textf("%s.new", own), 0700);
    cr_assert_eq(rename(textf("%s.new", own), own), 0);
    row = json_of(run, "demo");
    cr_assert(json_is_true(json_object_get(row, "old_build")));
    json_decref(row);
    cr_assert_not_null(strstr(RPDCTL_ON(run, "status").out, ", old build"));
    cr_assert_not_null(strstr(RPDCTL_ON(run, "status", "demo").out, "restart the service"));
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(status, one_that_was_killed_is_dead)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));
    const unsigned long long start_time = start_time_of(process_pid(rpd));

    process_signal(rpd, SIGKILL);
    process_wait_exit(rpd);
    const struct outcome one = RPDCTL_ON(run, "status", "demo");
    assert_code(one, 1);
    assert_has(one.out,
               textf("end:       ended without a word (pid %d, last seen ", (int)process_pid(rpd)));
    struct outcome all = RPDCTL_ON(run, "status");
    assert_code(all, 0);
    assert_has(all.out, "demo     dead");
    /* The end of another process is not its end. */
    put_history(run, "demo", process_pid(rpd), start_time + 1, 69, "load: no; look");
    assert_has_not(RPDCTL_ON(run, "status").out, "load: no; look");
    put_history(run, "demo", process_pid(rpd), start_time, 69, "load: \x1b[2Jno; look");
    all = RPDCTL_ON(run, "status");
    assert_has(all.out, "  ended with 69: load: ?[2Jno; look (pid ");
    json_t *row = json_of(run, "demo");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(row, "last_end"), "code")), 69);
    json_decref(row);
    process_free(rpd);
}

/* A held lock belongs to this boot, whatever /proc says. */
Test(status, a_page_of_another_boot_is_of_a_dead_one_if_its_lock_is_free)
{
    const char *run = make_run(temp_dir_make());
    struct rpd_state_page page = page_for(getpid(), RPD_PHASE_READY);
    const int lock = hold_lock(run, "demo");

    put_page(run, "demo", &page);
    put_record(run, "demo", getpid(), "");
    assert_state(run, "alive");
    page.boot_id[3] ^= 0x10;
    put_page(run, "demo", &page);
    assert_state(run, "alive, elsewhere");
    assert_has(RPDCTL_ON(run, "status").out, "another boot id in /proc");
    close(lock);
    assert_state(run, "dead");
    assert_has(RPDCTL_ON(run, "status").out, "before this machine was started");
}

/* ---- services in trouble ------------------------------------------------------------------ */

Test(status, a_suspended_process_is_stalled)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));

    wait_for_state(run, "alive");
    process_signal(rpd, SIGSTOP);
    wait_for_state(run, "stalled");
    process_signal(rpd, SIGCONT);
    wait_for_state(run, "alive");
    assert_stops(rpd);
    process_free(rpd);
}

/* Within a second after the loop stopped turning. */
Test(status, a_frozen_loop_is_shown_within_a_second)
{
    const char *dir = temp_dir_make(), *run = make_run(dir), *config = textf("%s/rpd.json", dir);
    char line[16];

    write_text(config, textf("{\"stall_s\":0,\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                             "\"options\":{\"where\":\"on_data\",\"ms\":2500}}]}",
                             test_plugin("stalls")));
    struct process *rpd = RPD_START(run, "-c", config);
    assert_line(rpd, ": ready ");
    const int fd = client(textf("unix:%s/demo.sock", run));
    assert_text(ask(fd, "before"), "before", rpd);
    assert_state(run, "alive");
    cr_assert_eq(send_all(fd, "stall\n", 6), 0);
    const int64_t began = now_ns();
    poll(NULL, 0, 1000); /* the elapsed time matters here */
    assert_state(run, "stalled");
    cr_log_info("looked after %.3f s", (double)(now_ns() - began) / 1e9);
    cr_assert_eq(read_line(fd, line, sizeof line), 6);
    wait_for_state(run, "alive");
    close(fd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(status, a_degraded_service_says_so_and_why)
{
    const char *dir = temp_dir_make(), *run = make_run(dir), *config = textf("%s/rpd.json", dir);

    write_text(config, textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                             "\"on_load_failure\":\"degraded\","
                             "\"options\":{\"failing\":\"load\"}}]}",
                             test_plugin("warm_serve")));
    struct process *rpd = RPD_START(run, "-c", config);
    assert_bound(rpd);
    assert_code(RPDCTL_ON(run, "wait", "demo", "--ready"), 0);
    for (int i = 0; i < 2000 && !strstr(RPDCTL_ON(run, "status").out, "degraded"); i++)
        poll(NULL, 0, 1);
    const struct outcome all = RPDCTL_ON(run, "status");
    assert_has(all.out, "alive, degraded");
    assert_has(all.out, "  last error, ");
    assert_has(RPDCTL_ON(run, "wait", "demo", "--ready").out, "demo: ready, degraded, pid");
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(status, a_path_that_is_gone_is_unreachable)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));

    assert_has_not(RPDCTL_ON(run, "status").out, "unreachable");
    process_signal(rpd, SIGSTOP); /* otherwise the daemon would make it again */
    cr_assert_eq(unlink(textf("%s/demo.sock", run)), 0);
    assert_has(RPDCTL_ON(run, "status").out, textf("unix:%s/demo.sock (unreachable)\n", run));
    process_signal(rpd, SIGCONT);
    assert_line(rpd, "recreated");
    assert_stops(rpd);
    process_free(rpd);
}

Test(status, what_a_record_says_does_not_reach_a_terminal_raw)
{
    const char *run = make_run(temp_dir_make());
    const int lock = hold_lock(run, "demo");

    put_record(run, "demo", getpid(),
               ",\"plugin\":\"a\\u001b[2Jb\",\"endpoints\":[\"x\\u0007\\n\"]");
    assert_has_not(RPDCTL_ON(run, "status").out, "\a");
    const struct outcome one = RPDCTL_ON(run, "status", "demo");
    assert_has(one.out, "plugin:    a?[2Jb\n");
    assert_has(one.out, "endpoints: x??\n");
    close(lock);
}

/* ---- on a terminal -------------------------------------------------------------------------- */

static struct terminal open_terminal(const char *dir, const char *run, const char *arguments)
{
    if (!terminal_can())
        cr_skip("tmux 3.3 is not installed");
    return terminal_open(
        dir, textf("RPD_RUNTIME_DIR='%s' '%s' %s", run, build_path("rpdctl"), arguments));
}

static size_t marks_in(const char *screen)
{
    size_t marks = 0;

    for (; *screen; screen++)
        marks += *screen == '#';
    return marks;
}

Test(watch, the_bar_of_a_load_grows_until_it_is_ready)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd = START_DEMO(run, build_path("samples/slow_start.so"), "-o", "load_s=3");
    const struct terminal terminal = open_terminal(dir, run, "status --watch");
    size_t marks = 0, steps = 0;
    const char *screen = terminal_await(&terminal, "ENDPOINTS");

    for (int i = 0; i < 2000 && !strstr(screen, "alive"); i++) {
        const size_t now = marks_in(screen);
        /* In place: one heading, one row. (tmux may have processed half of the output so far.) */
        cr_assert_leq(lines_with(screen, "SERVICE"), 1, "%s", screen);
        cr_assert_leq(lines_with(screen, "demo"), 1, "%s", screen);
        if (now > 0) {
            cr_assert_geq(now, marks, "the bar has shrunk:\n%s", screen);
            assert_has(screen, "demo     warming");
            steps += now > marks;
            marks = now;
        }
        poll(NULL, 0, 50);
        screen = terminal_shown(&terminal);
    }
    cr_assert_geq(steps, 3, "the bar was seen to grow %zu times", steps);
    assert_has(terminal_await(&terminal, "loaded"), "demo     alive");
    cr_assert_str_eq(TERMINAL(&terminal, "display-message", "-p", "#{cursor_flag}"), "0\n");

    TERMINAL(&terminal, "send-keys", "C-c");
    screen = terminal_await(&terminal, "ended with 0");
    cr_assert_eq(lines_with(screen, "SERVICE"), 1, "%s", screen);
    cr_assert_str_eq(TERMINAL(&terminal, "display-message", "-p", "#{cursor_flag}"), "1\n");
    terminal_close(&terminal);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(watch, follows_the_service_and_the_size_of_the_window)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct terminal terminal = open_terminal(dir, run, "status demo --watch");

    terminal_await(&terminal, "state:     dead");
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));
    terminal_await(&terminal, "state:     alive");
    process_signal(rpd, SIGSTOP);
    terminal_await(&terminal, "state:     stalled");
    process_signal(rpd, SIGCONT);
    terminal_await(&terminal, "state:     alive");
    TERMINAL(&terminal, "resize-window", "-x", "16", "-y", "6");
    const char *screen = terminal_await(&terminal, " more)");
    assert_has(screen, "service:   demo\nstate:     alive\n");
    TERMINAL(&terminal, "resize-window", "-x", "120", "-y", "24");
    assert_has_not(terminal_await(&terminal, "jobs:"), "more)");
    assert_stops(rpd);
    terminal_await(&terminal, "state:     dead");
    cr_assert_eq(lines_with(terminal_shown(&terminal), "pid:"), 0); /* what was there is cleared */
    terminal_close(&terminal);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- the command line ----------------------------------------------------------------------- */

Test(status, refuses_a_wrong_command_line)
{
    assert_code(RPDCTL("status", "a", "b"), 64);
    assert_code(RPDCTL("status", "A"), 64);
    assert_code(RPDCTL("status", "--jsom"), 64);
    assert_code(RPDCTL("status", "--json", "--watch"), 64);
    const struct outcome watch = RPDCTL("status", "--watch");
    assert_code(watch, 64);
    assert_has(watch.err, "standard output is no terminal");
}
