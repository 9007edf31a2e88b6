/* rpdctl stop: it ends the services that it is told to end, waits for their end, and never signals
 * another process. */
#include "rpdctl_run.h"

#include <sys/pidfd.h>

/* A client whose job keeps the daemon draining for a while. */
static int keep_busy(struct process *rpd, const char *run)
{
    const int fd = client(textf("unix:%s/demo.sock", run));

    assert_text(ask(fd, "echo x"), "x", rpd);
    cr_assert_eq(send_all(fd, "job 4000 x\n", 11), 0);
    assert_text(ask(fd, "echo y"), "y", rpd);
    return fd;
}

/* A loop that blocks for ever, and delays any stop. */
static struct process *start_frozen(const char *dir, const char *run, int *ret_client)
{
    const char *config = textf("%s/frozen.json", dir);

    write_text(config, textf("{\"stall_s\":0,\"drain_s\":60,\"services\":[{\"name\":\"demo\","
                             "\"plugin\":\"%s\",\"options\":{\"where\":\"on_data\"}}]}",
                             test_plugin("stalls")));
    struct process *rpd = RPD_START(run, "-c", config);
    assert_line(rpd, ": ready ");
    *ret_client = client(textf("unix:%s/demo.sock", run));
    cr_assert_eq(send_all(*ret_client, "stall\n", 6), 0);
    return rpd;
}

/* ---- one service ------------------------------------------------------------------------ */

Test(stop, ends_it_and_waits)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));
    const struct outcome outcome = RPDCTL_ON(run, "stop", "demo");

    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, textf("demo: stopped, pid %d\n", (int)process_pid(rpd)));
    cr_assert_str_empty(outcome.err);
    /* The daemon has gone, and its lock is free. */
    cr_assert(!process_alive(rpd));
    struct process *next = START_DEMO(run, build_path("plugins/echo.so"));
    assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    assert_ends(rpd, 0);
    assert_ends(next, 0);
    const struct outcome again = RPDCTL_ON(run, "stop", "demo");
    assert_code(again, 0);
    cr_assert_str_eq(again.out, "demo: not running\n");
    process_free(rpd);
    process_free(next);
}

Test(stop, where_nothing_ever_ran)
{
    const char *dir = temp_dir_make();

    assert_code(RPDCTL_ON(textf("%s/run", dir), "stop", "demo"), 0);
    assert_empty(dir);
    temp_dir_remove(dir);
}

Test(stop, what_a_crash_left_is_not_running)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));

    process_signal(rpd, SIGKILL);
    process_wait_exit(rpd);
    const struct outcome outcome = RPDCTL_ON(run, "stop", "demo");
    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, "demo: not running\n");
    process_free(rpd);
}

Test(stop, waits_while_clients_finish)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, test_plugin("talk"));
    const int fd = keep_busy(rpd, run);
    struct process *stop = RPDCTL_START(run, "stop", "demo");

    assert_line(rpd, "stopping");
    const struct outcome impatient = RPDCTL_ON(run, "stop", "demo", "--timeout", "0.2");
    assert_code(impatient, 1);
    assert_has(impatient.err, "has not ended within 0.2 s; wait for it, or use --force");
    cr_assert(process_alive(stop) && process_alive(rpd));
    char answer[8];
    cr_assert_eq(read_line(fd, answer, sizeof answer), 2); /* the job's */
    assert_code(outcome_of(stop), 0);
    assert_ends(rpd, 0);
    close(fd);
    process_free(rpd);
}

Test(stop, ten_thousand_times_is_one_drain)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, test_plugin("talk"));
    const int fd = keep_busy(rpd, run), pidfd = pidfd_open(process_pid(rpd), 0);

    cr_assert_geq(pidfd, 0);
    process_signal(rpd, SIGTERM);
    assert_line(rpd, "stopping");
    for (int i = 0; i < 10000; i++)
        cr_assert_eq(pidfd_send_signal(pidfd, SIGTERM, NULL, 0), 0);
    cr_assert(process_alive(rpd));
    assert_ends(rpd, 0);
    close(fd);
    cr_assert_eq(lines_with(process_stderr(rpd), "stopping"), 1, "%s", process_stderr(rpd));
    close(pidfd);
    process_free(rpd);
}

/* ---- force ------------------------------------------------------------------------------- */

Test(stop, force_ends_what_does_not_end)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    int fd;
    struct process *rpd = start_frozen(dir, run, &fd);
    const struct outcome asked = RPDCTL_ON(run, "stop", "demo", "--timeout", "0.3");

    assert_code(asked, 1);
    cr_assert(process_alive(rpd), "it was killed without --force");
    const struct outcome forced = RPDCTL_ON(run, "stop", "demo", "--timeout", "0.3", "--force");
    assert_code(forced, 0);
    cr_assert_str_eq(forced.out, textf("demo: killed, pid %d\n", (int)process_pid(rpd)));
    assert_ends(rpd, 128 + SIGKILL);
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(stop, force_leaves_time_to_end)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));

    assert_code(RPDCTL_ON(run, "stop", "demo", "--force"), 0);
    assert_ends(rpd, 0);
    process_free(rpd);
}

