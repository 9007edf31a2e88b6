/* Metrics from outside: each is changed by the events that it counts; the page exists, heals, and
 * can be read while the process is stopped; the output of `rpdctl metrics`, whose names are
 * frozen. */
#include "common.h"
#include "observe/metrics_view.h"
#include "rpdctl_run.h"

#include <sys/resource.h>

enum { MOVED_MAX = 400, DEADLINE_S = 60 };

struct scene {
    const char *dir, *run, *endpoint;
    int run_fd;
    struct process *rpd;
};

/* more: members of the service; env: NULL, or variables. */
static struct scene start_with(const char *more, const char *const *env)
{
    struct scene scene = {.dir = temp_dir_make()};
    const char *config = textf("%s/rpd.json", temp_dir_make());

    scene.run = make_run(scene.dir);
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    write_text(
        config,
        textf("{\"slow_ms\":50,\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\",\"listen\":"
              "[\"%s\",\"unix:%s/taken.sock\"]%s}]}",
              test_plugin("counts"), scene.endpoint, scene.dir, more));
    scene.rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", config), .runtime_dir = scene.run, .notify = true, .env = env});
    assert_bound(scene.rpd);
    return scene;
}

static struct scene start(const char *more)
{
    return start_with(more, NULL);
}

static void end_scene(struct scene *scene)
{
    assert_stops(scene->rpd);
    process_free(scene->rpd);
    close(scene->run_fd);
    temp_dir_remove(scene->dir);
}

/* ---- the metrics that have changed ---- */

static const char *moved[MOVED_MAX];
static size_t moved_count;

/* "rpd_clients_cut{limit=idle_s}" */
static const char *name_of(const struct metrics_row *row)
{
    const char *name = row->name;

    for (size_t i = 0; i < row->label_count; i++)
        name = textf("%s{%s=%s}", name, row->labels[i].key, row->labels[i].value);
    return name;
}

static bool has_moved(const char *name)
{
    for (size_t i = 0; i < moved_count; i++)
        if (strcmp(moved[i], name) == 0)
            return true;
    return false;
}

static void note(const struct scene *scene)
{
    struct metrics_view view;

    cr_assert_eq(metrics_view_read(scene->run_fd, "demo", &view), 0, "%s\n%s", strerror(errno),
                 process_stderr(scene->rpd));
    for (size_t i = 0; i < view.count; i++) {
        const struct metrics_row *row = &view.rows[i];
        const char *name = name_of(row);
        if ((row->value != 0 || metrics_histogram_count(&row->histogram) > 0) && !has_moved(name)) {
            cr_assert_lt(moved_count, MOVED_MAX);
            moved[moved_count++] = strdup(name);
        }
    }
    metrics_view_finish(&view);
}

static void await(const struct scene *scene, const char *name)
{
    const int64_t deadline = now_ns() + DEADLINE_S * INT64_C(1000000000);

    for (note(scene); !has_moved(name); note(scene)) {
        cr_assert_lt(now_ns(), deadline, "%s has never moved", name);
        poll(NULL, 0, 2);
    }
}

static int64_t value_of(const struct scene *scene, const char *name)
{
    struct metrics_view view;
    int64_t value = -1;

    metrics_view_read(scene->run_fd, "demo", &view); /* it may be damaged at this moment */
    for (size_t i = 0; i < view.count; i++)
        if (strcmp(name_of(&view.rows[i]), name) == 0)
            value = view.rows[i].type == RPD_METRIC_HISTOGRAM
                        ? (int64_t)metrics_histogram_count(&view.rows[i].histogram)
                        : view.rows[i].value;
    metrics_view_finish(&view);
    return value;
}

static void await_value(const struct scene *scene, const char *name, int64_t wanted)
{
    const int64_t deadline = now_ns() + DEADLINE_S * INT64_C(1000000000);

    while (value_of(scene, name) != wanted) {
        cr_assert_lt(now_ns(), deadline, "%s is %lld instead of %lld", name,
                     (long long)value_of(scene, name), (long long)wanted);
        poll(NULL, 0, 2);
    }
}

/* ---- each is changed by its events ---- */

