/* rpdctl wait: each way in which it ends, and that an event wakes it. */
#include "rpdctl_run.h"

#include <sys/mman.h>

static const char *slow_start(void)
{
    return build_path("samples/slow_start.so");
}

/* ---- success ------------------------------------------------------------------------------- */

Test(wait, bound_of_what_is_not_there_yet)
{
    const char *dir = temp_dir_make(), *run = textf("%s/a/b/run", dir);
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--bound");

    /* Not even its directory exists. */
    assert_waits(waits);
    cr_assert_eq(mkdir(textf("%s/a", dir), 0700), 0);
    cr_assert_eq(mkdir(textf("%s/a/b", dir), 0700), 0);
    struct process *rpd = START_DEMO(run, slow_start(), "-o", "load_s=60");
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, textf("demo: bound, pid %d\n", (int)process_pid(rpd)));
    cr_assert_str_eq(outcome.err, "rpdctl: wait: demo: not running; waiting until it is started "
                                  "and bound (--timeout limits that)\n");
    assert_code(RPDCTL_ON(run, "wait", "demo", "--bound", "--timeout", "0"), 0);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(wait, ready)
{
    const char *run = make_run(temp_dir_make());
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--ready");

    assert_waits(waits);
    struct process *rpd = START_DEMO(run, slow_start(), "-o", "load_s=0.5");
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, textf("demo: ready, pid %d\n", (int)process_pid(rpd)));
    /* wait returned no sooner than it was true. */
    assert_line(rpd, ": ready ");
    assert_code(RPDCTL_ON(run, "wait", "demo", "--ready", "--timeout", "0"), 0);
    assert_stops(rpd);
    process_free(rpd);
}

Test(wait, stopped)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--stopped");

    assert_code(RPDCTL_ON(run, "wait", "demo", "--stopped", "--timeout", "0.1"), 1);
    process_signal(rpd, SIGTERM);
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, textf("demo: stopped, pid %d\n", (int)process_pid(rpd)));
    assert_ends(rpd, 0);
    const struct outcome again = RPDCTL_ON(run, "wait", "demo", "--stopped");
    assert_code(again, 0);
    cr_assert_str_eq(again.out, "demo: not running\n");
    process_free(rpd);
}

Test(wait, stopped_where_nothing_ever_ran)
{
    const char *dir = temp_dir_make();

    assert_code(RPDCTL_ON(textf("%s/run", dir), "wait", "demo", "--stopped"), 0);
    assert_empty(dir);
    temp_dir_remove(dir);
}

/* A process that has gone may have left a child that holds its lock. */
Test(wait, stopped_is_also_that_the_lock_is_free)
{
    const char *run = make_run(temp_dir_make());
    struct process *sleeps = process_start(
        &(struct process_options){.argv = ARGS("sleep", "1000")});
    const struct rpd_state_page page = page_for(process_pid(sleeps), RPD_PHASE_READY);
    const int lock = hold_lock(run, "demo");

    put_page(run, "demo", &page);
    put_record(run, "demo", process_pid(sleeps), "");
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--stopped");
    assert_waits(waits);
    process_signal(sleeps, SIGKILL);
    process_wait_exit(sleeps);
    assert_code(RPDCTL_ON(run, "wait", "demo", "--stopped", "--timeout", "0.2"), 1);
    cr_assert(process_alive(waits));
    close(lock);
    assert_code(outcome_of(waits), 0);
    process_free(sleeps);
}

/* A draining daemon is about to end: the next one is meant. */
Test(wait, bound_is_not_said_of_one_that_drains)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, test_plugin("talk"));
    const int fd = connect_to(textf("unix:%s/demo.sock", run));

    assert_text(ask(fd, "echo x"), "x", rpd);
    cr_assert_eq(send_all(fd, "job 4000 x\n", 11), 0);
    assert_text(ask(fd, "echo y"), "y", rpd);
    process_signal(rpd, SIGTERM);
    await_draining(run, "demo");
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--bound");
    assert_waits(waits);
    assert_code(RPDCTL_ON(run, "wait", "demo", "--bound", "--timeout", "0.1"), 1);
    close(fd);
    assert_ends(rpd, 0);
    cr_assert(process_alive(waits));
    struct process *next = START_DEMO(run, build_path("plugins/echo.so"));
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, textf("demo: bound, pid %d\n", (int)process_pid(next)));
    assert_stops(next);
    process_free(rpd);
    process_free(next);
}

/* ---- failure ------------------------------------------------------------------------------- */

