/* Generations: while clients connect all the time, one runner after the other takes over. No client
 * may notice: none is refused, reset or left without its answer, and none waits long.
 *
 * RPD_TEST_LONG=1 makes 1,000 generations of each sample in place of 50. */
#include "../integration/rpdctl_run.h"

#include <criterion/parameterized.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { THREADS = 3, PAUSE_US = 500 };

static bool is_long(void)
{
    return getenv("RPD_TEST_LONG") != NULL;
}

/* ---- the daemon ---------------------------------------------------------------------------- */

struct scene {
    const char *dir, *run, *config, *endpoint;
    const char *plugin;
    struct process *rpd;
    int control;
};

static void write_config(const struct scene *scene, const char *top, const char *service)
{
    const char *next = textf("%s.next", scene->config);

    write_text(next, textf("{\"keeper\":true,%s\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\","
                           "\"listen\":[\"%s\"]%s}]}",
                           top, scene->plugin, scene->endpoint, service));
    cr_assert_eq(rename(next, scene->config), 0);
}

static void await_ready(const struct scene *scene)
{
    assert_code(RPDCTL_ON(scene->run, "wait", "demo", "--ready", "--timeout", "60"), 0);
}

static struct scene begin(const char *plugin, const char *top, const char *service)
{
    const char *dir = temp_dir_make();
    struct scene scene = {.dir = dir,
                          .run = make_run(dir),
                          .config = textf("%s/rpd.json", dir),
                          .endpoint = textf("unix:%s/x.sock", dir),
                          .plugin = plugin};

    write_config(&scene, top, service);
    scene.rpd = RPD_START(scene.run, "-c", scene.config);
    cr_assert_eq(process_wait_bound(scene.rpd), 0, "%s", process_stderr(scene.rpd));
    await_ready(&scene);
    scene.control = client(textf("unix:%s/demo.control", scene.run));
    return scene;
}