/* A signal has its effect later, and no event announces it. */
static void suspend(struct process *rpd)
{
    const char *stat = textf("/proc/%d/stat", (int)process_pid(rpd));
    const int64_t deadline = now_ns() + INT64_C(60000000000);

    process_signal(rpd, SIGSTOP);
    while (!strstr(file_read(stat), ") T ") && now_ns() < deadline)
        continue;
}

Test(stop, a_suspended_process_is_named)
{
    const char *run = make_run(temp_dir_make());
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));

    suspend(rpd);
    const struct outcome asked = RPDCTL_ON(run, "stop", "demo", "--timeout", "0.3");
    assert_code(asked, 1);
    assert_has(asked.err, textf("is suspended, and can end only when it continues: kill -CONT %d",
                                (int)process_pid(rpd)));
    process_signal(rpd, SIGCONT);
    assert_ends(rpd, 0); /* the daemon was asked to stop */
    process_free(rpd);

    rpd = START_DEMO(run, build_path("plugins/echo.so"));
    suspend(rpd);
    assert_code(RPDCTL_ON(run, "stop", "demo", "--timeout", "0.3", "--force"), 0);
    assert_ends(rpd, 128 + SIGKILL);
    process_free(rpd);
}

/* Without --timeout it waits for the configuration's drain_s plus two seconds. */
Test(stop, drain_s_is_how_long_it_may_take)
{
    const char *dir = temp_dir_make(), *run = make_run(dir), *config = textf("%s/rpd.json", dir);

    write_text(config, "{\"drain_s\":0,\"services\":[{\"name\":\"demo\",\"plugin\":\"echo.so\"}]}");
    struct process *rpd = start_demo(RPD_START(run, "-c", config));
    process_signal(rpd, SIGSTOP);
    const struct outcome outcome = RPDCTL_ON(run, "stop", "demo");
    assert_code(outcome, 1);
    assert_has(outcome.err, "has not ended within 2 s");
    process_signal(rpd, SIGCONT);
    assert_ends(rpd, 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- several services --------------------------------------------------------------------- */

Test(stop, other_services_of_the_process_are_named)
{
    const char *dir = temp_dir_make(), *run = make_run(dir), *config = textf("%s/rpd.json", dir);

    write_text(config, "{\"services\":[{\"name\":\"demo\",\"plugin\":\"echo.so\"},"
                       "{\"name\":\"two\",\"plugin\":\"echo.so\"},"
                       "{\"name\":\"three\",\"plugin\":\"echo.so\"}]}");
    struct process *alone = RPD_START(run, build_path("plugins/echo.so"), "-n", "alone");
    struct process *rpd = start_demo(RPD_START(run, "-c", config));
    assert_bound(alone);
    const struct outcome refused = RPDCTL_ON(run, "stop", "demo");
    assert_code(refused, 1);
    assert_has(refused.err, "has other services: three, two; --all ends them, too");
    assert_code(RPDCTL_ON(run, "wait", "two", "--ready"), 0);
    const struct outcome all = RPDCTL_ON(run, "stop", "demo", "--all");
    assert_code(all, 0);
    cr_assert_str_eq(all.out, textf("demo, three, two: stopped, pid %d\n", (int)process_pid(rpd)));
    assert_ends(rpd, 0);
    /* A service in another process is not named, and lives on. */
    cr_assert(process_alive(alone));
    assert_code(RPDCTL_ON(run, "stop", "alone"), 0);
    assert_ends(alone, 0);
    process_free(alone);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- never another process ------------------------------------------------------------------ */

/* The process that a page names; and the lock that the page's service would hold. */
struct named {
    const char *run;
    struct process *sleeps;
    struct rpd_state_page page;
    int lock;
};

static struct named name_a_process(void)
{
    struct named named = {
        .run = make_run(temp_dir_make()),
        .sleeps = process_start(&(struct process_options){.argv = ARGS("sleep", "1000")})};

    named.page = page_for(process_pid(named.sleeps), RPD_PHASE_READY);
    named.lock = hold_lock(named.run, "demo");
    return named;
}

static void assert_spared(const struct named *named, const char *state)
{
    put_page(named->run, "demo", &named->page);
    put_record(named->run, "demo", process_pid(named->sleeps), "");
    const struct outcome outcome = RPDCTL_ON(named->run, "stop", "demo", "--force", "--timeout",
                                             "0.2");
    assert_code(outcome, 1);
    assert_has(outcome.err, "nothing was ended");
    cr_assert(process_alive(named->sleeps));
    assert_has(RPDCTL_ON(named->run, "status", "demo").out, textf("state:     %s", state));
}

static void end_named(struct named *named)
{
    close(named->lock);
    process_free(named->sleeps);
}

/* How the others would look if they were not spared. */
Test(stop, ends_what_page_and_lock_name)
{
    struct named named = name_a_process();

    put_page(named.run, "demo", &named.page);
    RPDCTL_ON(named.run, "stop", "demo", "--timeout", "0.2");
    assert_ends(named.sleeps, 128 + SIGTERM);
    end_named(&named);
}

Test(stop, spares_a_process_of_another_boot)
{
    struct named named = name_a_process();

    named.page.boot_id[0] ^= 1;
    assert_spared(&named, "alive, elsewhere");
    end_named(&named);
}

Test(stop, spares_a_process_that_began_at_another_time)
{
    struct named named = name_a_process();

    named.page.start_time -= 1;
    assert_spared(&named, "dead");
    end_named(&named);
}

Test(stop, spares_a_process_without_the_lock)
{
    struct named named = name_a_process();

    close(named.lock);
    put_page(named.run, "demo", &named.page);
    put_record(named.run, "demo", process_pid(named.sleeps), "");
    const struct outcome outcome = RPDCTL_ON(named.run, "stop", "demo", "--force", "--timeout",
                                             "0.2");
    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, "demo: not running\n");
    cr_assert(process_alive(named.sleeps));
    process_free(named.sleeps);
}

/* In a pid namespace of its own, where a pid can be reused: the daemon is killed, and another
 * process gets its pid. Once with the lock free, once with it held. */
static const char reuse[] =
    "set -eu\n"
    "first() { echo 499 >/proc/sys/kernel/ns_last_pid; }\n"
    "first; \"$1\" \"$3\" -n demo 2>\"$RPD_RUNTIME_DIR/log\" & pid=$!\n"
    "[ $pid = 500 ] || { echo \"pid $pid\"; exit 3; }\n"
    "\"$2\" wait demo --bound\n"
    "kill -KILL 500; wait 500 || true\n"
    "sleep 0.1\n" /* a start time is in ticks of 10 ms: processes started within one tick look the
                   * same */
    "first; sleep 1000 & pid=$!\n"
    "[ $pid = 500 ] || { echo \"pid $pid\"; exit 3; }\n"
    "\"$2\" stop demo --all --force --timeout 0.2; echo \"free $?\"\n"
    "kill -0 500\n"
    "echo killed; read -r line <\"$4\"\n"
    "code=0; \"$2\" stop demo --all --force --timeout 0.2 || code=$?; echo \"held $code\"\n"
    "kill -0 500\n"
    "echo survived\n";

Test(stop, spares_a_process_that_got_the_pid)
{
    const char *dir = temp_dir_make(), *run = make_run(dir), *gate = textf("%s/gate", dir);
    struct process *probe = process_start(
        &(struct process_options){.argv = ARGS("unshare", "--pid", "--fork", "--mount-proc", "sh",
                                               "-c", "echo 499 >/proc/sys/kernel/ns_last_pid")});

    if (process_code(process_wait_exit(probe)) != 0)
        cr_skip("no pid namespace: %s", process_stderr(probe));
    process_free(probe);
    cr_assert_eq(mkfifo(gate, 0600), 0);
    struct process *script = process_start(&(struct process_options){
        .argv = ARGS("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c",
                     reuse, "reuse", build_path("rpd"), build_path("rpdctl"),
                     build_path("plugins/echo.so"), gate),
        .runtime_dir = run});
    for (int i = 0; i < 2000 && process_alive(script); i++) {
        process_poll(&script, 1, INT64_C(10000000));
        if (strstr(process_stdout(script), "killed\n"))
            break;
    }
    const int lock = hold_lock(run, "demo");
    write_text(gate, "go\n");
    const struct outcome outcome = outcome_of(script);
    assert_code(outcome, 0);
    assert_has(outcome.out, "demo: not running\nfree 0\n");
    assert_has(outcome.out, "held 1\nsurvived\n");
    assert_has(outcome.err, "nothing was ended");
    close(lock);
    temp_dir_remove(dir);
}

/* ---- the command line ----------------------------------------------------------------------- */

Test(stop, refuses_a_wrong_command_line)
{
    assert_code(RPDCTL("stop"), 64);
    assert_code(RPDCTL("stop", "a", "b"), 64);
    assert_code(RPDCTL("stop", ""), 64);
    assert_code(RPDCTL("stop", "/etc/passwd"), 64);
    assert_code(RPDCTL("stop", "demo", "--timeout", "-1"), 64);
    assert_code(RPDCTL("stop", "demo", "--kill"), 64);
}