Test(wait, the_time_is_over)
{
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir);
    const struct outcome nothing = RPDCTL_ON(run, "wait", "demo", "--bound", "--timeout", "0.2");

    assert_code(nothing, 1);
    assert_has(nothing.err, "wait: demo: not bound after 0.2 s; it is not running");
    assert_empty(dir);
    struct process *rpd = START_DEMO(run, slow_start(), "-o", "load_s=60");
    const int64_t began = now_ns();
    const struct outcome warming = RPDCTL_ON(run, "wait", "demo", "--ready", "--timeout", "0.5");
    assert_code(warming, 1);
    assert_has(warming.err, "wait: demo: not ready after 0.5 s; it is warming");
    cr_assert_geq(now_ns() - began, INT64_C(500000000));
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(wait, one_that_is_killed_is_told_at_once)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, slow_start(), "-o", "load_s=60");
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--ready");
    const unsigned long long start_time = start_time_of(process_pid(rpd));

    assert_waits(waits);
    const int64_t began = now_ns();
    process_signal(rpd, SIGKILL);
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 1);
    assert_has(outcome.err, "wait: demo: not ready: it ended without a word: it was killed");
    cr_log_info("told after %.1f ms", (double)(now_ns() - began) / 1e6);
    process_wait_exit(rpd);

    /* If the history says how the daemon ended, status reports it. */
    put_history(run, "demo", process_pid(rpd), start_time, 139, "loop: x: crashed; look");
    process_free(rpd);
    assert_has(RPDCTL_ON(run, "status", "demo").out, "died of SIGSEGV: loop: x: crashed; look");
}

Test(wait, a_load_that_fails_is_told_at_once)
{
    const char *run = make_run(temp_dir_make());
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--ready");

    assert_waits(waits);
    struct process *rpd = RPD_START(run, test_plugin("misbehave"), "-n", "demo", "-o", "load=fail");
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 1);
    assert_has(outcome.err, "wait: demo: not ready: it ");
    assert_ends(rpd, 69);
    process_free(rpd);
}

/* It holds its lock, but never makes its page. */
Test(wait, a_start_that_fails_is_told_at_once)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--bound");

    assert_waits(waits);
    struct process *rpd = RPD_START(run, test_plugin("undefined_symbol"), "-n", "demo");
    assert_ends(rpd, 65);
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 1);
    assert_has(outcome.err, "wait: demo: not bound: it failed to start");
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- the control socket -------------------------------------------------------------------- */

/* This test plays the daemon: it gets requests to watch phases, and its events wake the waiting
 * rpdctl. */
Test(wait, asks_the_control_socket)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const char *path = textf("%s/demo.control", run);
    const struct rpd_state_page page = page_for(getpid(), RPD_PHASE_WARMING);
    const int lock = hold_lock(run, "demo"), listener = listen_at(path, SOCK_STREAM, 5);
    char line[256];

    cr_assert_geq(listener, 0);
    put_page(run, "demo", &page);
    put_record(run, "demo", getpid(), textf(",\"control\":\"%s\"", path));
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--ready");
    const int fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    cr_assert_str_eq(line, "{\"v\":1,\"id\":1,\"do\":\"watch\"}\n");
    const char *reply = "{\"v\":1,\"id\":1,\"ok\":true,\"services\":[]}\n";
    cr_assert_eq(send_all(fd, reply, strlen(reply)), 0);
    assert_waits(waits);
    /* As a daemon does it: a store to memory, which sends no event. */
    const int file = open(textf("%s/demo.state", run), O_RDWR | O_CLOEXEC);
    struct rpd_state_page *map = mmap(NULL, sizeof *map, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                                      0);
    cr_assert_neq(map, MAP_FAILED);
    map->flags = RPD_STATE_DEGRADED;
    map->phase = RPD_PHASE_READY;
    const char *event = "{\"v\":1,\"event\":\"phase\",\"service\":\"demo\",\"phase\":\"ready\"}\n";
    send_all(fd, event, strlen(event)); /* otherwise it has just looked, and disconnected */
    const struct outcome outcome = outcome_of(waits);
    assert_code(outcome, 0);
    assert_has(outcome.out, "demo: ready, degraded, pid");
    close(fd);
    close(file);
    close(listener);
    close(lock);
    temp_dir_remove(dir);
}

static long naps_of(struct process *process)
{
    static const char key[] = "\nvoluntary_ctxt_switches:";
    const char *found = strstr(file_read(textf("/proc/%d/status", (int)process_pid(process))), key);

    cr_assert_not_null(found);
    return strtol(found + sizeof key - 1, NULL, 10);
}

/* With a control socket it sleeps until an event comes, except for one look per second. */
Test(wait, sleeps)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, slow_start(), "-o", "load_s=60");
    struct process *waits = RPDCTL_START(run, "wait", "demo", "--ready");

    assert_waits(waits);
    const long before = naps_of(waits);
    poll(NULL, 0, 1500); /* the elapsed time matters here */
    cr_assert_leq(naps_of(waits) - before, 8);
    assert_stops(rpd);
    assert_code(outcome_of(waits), 1);
    process_free(rpd);
}

/* ---- the command line ------------------------------------------------------------------------ */

Test(wait, refuses_a_wrong_command_line)
{
    assert_code(RPDCTL("wait"), 64);
    assert_code(RPDCTL("wait", "demo"), 64);
    assert_code(RPDCTL("wait", "--ready"), 64);
    assert_code(RPDCTL("wait", "a", "b", "--ready"), 64);
    assert_code(RPDCTL("wait", "../x", "--ready"), 64);
    assert_code(RPDCTL("wait", "demo", "--ready", "--bound"), 64);
    assert_code(RPDCTL("wait", "demo", "--ready", "--timeout", "soon"), 64);
    assert_code(RPDCTL("wait", "demo", "--ready", "--timeout", "nan"), 64);
    assert_code(RPDCTL("wait", "demo", "--ready", "--timeout"), 64);
    assert_code(RPDCTL("wait", "demo", "--redy"), 64);
}