static void end(struct scene *scene)
{
    close(scene->control);
    cr_assert_eq(process_code(process_stop(scene->rpd)), 0, "%s", process_stderr(scene->rpd));
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

/* The deadline of a read is the test's own: a load may take long on a busy machine. */
static const char *ask_reload(const struct scene *scene, const char *more)
{
    const char *answer = ask(scene->control, textf("{\"v\":1,\"id\":1,\"do\":\"reload\"%s}", more));

    cr_assert_not_null(answer, "no answer\n%s", process_stderr(scene->rpd));
    return answer;
}

static void renew(const struct scene *scene)
{
    const char *answer = ask_reload(scene, ",\"fresh\":true,\"force\":true");

    cr_assert_not_null(strstr(answer, "\"ok\":true"), "%s\n%s", answer, process_stderr(scene->rpd));
}

static struct rpd_state_page page_of(const struct scene *scene)
{
    const int run = open(scene->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rpd_state_page page;

    if (state_view_read(run, "demo", &page) < 0)
        memset(&page, 0, sizeof page);
    close(run);
    return page;
}

static unsigned generation_of(const struct scene *scene)
{
    return page_of(scene).generation;
}

#define wait_until(scene, condition)                                                               \
    do {                                                                                           \
        const int64_t until_ = now_ns() + INT64_C(60000000000);                                    \
        while (!(condition) && now_ns() < until_)                                                  \
            poll(NULL, 0, 2);                                                                      \
        cr_assert((condition), "%s\n%s", #condition, process_stderr((scene)->rpd));                \
    } while (0)

static size_t children_of(pid_t pid, pid_t *ret, size_t room)
{
    const char *text = file_read(textf("/proc/%d/task/%d/children", (int)pid, (int)pid));
    size_t count = 0;

    for (char *end = NULL; text && *text && count < room; text = end + strspn(end, " ")) {
        ret[count] = (pid_t)strtol(text, &end, 10);
        if (end == text)
            break;
        count++;
    }
    return count;
}

static size_t runners_of(const struct scene *scene)
{
    pid_t all[64];

    return children_of(process_pid(scene->rpd), all, 64);
}

/* ---- clients --------------------------------------------------------------------------------- */

struct crowd {
    const char *endpoint;
    atomic_bool stop;
    atomic_ulong answered, refused, unanswered, reset;
    atomic_ulong longest_us;
    pthread_t threads[THREADS];
};

static void note_longest(struct crowd *crowd, int64_t since_ns)
{
    const unsigned long us = (unsigned long)((now_ns() - since_ns) / 1000);
    unsigned long before = atomic_load(&crowd->longest_us);

    while (us > before && !atomic_compare_exchange_weak(&crowd->longest_us, &before, us))
        continue;
}

static void be_client(struct crowd *crowd)
{
    const int64_t since_ns = now_ns();
    const int fd = connect_to(crowd->endpoint);
    char answer[512];
    ssize_t got;

    if (fd < 0) {
        atomic_fetch_add(&crowd->refused, 1);
        return;
    }
    got = send_all(fd, "l\n", 2) == 0 ? read(fd, answer, sizeof answer) : -1;
    if (got > 0)
        atomic_fetch_add(&crowd->answered, 1);
    else
        atomic_fetch_add(got == 0 ? &crowd->unanswered : &crowd->reset, 1);
    note_longest(crowd, since_ns);
    close(fd);
}

static void *be_clients(void *arg)
{
    struct crowd *crowd = arg;

    while (!atomic_load(&crowd->stop)) {
        be_client(crowd);
        usleep(PAUSE_US);
    }
    return NULL;
}

static void send_crowd(struct crowd *crowd, const struct scene *scene)
{
    *crowd = (struct crowd){.endpoint = scene->endpoint};
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&crowd->threads[i], NULL, be_clients, crowd), 0);
}

static void await_crowd(struct crowd *crowd)
{
    atomic_store(&crowd->stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(crowd->threads[i], NULL);
}

static void assert_unharmed(const struct crowd *crowd, const struct scene *scene)
{
    cr_assert(crowd->refused + crowd->unanswered + crowd->reset == 0,
              "%lu answered, %lu refused, %lu unanswered, %lu reset\n%s", crowd->answered,
              crowd->refused, crowd->unanswered, crowd->reset, process_stderr(scene->rpd));
    cr_assert_gt(crowd->answered, 0);
}

/* ---- what is left behind ------------------------------------------------------------------------
 */

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    for (; dir && readdir(dir);)
        count++;
    if (dir)
        closedir(dir);
    return count;
}

struct belongings {
    size_t descriptors, mappings;
};

static struct belongings belongings_of(pid_t pid)
{
    return (struct belongings){count_entries(textf("/proc/%d/fd", (int)pid)),
                               lines_with(file_read(textf("/proc/%d/maps", (int)pid)), "-")};
}

/* ---- one after the other
 * ------------------------------------------------------------------------- */

static const struct {
    const char *plugin, *service;
} samples[] = {
    {"samples/hello.so", ""},
    {"samples/index.so", ",\"options\":{\"directory\":\"/usr/lib\"}"},
    {"samples/slow_start.so", ",\"options\":{\"load_s\":0.05}"},
};

ParameterizedTestParameters(generations, one_after_the_other)
{
    static size_t all[] = {0, 1, 2};

    return cr_make_param_array(size_t, all, sizeof all / sizeof *all);
}

ParameterizedTest(const size_t *sample, generations, one_after_the_other, .timeout = 1800)
{
    const unsigned count = is_long() ? 1000 : 50;
    struct scene scene = begin(build_path(samples[*sample].plugin), "\"trial_s\":0,",
                               samples[*sample].service);
    struct belongings before, after;
    struct crowd crowd;
    unsigned long at_rest_us;
    const int64_t since_ns = now_ns();

    renew(&scene); /* what is loaded once, and stays, is there then */
    wait_until(&scene, runners_of(&scene) == 1);
    before = belongings_of(process_pid(scene.rpd));
    send_crowd(&crowd, &scene);
    poll(NULL, 0, 300);
    at_rest_us = atomic_load(&crowd.longest_us);
    for (unsigned i = 0; i < count; i++)
        renew(&scene);
    await_crowd(&crowd);
    cr_log_info(
        "%s: %u generations in %.1f s: %lu answered, %lu refused, %lu unanswered, %lu reset; "
        "longest wait %.1f ms, %.1f ms at rest",
        samples[*sample].plugin, count, (double)(now_ns() - since_ns) / 1e9, crowd.answered,
        crowd.refused, crowd.unanswered, crowd.reset, (double)crowd.longest_us / 1e3,
        (double)at_rest_us / 1e3);
    assert_unharmed(&crowd, &scene);
    cr_assert_eq(generation_of(&scene), count + 2);
    wait_until(&scene, runners_of(&scene) == 1);
    wait_until(&scene,
               (after = belongings_of(process_pid(scene.rpd))).descriptors <= before.descriptors);
    cr_assert_leq(after.mappings, before.mappings + 2, "%zu mappings, %zu before", after.mappings,
                  before.mappings);
    end(&scene);
}

/* ---- reloads that fail -------------------------------------------------------------------------
 */

static const char *faulty(void)
{
    return test_plugin("faulty");
}

/* What is wrong with the next configuration. NULL: as it is. */
struct bad {
    const char *name;
    const char *document; /* all of it */
    const char *plugin;   /* of build, or of tests/plugins: "test:NAME" */
    const char *top, *service;
    int code;
    const char *line;
    bool is_slow; /* in the long form alone */
};

static const struct bad bads[] = {
    {.name = "syntax", .document = "{\"services\":[}", .code = 78, .line = "this is not JSON"},
    {.name = "unknown key", .top = "\"wrkers\":2,", .code = 78, .line = "$.wrkers: unknown key"},
    {.name = "missing plugin", .plugin = "samples/none.so", .code = 66, .line = "inspect: "},
    {.name = "not a plugin", .plugin = "rpdctl", .code = 65, .line = "inspect: "},
    {.name = "older ABI", .plugin = "test:abi_old", .code = 65, .line = "want ABI 1, got ABI 0"},
    {.name = "wrong option",
     .service = ",\"options\":{\"laod\":\"none\"}",
     .code = 78,
     .line = "$.services[0].options.laod: "},
    {.name = "a load that fails",
     .service = ",\"options\":{\"load\":\"read\",\"path\":\"/no/file\"}",
     .code = 69,
     .line = "load: "},
    {.name = "a crash in load",
     .service = ",\"options\":{\"load\":\"segv\"}",
     .code = 70,
     .line = "was ended by signal 11"},
    {.name = "an exit in load",
     .service = ",\"options\":{\"load\":\"exit\"}",
     .code = 70,
     .line = "exit("},
    {.name = "a load that stands still",
     .service = ",\"no_progress_s\":1,\"options\":{\"load\":\"sleep\"}",
     .code = 69,
     .line = "no progress",
     .is_slow = true},
    {.name = "a constructor that takes long",
     .plugin = "test:slow_constructor",
     .top = "\"code_deadline_ms\":200,",
     .code = 76,
     .line = "code_deadline_ms"},
    {.name = "needs a restart",
     .top = "\"notify\":\"ready\",",
     .code = 78,
     .line = "reload: notify: "},
};

static void write_bad(struct scene *scene, const struct bad *bad)
{
    const char *plugin = scene->plugin;

    if (bad->document) {
        write_text(scene->config, bad->document);
        return;
    }
    if (bad->plugin)
        scene->plugin = strncmp(bad->plugin, "test:", 5) == 0 ? test_plugin(bad->plugin + 5)
                                                              : build_path(bad->plugin);
    write_config(scene, textf("\"drain_s\":1,%s", bad->top ? bad->top : ""),
                 bad->service ? bad->service : "");
    scene->plugin = plugin;
}

/* Each caller gets its line and its code, and the generation that serves has not noticed. In the
 * long form each 42 times. */
Test(generations, bad_reloads, .timeout = 1800)
{
    const size_t rounds = is_long() ? 42 : 1;
    struct scene scene = begin(faulty(), "\"drain_s\":1,\"trial_s\":0,", "");
    struct crowd crowd;

    send_crowd(&crowd, &scene);
    for (size_t i = 0; i < rounds * (sizeof bads / sizeof *bads); i++) {
        const struct bad *bad = &bads[i % (sizeof bads / sizeof *bads)];
        struct outcome outcome;

        if (bad->is_slow && !is_long())
            continue;
        write_bad(&scene, bad);
        outcome = RPDCTL_ON(scene.run, "reload", "demo");
        cr_expect_eq(outcome.code, bad->code, "%s: %d\n%s%s", bad->name, outcome.code, outcome.out,
                     outcome.err);
        cr_expect(strncmp(outcome.err, "rpd: ", 5) == 0 && strstr(outcome.err, bad->line),
                  "%s:\n%s", bad->name, outcome.err);
        cr_expect_eq(generation_of(&scene), 1, "%s", bad->name);
        wait_until(&scene, runners_of(&scene) == 1);
    }
    await_crowd(&crowd);
    assert_unharmed(&crowd, &scene);
    /* And a good one is still possible. */
    write_config(&scene, "\"drain_s\":1,\"trial_s\":0,\"workers\":2,", "");
    assert_code(RPDCTL_ON(scene.run, "reload", "demo"), 0);
    end(&scene);
}

/* ---- killed at each step
 * --------------------------------------------------------------------------- */

enum { NOBODY, KEEPER, OLD, NEW };

/* A reload, and what happens to it. */
struct row {
    const char *name;
    enum { LOADING, CEASING, TRIAL, DRAINING } when;
    int who;
    int signal;
    bool stops;      /* SIGTERM to the keeper, in place of a signal to another */
    bool again;      /* a second reload */
    bool cuts;       /* a runner that serves dies: clients that it has admitted are cut */
    unsigned serves; /* the generation, afterwards; 0: none */
};

static const struct row rows[] = {
    {"nothing", LOADING, NOBODY, 0, .serves = 2},
    {"the new one, while it loads", LOADING, NEW, SIGKILL, .serves = 1},
    {"the new one crashes, while it loads", LOADING, NEW, SIGSEGV, .serves = 1},
    {"the old one, while the new one loads", LOADING, OLD, SIGKILL, .cuts = true, .serves = 2},
    {"the keeper, while the new one loads", LOADING, KEEPER, SIGKILL, .cuts = true},
    {"a stop, while the new one loads", LOADING, KEEPER, 0, .stops = true},
    {"a second reload, while the new one loads", LOADING, NOBODY, 0, .again = true, .serves = 3},
    {"the old one does not stop accepting", CEASING, OLD, SIGSTOP, .cuts = true, .serves = 2},
    {"the new one, in the trial", TRIAL, NEW, SIGKILL, .cuts = true, .serves = 1},
    {"the new one crashes, in the trial", TRIAL, NEW, SIGSEGV, .cuts = true, .serves = 1},
    {"the old one, in the trial", TRIAL, OLD, SIGKILL, .cuts = true, .serves = 2},
    {"the keeper, in the trial", TRIAL, KEEPER, SIGKILL, .cuts = true},
    {"a stop, in the trial", TRIAL, KEEPER, 0, .stops = true},
    {"a second reload, in the trial", TRIAL, NOBODY, 0, .again = true, .serves = 3},
    {"the new one, while the old one drains", DRAINING, NEW, SIGKILL, .cuts = true, .serves = 2},
    {"the old one, while it drains", DRAINING, OLD, SIGKILL, .cuts = true, .serves = 3},
    {"a stop, while the old one drains", DRAINING, KEEPER, 0, .stops = true},
};

static void open_gate(const struct scene *scene)
{
    write_text(textf("%s/gate", scene->dir), "");
}

static struct process *begin_reload(struct scene *scene, unsigned workers)
{
    write_config(scene,
                 textf("\"workers\":%u,\"drain_s\":5,\"stall_s\":1,\"trial_s\":60,", workers),
                 textf(",\"options\":{\"gate\":\"%s/gate\"}", scene->dir));
    return RPDCTL_START(scene->run, "reload", "demo", "--force");
}

static void signal_one(const struct scene *scene, const struct row *row, pid_t old, pid_t new)
{
    const pid_t keeper = process_pid(scene->rpd);

    if (row->stops)
        kill(keeper, SIGTERM);
    else if (row->who != NOBODY)
        kill(row->who == KEEPER ? keeper : row->who == OLD ? old : new, row->signal);
}

/* A client that stays keeps the old generation draining. */
static int make_old_drain(struct scene *scene)
{
    const int stays = client(scene->endpoint);

    cr_assert_str_eq(ask(stays, "l"), "l");
    tell(stays, "wait none"); /* a job that waits for a file that is never there */
    return stays;
}

static void assert_over(const struct scene *scene, const struct row *row)
{
    const int code = process_code(process_wait_exit(scene->rpd));

    cr_assert_eq(code, row->stops ? 0 : 128 + SIGKILL, "%s: %d\n%s", row->name, code,
                 process_stderr(scene->rpd));
}

ParameterizedTestParameters(generations, killed_at_each_step)
{
    static size_t all[sizeof rows / sizeof *rows];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        all[i] = i;
    return cr_make_param_array(size_t, all, sizeof rows / sizeof *rows);
}

ParameterizedTest(const size_t *number, generations, killed_at_each_step, .timeout = 300)
{
    const struct row *row = &rows[*number];
    struct scene scene = begin(faulty(), "\"drain_s\":5,\"stall_s\":1,\"trial_s\":60,",
                               ",\"options\":{\"go\":\"/no/file\"}");
    pid_t runners[4];
    struct process *caller, *second = NULL;
    struct crowd crowd;
    pid_t old, new;
    int stays = -1;

    cr_assert_eq(children_of(process_pid(scene.rpd), runners, 4), 1);
    old = runners[0];
    if (row->when == DRAINING)
        stays = make_old_drain(&scene);
    send_crowd(&crowd, &scene);
    caller = begin_reload(&scene, 2);
    wait_until(&scene, children_of(process_pid(scene.rpd), runners, 4) == 2);
    new = runners[1];
    if (row->when == CEASING)
        signal_one(&scene, row, old, new);
    if (row->when != LOADING || row->who == NOBODY)
        open_gate(&scene);
    if (row->when == TRIAL || row->when == DRAINING)
        wait_until(&scene, generation_of(&scene) == 2);
    if (row->when == DRAINING) { /* the next reload ends the trial */
        second = begin_reload(&scene, 3);
        wait_until(&scene, generation_of(&scene) == 3);
        cr_assert_eq(children_of(process_pid(scene.rpd), runners, 4), 3);
        new = runners[2];
    }
    if (row->when != CEASING)
        signal_one(&scene, row, old, new);
    if (row->again)
        second = begin_reload(&scene, 3);
    open_gate(&scene);
    if (row->serves > 0) {
        wait_until(&scene, generation_of(&scene) == row->serves);
        await_ready(&scene);
        await_crowd(&crowd);
        cr_assert(crowd.refused == 0 && (row->cuts || crowd.unanswered + crowd.reset == 0),
                  "%s: %lu answered, %lu refused, %lu unanswered, %lu reset\n%s", row->name,
                  crowd.answered, crowd.refused, crowd.unanswered, crowd.reset,
                  process_stderr(scene.rpd));
        close(stays);
        end(&scene);
    } else {
        assert_over(&scene, row);
        await_crowd(&crowd);
        close(stays);
        close(scene.control);
        process_free(scene.rpd);
        /* Nothing that is left is in the way of the next start. */
        scene.rpd = RPD_START(scene.run, "-c", scene.config);
        cr_assert_eq(process_wait_bound(scene.rpd), 0, "%s", process_stderr(scene.rpd));
        scene.control = client(textf("unix:%s/demo.control", scene.run));
        end(&scene);
    }
    process_free(caller);
    process_free(second);
}

/* ---- what is seen of it
 * ------------------------------------------------------------------------------ */

/* While the next generation loads, when it serves, and when it was rolled back. */
Test(generations, what_is_seen, .timeout = 300)
{
    struct scene scene = begin(faulty(), "\"drain_s\":1,\"trial_s\":60,", "");
    struct process *waits = RPDCTL_START(scene.run, "wait", "demo", "--generation", "2");
    struct process *caller;
    struct outcome outcome;
    pid_t runners[4];

    caller = begin_reload(&scene, 2);
    wait_until(&scene, children_of(process_pid(scene.rpd), runners, 4) == 2);
    wait_until(&scene, access(textf("%s/demo.next.state", scene.run), F_OK) == 0);
    wait_until(&scene, strstr(RPDCTL_ON(scene.run, "status", "demo").out,
                              textf("next:      %d, generation 2, loads", (int)runners[1])));
    assert_code(RPDCTL_ON(scene.run, "wait", "demo", "--generation", "2", "--timeout", "0"), 1);
    open_gate(&scene);
    outcome = outcome_of(caller);
    assert_code(outcome, 0);
    assert_has(outcome.out, "workers: 4 -> 2 (generation)\n");
    assert_has(outcome.out, "demo: generation 2 serves\n");
    assert_code(outcome_of(waits), 0);
    cr_assert_eq(access(textf("%s/demo.next.state", scene.run), F_OK), -1);
    outcome = RPDCTL_ON(scene.run, "status", "demo");
    assert_has(outcome.out, textf("runner:    %d, generation 2\n", (int)runners[1]));
    assert_has_not(outcome.out, "next:");
    /* It crashes: the one before serves again, with its own configuration. */
    kill(runners[1], SIGSEGV);
    wait_until(&scene, generation_of(&scene) == 1);
    await_ready(&scene);
    outcome = RPDCTL_ON(scene.run, "status", "demo");
    assert_has(outcome.out, textf("runner:    %d, generation 1\n", (int)runners[0]));
    assert_has(outcome.out, "reload: rolled back: ");
    outcome = RPDCTL_ON(scene.run, "reload", "demo", "--check");
    assert_has(outcome.out, "workers: 4 -> 2 (generation)\n");
    assert_has(file_read(textf("%s/demo.history", scene.run)), " generation 2 serves\n");
    assert_has(file_read(textf("%s/demo.history", scene.run)),
               " generation 1 serves again: rolled back\n");
    end(&scene);
}

Test(generations, ensure_current, .timeout = 300)
{
    struct scene scene = begin(faulty(), "\"trial_s\":0,", "");
    struct outcome outcome;

    write_config(&scene, "\"trial_s\":0,\"workers\":2,", "");
    outcome = RPDCTL_ON(scene.run, "ensure", scene.config);
    assert_code(outcome, 0);
    assert_has(outcome.err, "runs with another configuration than this");
    cr_assert_eq(generation_of(&scene), 1);
    outcome = RPDCTL_ON(scene.run, "ensure", "--current", scene.config);
    assert_code(outcome, 0);
    cr_assert_str_empty(outcome.err, "%s", outcome.err);
    cr_assert_str_eq(outcome.out, textf("%s\n", scene.endpoint));
    cr_assert_eq(generation_of(&scene), 2);
    assert_code(RPDCTL_ON(scene.run, "ensure", "--current", scene.config), 0);
    cr_assert_eq(generation_of(&scene), 2);
    write_config(&scene, "\"trial_s\":0,", ",\"options\":{\"load\":\"segv\"}");
    outcome = RPDCTL_ON(scene.run, "ensure", "--current", scene.config);
    assert_code(outcome, 70);
    assert_has(outcome.err, "the one before serves on");
    cr_assert_eq(generation_of(&scene), 2);
    end(&scene);
}

/* Whatever has become of the file: a runner that follows a crash has its generation's. */
Test(generations, keep_their_configuration, .timeout = 300)
{
    struct scene scene = begin(test_plugin("tunes"), "", ",\"options\":{\"word\":\"one\"}");
    pid_t runners[4];
    int fd;

    write_text(scene.config, "{");
    cr_assert_eq(children_of(process_pid(scene.rpd), runners, 4), 1);
    kill(runners[0], SIGKILL);
    fd = client(scene.endpoint);
    cr_assert_str_eq(ask(fd, "?"), "one one 0");
    close(fd);
    /* And after a live change, the changed one. */
    write_config(&scene, "", ",\"options\":{\"word\":\"two\"}");
    assert_code(RPDCTL_ON(scene.run, "reload", "demo"), 0);
    cr_assert_eq(unlink(scene.config), 0);
    cr_assert_eq(children_of(process_pid(scene.rpd), runners, 4), 1);
    kill(runners[0], SIGKILL);
    wait_until(&scene, page_of(&scene).restarts == 2);
    fd = client(scene.endpoint);
    cr_assert_str_eq(ask(fd, "?"), "two two 0");
    close(fd);
    end(&scene);
}

/* The idle exit waits for the trial, and comes after it. */
Test(generations, an_idle_exit_comes_after_the_trial, .timeout = 300)
{
    struct scene scene = begin(build_path("samples/hello.so"), "\"trial_s\":2,",
                               ",\"idle_exit_s\":1");

    renew(&scene);
    close(scene.control);
    cr_assert_eq(process_code(process_wait_exit(scene.rpd)), 0, "%s", process_stderr(scene.rpd));
    assert_has(process_stderr(scene.rpd), "no client came for idle_exit_s");
    process_free(scene.rpd);
    temp_dir_remove(scene.dir);
}