/* Held clients, one of which leaves; a load that fails once; errors. */
static void move_by_warming(void)
{
    const char *file = textf("%s/go", temp_dir_make());
    struct scene scene = start(textf(",\"on_load_failure\":\"retry\",\"options\":{\"fails\":1,"
                                     "\"waits_for\":\"%s\"}",
                                     file));
    const int stays = client(scene.endpoint), leaves = client(scene.endpoint);

    tell(stays, "x");
    await_value(&scene, "rpd_clients_held", 2);
    close(leaves);
    await(&scene, "rpd_clients_held");
    await(&scene, "rpd_clients_left");
    write_text(file, "");
    cr_assert_str_eq(hear_line(stays), "ok");
    await(&scene, "rpd_load_retries");
    await(&scene, "rpd_errors");
    await(&scene, "rpd_ready_after");
    close(stays);
    end_scene(&scene);
}

static void move_by_refusing(void)
{
    const char *file = textf("%s/go", temp_dir_make());
    struct scene scene = start(textf(",\"warmup\":\"refuse\",\"options\":{\"waits_for\":\"%s\"},"
                                     "\"limits\":{\"clients_per_peer\":1}",
                                     file));
    const int fd = client(scene.endpoint);

    cr_assert_str_eq(hear_line(fd), "busy");
    close(fd);
    await(&scene, "rpd_clients_refused{cause=warmup}");
    await(&scene, "rpd_callbacks{callback=on_busy}");
    write_text(file, "");
    assert_line(scene.rpd, ": ready ");
    const int first = client(scene.endpoint), second = client(scene.endpoint);
    assert_eof(second);
    await(&scene, "rpd_clients_refused{cause=clients_per_peer}");
    close(first);
    close(second);
    end_scene(&scene);
}

/* One client for each limit. */
static void move_by_limits(void)
{
    struct scene scene = start(",\"limits\":{\"first_byte_s\":1,\"request_s\":1,\"idle_s\":1,"
                               "\"write_stall_s\":1,\"output_bytes\":1048576,"
                               "\"input_bytes\":65536}");
    const char *const lines[] = {"", "half of a line", "whole\n", "write 900000\n",
                                 "write 4000000\n"};
    static const char *const limits[] = {"first_byte_s",  "request_s",    "idle_s",
                                         "write_stall_s", "output_bytes", "input_bytes"};
    char *large = calloc(1, 100000);
    int fds[6];

    memset(large, 'x', 100000);
    for (size_t i = 0; i < 6; i++) {
        fds[i] = client(scene.endpoint);
        if (i < 5)
            send_all(fds[i], lines[i], strlen(lines[i]));
        else
            send_all(fds[i], large, 100000);
    }
    for (size_t i = 0; i < 6; i++) {
        await(&scene, textf("rpd_clients_cut{limit=%s}", limits[i]));
        close(fds[i]);
    }
    free(large);
    end_scene(&scene);
}

static void move_by_memory(const char *limit)
{
    struct scene scene = start(textf(",\"limits\":{\"%s\":524288,\"input_bytes\":4194304}", limit));
    char *large = calloc(1, 900000);
    const int fd = client(scene.endpoint);

    memset(large, 'x', 900000);
    send_all(fd, large, 900000); /* It may be closed meanwhile. */
    await(&scene, textf("rpd_clients_cut{limit=%s}", limit));
    free(large);
    close(fd);
    end_scene(&scene);
}

static void move_by_accept_errors(void)
{
    const char *file = textf("%s/lacking", temp_dir_make());

    write_text(file, "");
    struct scene scene = start_with(
        "", ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/accept_errors.so")),
                 textf("TEST_ACCEPT_ERROR=%d", ENFILE), textf("TEST_ACCEPT_FILE=%s", file)));
    const int fd = client(scene.endpoint);
    await(&scene, "rpd_accept_pauses");
    unlink(file);
    close(fd);
    end_scene(&scene);
}

static void ask_ok(int fd, const char *line)
{
    tell(fd, line);
    cr_assert_str_eq(hear_line(fd), "ok", "%s", line);
}

