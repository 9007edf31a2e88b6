/* A plugin that crashes: one line says where, the wait status has the signal, and the next start
 * wins at the first try without help. */
#include "common.h"

#include <criterion/parameterized.h>

#include <sys/resource.h>

static const struct crash {
    const char *name;
    const char *plugin;
    const char *env;    /* or */
    const char *option; /* or */
    const char *say;
    int signal;
    const char *words[6]; /* in the line */
    bool before_announce;
} crashes[] = {
    /* Otherwise each takes eight lines. */
    /* clang-format off */
    {"SIGSEGV in on_data", "misbehave", NULL, NULL, "segv\n", SIGSEGV,
     {"SIGSEGV", "step serve", "service misbehave", "thread loop", "act"}, false},
    {"abort in on_data", "misbehave", NULL, NULL, "abort\n", SIGABRT,
     {"SIGABRT", "service misbehave", "thread loop"}, false},
    {"stack overflow in on_data", "misbehave", NULL, NULL, "overflow\n", SIGSEGV,
     {"SIGSEGV", "service misbehave", "thread loop", "overflow"}, false},
    {"SIGSEGV in serve", "misbehave", NULL, "serve=segv", NULL, SIGSEGV,
     {"SIGSEGV", "step serve", "service misbehave"}, false},
    {"SIGSEGV in load", "misbehave", NULL, "load=segv", NULL, SIGSEGV,
     {"SIGSEGV", "service misbehave", "thread worker", "misbehave.so"}, false},
    {"abort in load", "misbehave", NULL, "load=abort", NULL, SIGABRT,
     {"SIGABRT", "service misbehave", "thread worker"}, false},
    {"stack overflow in load", "misbehave", NULL, "load=overflow", NULL, SIGSEGV,
     {"SIGSEGV", "service misbehave", "thread worker"}, false},
    {"SIGSEGV in a constructor", "misbehave", "TEST_CONSTRUCTOR=segv", NULL, NULL, SIGSEGV,
     {"SIGSEGV", "step code", "service misbehave", "misbehave.so"}, true},
    {"abort in a constructor", "misbehave", "TEST_CONSTRUCTOR=abort", NULL, NULL, SIGABRT,
     {"SIGABRT", "step code", "service misbehave"}, true},
    {"stack overflow in a constructor", "misbehave", "TEST_CONSTRUCTOR=overflow", NULL, NULL,
     SIGSEGV, {"SIGSEGV", "step code", "service misbehave"}, true},
    {"SIGSEGV in bind", "own_bind", "TEST_BIND=segv", NULL, NULL, SIGSEGV,
     {"SIGSEGV", "step bind", "own_bind.so"}, true},
    {"abort in bind", "own_bind", "TEST_BIND=abort", NULL, NULL, SIGABRT,
     {"SIGABRT", "step bind", "own_bind.so"}, true},
    {"stack overflow in bind", "own_bind", "TEST_BIND=overflow", NULL, NULL, SIGSEGV,
     {"SIGSEGV", "step bind", "own_bind.so"}, true},
    /* clang-format on */
};
enum { CRASHES = sizeof crashes / sizeof *crashes };

static struct process *start(const struct crash *crash, const char *dir, bool crashes_now)
{
    const char *argv[12] = {"rpd", test_plugin(crash->plugin), "-l", textf("unix:%s/x.sock", dir)};

    if (crashes_now && crash->option) {
        argv[4] = "-o";
        argv[5] = crash->option;
    }
    return process_start(
        &(struct process_options){.argv = argv,
                                  .runtime_dir = textf("%s/run", dir),
                                  .notify = true,
                                  .env = crashes_now && crash->env ? ARGS(crash->env) : NULL});
}

ParameterizedTestParameters(crash, row)
{
    static size_t at[CRASHES];

    for (size_t i = 0; i < CRASHES; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, CRASHES);
}

ParameterizedTest(size_t *at, crash, row)
{
    const struct crash *crash = &crashes[*at];
    if (strstr(crash->name, "in bind") && strstr(build_path(""), "tsan"))
        cr_skip("handlers run with all signals blocked there, and a sealed thread dies of SIGSYS");
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = start(crash, dir, true);
    int fd = -1;

    if (crash->say) {
        assert_line(rpd, ": ready ");
        fd = connect_to(endpoint);
        cr_assert_geq(fd, 0);
        send_all(fd, crash->say, strlen(crash->say));
    }
    const int status = process_wait_exit(rpd);
    const char *text = process_stderr(rpd);
    cr_expect(status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == crash->signal,
              "%s: status %x:\n%s", crash->name, (unsigned)status, text);
    cr_expect_eq(lines_with(text, "rpd: crash: "), 1, "%s: the crash line is missing:\n%s",
                 crash->name, text);
    const char *line = strstr(text, "rpd: crash: ");
    for (size_t i = 0; line && i < 6 && crash->words[i]; i++) {
        const char *word = strstr(line, crash->words[i]);
        cr_expect(word && word < line + strcspn(line, "\n"), "%s: no \"%s\" in:\n%s", crash->name,
                  crash->words[i], line);
    }
    cr_expect_eq(strstr(text, ": bound ") == NULL, crash->before_announce, "%s:\n%s", crash->name,
                 text);
    if (fd >= 0)
        close(fd);

    /* Its leftovers do not hinder the next start. */
    struct process *next = start(crash, dir, false);
    cr_assert_eq(process_wait_bound(next), 0, "%s: the next start failed:\n%s", crash->name,
                 process_stderr(next));
    assert_text(ask_once(endpoint, "alive"), "alive", next);
    cr_assert_eq(process_code(process_stop(next)), 0, "%s", process_stderr(next));
    cr_expect_str_eq(listing(dir), textf("%s/run/\n", dir), "%s left:\n%s", crash->name,
                     listing(dir));
}

/* The same by SIGKILL, at various moments of a start. */
Test(crash, killed)
{
    for (int round = 0; round < 10; round++) {
        const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
        struct process *rpd = RPD_START(textf("%s/run", dir), "echo.so", "-l", endpoint);
        if (round % 2)
            assert_bound(rpd);
        process_signal(rpd, SIGKILL);
        assert_ends(rpd, 128 + SIGKILL);
        struct process *next = RPD_START(textf("%s/run", dir), "echo.so", "-l", endpoint);
        assert_bound(next);
        assert_text(ask_once(endpoint, "alive"), "alive", next);
        assert_stops(next);
        cr_assert_str_eq(listing(dir), textf("%s/run/\n", dir), "%s", listing(dir));
    }
}

/* exit() on a worker removes our files while the loop still runs: the loop must not make the socket
 * again before the process is gone. */
Test(crash, exit_on_a_worker_leaves_nothing)
{
    for (int round = 0; round < 60; round++) {
        const char *dir = temp_dir_make();
        struct process *rpd = RPD_START(textf("%s/run", dir), test_plugin("misbehave"), "-l",
                                        textf("unix:%s/x.sock", dir), "-o", "load=exit");
        assert_ends(rpd, 70);
        cr_assert_str_eq(listing(dir), textf("%s/run/\n", dir), "round %d left:\n%s\n%s", round,
                         listing(dir), process_stderr(rpd));
        process_free(rpd);
        temp_dir_remove(dir);
    }
}