/* Requests, jobs, waiting output, a slow callback; a start after a kill; and the end. */
static void move_by_requests(void)
{
    const char *file = textf("%s/go", temp_dir_make());
    struct scene scene = start_with("", ARGS(textf("TEST_UNLOAD_WAITS_FOR=%s", file)));

    assert_line(scene.rpd, ": ready ");
    const int fd = client(scene.endpoint);
    const int taken = client(textf("unix:%s/taken.sock", scene.dir));
    ask_ok(fd, "x");
    ask_ok(fd, "jobs 1");
    tell(fd, "write 700000");
    /* If it were read sooner, it might never wait. */
    for (int i = 0; i < 30000 && value_of(&scene, "rpd_buffers") <= 0; i++)
        poll(NULL, 0, 2);
    await(&scene, "rpd_buffers");
    char *block = malloc(700000);
    cr_assert_eq(read_exactly(fd, block, 700000), 700000);
    free(block);
    await(&scene, "rpd_callbacks{callback=on_writable}");
    await(&scene, "rpd_callbacks{callback=accept}");
    await(&scene, "rpd_callbacks{callback=done}");
    ask_ok(fd, "later");
    await(&scene, "rpd_callbacks{callback=post}");
    await(&scene, "rpd_callbacks{callback=timer}");
    await(&scene, "rpd_callbacks{callback=on_part}");
    await(&scene, "rpd_descriptors");
    await(&scene, "counts_jobs{end=good}");
    ask_ok(fd, "jobs 12000"); /* more than the queue takes */
    await(&scene, "rpd_jobs");
    await(&scene, "rpd_jobs_refused");
    close(fd);
    close(taken);
    await(&scene, "rpd_clients_closed");
    process_signal(scene.rpd, SIGTERM);
    await(&scene, "rpd_callbacks{callback=stop}");
    write_text(file, "");
    assert_ends(scene.rpd, 0);
    process_free(scene.rpd);
    close(scene.run_fd);
    temp_dir_remove(scene.dir);
}

/* Each kind of callback has a count of its own: see service/slow_callback.c. */
static void move_by_sleeping(void)
{
    struct scene scene = start("");
    const int fd = client(scene.endpoint);

    ask_ok(fd, "sleep 400");
    await(&scene, "rpd_slow_callbacks{callback=on_data}");
    close(fd);
    end_scene(&scene);
}

static void move_by_failing(void)
{
    struct scene scene = start("");

    process_signal(scene.rpd, SIGKILL);
    process_wait_exit(scene.rpd);
    put_history(scene.run, "demo", 1, 1, 70, "it failed");
    process_free(scene.rpd);
    scene.rpd = RPD_START(scene.run, test_plugin("counts"), "-n", "demo", "-l", scene.endpoint);
    assert_bound(scene.rpd);
    await(&scene, "rpd_failed_ends");
    cr_expect_eq(value_of(&scene, "rpd_starts"), 2);
    end_scene(&scene);
}

/* Why a row of the page is not changed here. */
static const char *excuse(const char *name)
{
    const struct {
        const char *beginning, *why;
    } excuses[] = {
        {"rpd_clients_cut{limit=memory}", "malloc() fails: unit/test_conn"},
        {"rpd_restarts", "only with a keeper: test_keeper_seen"},
        {"rpd_slow_callbacks{", "one of them is moved; which one it is: test_stalls"},
        {is_sanitized() ? "rpd_accept_pauses" : "-", "a sanitizer has an accept4() of its own"},
        {"rpd_start_step{step=recall}", "only with a service manager; else it may take 0 us"},
        {"rpd_start_step{", "it may take less than 1 us"},
        {"rpd_load_part{", "it may take less than 1 us"},
        {"counts_jobs{end=bad", "the test's own"},
    };

    for (size_t i = 0; i < sizeof excuses / sizeof *excuses; i++)
        if (strncmp(name, excuses[i].beginning, strlen(excuses[i].beginning)) == 0)
            return excuses[i].why;
    return NULL;
}

Test(metrics, each_is_moved, .timeout = 300)
{
    struct metrics_view view;

    move_by_warming();
    move_by_refusing();
    move_by_limits();
    move_by_memory("buffer_bytes");
    move_by_memory("buffer_bytes_per_peer");
    if (!is_sanitized()) /* its runtime replaces accept4() */
        move_by_accept_errors();
    move_by_requests();
    move_by_sleeping();
    move_by_failing();
    struct scene scene = start("");
    cr_assert_eq(metrics_view_read(scene.run_fd, "demo", &view), 0);
    cr_assert_gt(view.count, 80);
    for (size_t i = 0; i < view.count; i++) {
        const char *name = name_of(&view.rows[i]);
        cr_expect(has_moved(name) || excuse(name), "%s has never moved", name);
    }
    metrics_view_finish(&view);
    end_scene(&scene);
}

/* ---- their exact counts ---- */

Test(metrics, what_several_threads_add_is_all_there)
{
    struct scene scene = start("");
    const int fd = client(scene.endpoint);

    for (int i = 0; i < 64; i++)
        tell(fd, "jobs 1");
    for (int i = 0; i < 64; i++)
        cr_assert_str_eq(hear_line(fd), "ok");
    await_value(&scene, "counts_jobs{end=good}", 64);
    cr_expect_eq(value_of(&scene, "counts_by_workers"), 64 * 1000);
    cr_expect_eq(value_of(&scene, "counts_lines"), 64);
    cr_expect_eq(value_of(&scene, "counts_length"), 64);
    await_value(&scene, "rpd_received", 64 * 7); /* shown with the next pulse */
    await_value(&scene, "rpd_sent", 64 * 3);
    cr_expect_eq(value_of(&scene, "rpd_jobs_submitted"), 64);
    cr_expect_eq(value_of(&scene, "rpd_job_wait"), 64);
    cr_expect_eq(value_of(&scene, "rpd_job_run"), 64);
    cr_expect_eq(value_of(&scene, "counts_open"), 1);
    close(fd);
    await_value(&scene, "counts_open", 0);
    end_scene(&scene);
}

/* ---- the file ---- */

static const char *path_of(const struct scene *scene)
{
    return textf("%s/demo.metrics", scene->run);
}

Test(metrics, the_page_heals)
{
    struct scene scene = start("");
    const int fd = client(scene.endpoint);

    ask_ok(fd, "x");
    cr_assert_eq(unlink(path_of(&scene)), 0);
    assert_line(scene.rpd, "demo.metrics was removed; recreated");
    cr_expect_eq(value_of(&scene, "counts_lines"), 1, "what it has counted is kept");
    ask_ok(fd, "x");
    await_value(&scene, "counts_lines", 2);
    cr_assert_eq(truncate(path_of(&scene), 100), 0);
    ask_ok(fd, "x"); /* a SIGBUS for a thread that counts there */
    const int64_t deadline = now_ns() + DEADLINE_S * INT64_C(1000000000);
    while (value_of(&scene, "counts_lines") < 0 && now_ns() < deadline)
        poll(NULL, 0, 2);
    ask_ok(fd, "x");
    cr_expect_geq(value_of(&scene, "counts_lines"), 1, "it counts again, from 0");
    cr_expect_gt(value_of(&scene, "rpd_load_part{part=load}"), -1);
    close(fd);
    end_scene(&scene);
}

Test(metrics, the_page_goes_with_the_service)
{
    struct scene scene = start("");

    cr_assert_eq(access(path_of(&scene), F_OK), 0);
    assert_stops(scene.rpd);
    cr_assert_neq(access(path_of(&scene), F_OK), 0);
    process_free(scene.rpd);
    temp_dir_remove(scene.dir);
}

/* ---- rpdctl metrics ---- */

/* Names and types of rpd's own metrics. They never change: dashboards and alerts depend on them. */
static const char *const frozen[] = {
    "rpd_up gauge",
    "rpd_ready gauge",
    "rpd_degraded gauge",
    "rpd_accept_pauses counter",
    "rpd_buffers_bytes gauge",
    "rpd_callback_time_seconds histogram",
    "rpd_callbacks counter",
    "rpd_clients_accepted counter",
    "rpd_clients_active gauge",
    "rpd_clients_closed counter",
    "rpd_clients_cut counter",
    "rpd_clients_held gauge",
    "rpd_clients_left counter",
    "rpd_clients_refused counter",
    "rpd_descriptors gauge",
    "rpd_descriptors_limit gauge",
    "rpd_errors counter",
    "rpd_failed_ends gauge",
    "rpd_generation gauge",
    "rpd_job_run_seconds histogram",
    "rpd_job_wait_seconds histogram",
    "rpd_jobs gauge",
    "rpd_jobs_refused counter",
    "rpd_jobs_submitted counter",
    "rpd_load_part_seconds gauge",
    "rpd_load_retries counter",
    "rpd_loop_lag_seconds histogram",
    "rpd_loop_turns counter",
    "rpd_ready_after_seconds gauge",
    "rpd_received_bytes counter",
    "rpd_restarts gauge",
    "rpd_sent_bytes counter",
    "rpd_slow_callbacks counter",
    "rpd_start_step_seconds gauge",
    "rpd_starts gauge",
};

Test(metrics, names_and_types_are_frozen)
{
    struct scene scene = start("");

    assert_line(scene.rpd, ": ready ");
    const struct outcome outcome = RPDCTL_ON(scene.run, "metrics", "demo");
    assert_code(outcome, 0);
    for (size_t i = 0; i < sizeof frozen / sizeof *frozen; i++)
        cr_expect_not_null(strstr(outcome.out, textf("# TYPE %s\n", frozen[i])), "%s in\n%s",
                           frozen[i], outcome.out);
    cr_expect_eq(lines_with(outcome.out, "# TYPE rpd_"), sizeof frozen / sizeof *frozen,
                 "a new one is missing in the list:\n%s", outcome.out);
    assert_has(outcome.out, "# UNIT rpd_sent_bytes bytes\n");
    assert_has(outcome.out, "# HELP counts_lines Lines 'as they came', and ' too\n");
    assert_has(outcome.out, "counts_jobs_total{service=\"demo\",end=\"bad \\\"quoted\\\"\","
                            "why=\"none\"} 0\n");
    assert_has(outcome.out, "rpd_load_part_seconds{service=\"demo\",part=\"a?part \\\"1\\\"\"} ");
    cr_expect_str_eq(outcome.out + strlen(outcome.out) - 6, "# EOF\n");
    end_scene(&scene);
}

Test(metrics, says_what_it_cannot_do)
{
    struct scene scene = start("");

    assert_code(RPDCTL_ON(scene.run, "metrics", "other"), 1);
    assert_code(RPDCTL_ON(scene.run, "metrics", "Demo"), 64);
    assert_code(RPDCTL_ON(scene.run, "metrics", "--wrong"), 64);
    struct outcome outcome = RPDCTL_ON(scene.run, "metrics", "--json");
    assert_code(outcome, 0);
    assert_has(outcome.out, "\"service\": \"demo\"");
    outcome = RPDCTL_ON(scene.run, "metrics");
    assert_has(outcome.out, "rpd_up{service=\"demo\"} 1\n");
    end_scene(&scene);
}

/* Its loop cannot answer, and need not. */
Test(metrics, of_a_stopped_process_are_read)
{
    struct scene scene = start("");
    const int fd = client(scene.endpoint);
    int64_t best_ns = INT64_MAX;

    ask_ok(fd, "x");
    process_signal(scene.rpd, SIGSTOP);
    for (int i = 0; i < 10; i++) {
        const int64_t began = now_ns();
        const struct outcome outcome = RPDCTL_ON(scene.run, "metrics", "demo");
        if (now_ns() - began < best_ns)
            best_ns = now_ns() - began;
        assert_code(outcome, 0);
        assert_has(outcome.out, "counts_lines_total{service=\"demo\"} 1\n");
    }
    fprintf(stderr, "rpdctl metrics of a stopped service: %.1f ms, with its process\n",
            (double)best_ns / 1e6);
    /* A request to its loop would wait for 0.9 s. */
    cr_expect_lt(best_ns, INT64_C(500000000));
    const struct outcome outcome = RPDCTL_ON(scene.run, "metrics");
    assert_has(outcome.out, "rpd_up{service=\"demo\"} 0\n");
    process_signal(scene.rpd, SIGCONT);
    close(fd);
    end_scene(&scene);
}

/* ---- slow callbacks ---- */

/* The machine may stop rpd for a while in the callback, which then counts as slow: so not all ten
 * need to be fast. */
Test(metrics, one_that_is_nearly_slow_is_not_reported)
{
    struct scene scene = start("");
    const int fd = client(scene.endpoint);

    for (int i = 0; i < 10; i++)
        ask_ok(fd, "sleep 44");
    ask_ok(fd, "x");
    for (const char *at = process_stderr(scene.rpd); (at = strstr(at, "slow: on_data took ")); at++)
        cr_expect_geq(strtol(at + strlen("slow: on_data took "), NULL, 10), 50, "%.80s", at);
    close(fd);
    end_scene(&scene);
}

Test(metrics, a_slow_callback_is_reported)
{
    struct scene scene = start("");
    const int fd = client(scene.endpoint);

    ask_ok(fd, "x");
    cr_expect_eq(lines_with(process_stderr(scene.rpd), ": slow: "), 0, "%s",
                 process_stderr(scene.rpd));
    ask_ok(fd, "sleep 500");
    assert_line(scene.rpd, "rpd: demo: warning: slow: on_data took ");
    const char *line = strstr(process_stderr(scene.rpd), "slow: on_data took ");
    const long took_ms = strtol(line + strlen("slow: on_data took "), NULL, 10);
    cr_expect_geq(took_ms, 490, "%s", line);
    const struct outcome outcome = RPDCTL_ON(scene.run, "status", "demo");
    assert_has(outcome.out, "slow callbacks");
    /* The runtime of ThreadSanitizer shows the innermost frame alone, and that may be the clock. */
    assert_has(line, is_sanitized() ? "it was in " : "keep_the_loop+0x");
    if (!is_sanitized()) {
        assert_has(line, "on_data+0x");
        assert_has(outcome.out, "keep_the_loop");
    }
    close(fd);
    end_scene(&scene);
}
