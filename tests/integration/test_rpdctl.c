/* rpdctl, as its users see it: describe, new, check. */
#include "rpdctl_run.h"

#include <jansson.h>

static const char *const shipped[] = {"plugins/echo.so", "samples/hello.so", "samples/index.so",
                                      "samples/slow_start.so", "samples/web.so"};
enum { SHIPPED = sizeof shipped / sizeof *shipped };

static json_t *parsed(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);

    cr_assert_not_null(json, "line %d: %s in:\n%s", error.line, error.text, text);
    return json;
}

/* ---- the command line -------------------------------------------------------------- */

Test(rpdctl, says_what_it_is)
{
    const struct outcome help = RPDCTL("--help"), version = RPDCTL("--version");

    assert_code(help, 0);
    assert_has(help.out, "describe");
    assert_has(help.out, "Exit codes");
    assert_code(version, 0);
    cr_assert(strncmp(version.out, "rpdctl ", 7) == 0, "%s", version.out);
    assert_code(RPDCTL("help", "new"), 0);
    assert_code(RPDCTL("describe", "--help"), 0);
}

Test(rpdctl, refuses_a_wrong_command_line)
{
    const struct outcome typo = RPDCTL("descrbe", "x.so");

    assert_code(typo, 64);
    assert_has(typo.err, "did you mean \"describe\"?");
    assert_code(run_in(NULL, ARGS("rpdctl"), NULL), 64);
    assert_code(RPDCTL("help", "nothing"), 64);
    assert_code(RPDCTL("describe"), 64);
    assert_code(RPDCTL("describe", "a", "b"), 64);
    assert_code(RPDCTL("describe", "--jsom", "a"), 64);
    assert_code(RPDCTL("new"), 64);
}

/* ---- describe ------------------------------------------------------------------------ */

Test(rpdctl, describes_what_is_shipped)
{
    for (size_t i = 0; i < SHIPPED; i++) {
        const char *path = build_path(shipped[i]);

        if (access(path, F_OK) != 0)
            continue; /* web: libmicrohttpd may not be installed */
        const struct outcome table = RPDCTL("describe", path);
        const struct outcome json = RPDCTL("describe", path, "--json");

        assert_code(table, 0);
        assert_code(json, 0);
        assert_has(table.out, "callbacks:");
        json_t *object = parsed(json.out);
        const char *name = json_string_value(json_object_get(object, "name"));
        cr_assert(name && strstr(shipped[i], name), "%s", json.out);
        cr_assert(json_is_object(json_object_get(object, "probe")), "%s has no probe", name);
        json_decref(object);
    }
}

Test(rpdctl, describes_options)
{
    const struct outcome table = RPDCTL("describe", build_path("samples/slow_start.so"));

    assert_has(table.out, "load_s  number   5        0 to 86400  how many seconds");
    assert_has(table.out, "state:     it can serve without it");
    assert_has(table.out, "callbacks: load unload on_data on_busy");
    cr_expect_not(strstr(table.out, "idle:"), "%s", table.out);
}

Test(rpdctl, describes_the_idle_exit_and_all_callbacks)
{
    const struct outcome idles = RPDCTL("describe", test_plugin("idles"));
    const struct outcome bodies = RPDCTL("describe", test_plugin("bodies"));

    assert_has(idles.out,
               "idle:      it exits 1 s after the last client, unless idle_exit_s is set");
    assert_has(bodies.out, "callbacks: load on_ready on_data on_close stop claim on_part");
}

Test(rpdctl, describe_survives_the_plugin)
{
    const char *plugin = test_plugin("exits");
    const struct outcome ends = RPDCTL("describe", plugin);
    const struct outcome crashes = run_in(NULL, ARGS("rpdctl", "describe", plugin),
                                          ARGS("TEST_CONSTRUCTOR=abort"));
    const struct outcome hangs = run_in(NULL, ARGS("rpdctl", "describe", plugin),
                                        ARGS("TEST_CONSTRUCTOR=hang"));
    const struct outcome missing = RPDCTL("describe", "./nowhere.so");

    assert_code(ends, 1);
    assert_has(ends.err, "it ended the process while it was loaded");
    assert_code(crashes, 1);
    assert_has(crashes.err, "it crashed while it was loaded (SIGABRT)");
    assert_code(hangs, 1);
    assert_has(hangs.err, "its code was not loaded within 10 s");
    assert_code(missing, 1);
    assert_has(missing.err, "cannot find it");
    assert_code(RPDCTL("describe", test_plugin("undefined_symbol")), 1);
    assert_code(RPDCTL("describe", test_plugin("no_note")), 1);
}

/* ---- new ------------------------------------------------------------------------------- */

static const char *const kinds[] = {"lines", "frames", "jobs", "cpp"};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void compile(const char *project, const char *name, const char *kind)
{
    const bool is_cpp = strcmp(kind, "cpp") == 0;
    const struct outcome built = run_in(
        project,
        ARGS(is_cpp ? "g++" : TEST_CC, is_cpp ? "-std=c++17" : "-std=c11", "-Wall", "-Wextra",
             is_cpp ? "-pedantic" : "-Wstrict-prototypes", "-Wshadow", "-Wconversion", "-Werror",
             "-fPIC", "-shared", "-fvisibility=hidden", is_cpp ? "-fno-gnu-unique" : "-O1",
             "-Wl,-Bsymbolic", "-I" RPD_SOURCE_DIR "/include", "-o", textf("%s.so", name),
             textf(is_cpp ? "%s.cpp" : "%s.c", name), build_path("librpd.so")),
        NULL);

    assert_code(built, 0);
}

static void make_new(const char *dir, const char *kind)
{
    const struct outcome made = run_in(dir, ARGS("rpdctl", "new", "--kind", kind, "demo"), NULL);

    assert_code(made, 0);
    assert_has(made.out, "rpd build/demo.so");
}

/* No word of the templates is left. */
static void check_words(const char *project)
{
    const char *files = listing(project);

    cr_assert_null(strstr(files, "skeleton"), "%s", files);
    cr_assert_null(strchr(files, '@'), "%s", files);
    for (const char *file = files; *file; file += strcspn(file, "\n") + 1) {
        const char *text = file_read(textf("%.*s", (int)strcspn(file, "\n"), file));
        cr_assert_null(strstr(text, "skeleton"), "%s", text);
        /* (bash has "$@", and "${names[@]}") */
        for (const char *at = text; (at = strchr(at, '@')); at++)
            cr_assert(at[1] < 'a' || at[1] > 'z', "%s", at);
    }
}

Test(rpdctl, new_makes_what_builds_and_passes)
{
    for (size_t i = 0; i < KINDS; i++) {
        const char *dir = temp_dir_make(), *project = textf("%s/demo", dir);

        make_new(dir, kinds[i]);
        check_words(project);
        const struct outcome configured = run_in(
            project, ARGS("rpd", "--print-config", "-c", "rpd.json"), NULL);
        assert_code(configured, 0);
        if (!is_sanitized()) {
            compile(project, "demo", kinds[i]);
            const struct outcome tested = run_in(
                project, ARGS("bash", "test.sh", build_path("rpd"), "./demo.so"), NULL);
            assert_code(tested, 0);
            assert_has(tested.out, "passed");
        }
        temp_dir_remove(dir);
    }
}

Test(rpdctl, new_knows_its_kinds)
{
    const char *dir = temp_dir_make();
    const struct outcome wrong = run_in(dir, ARGS("rpdctl", "new", "--kind", "frame", "demo"),
                                        NULL);

    assert_code(wrong, 64);
    assert_has(wrong.err, "did you mean \"frames\"?");
    assert_code(run_in(dir, ARGS("rpdctl", "new", "--kind"), NULL), 64);
    assert_empty(dir);
    temp_dir_remove(dir);
}

/* As typed by a user, with an installed rpd. */
Test(rpdctl, new_makes_what_cmake_builds)
{
    const char *dir = temp_dir_make(), *prefix = textf("%s/usr", dir);
    const char *bin = textf("%s/bin", prefix);

    if (is_sanitized() ||
        access(RPD_SOURCE_DIR "/framework/install/cmake/rpdConfig.cmake.in", F_OK) != 0)
        cr_skip("no package to build against");
    assert_code(run_in(dir, ARGS("cmake", "--install", build_path(""), "--prefix", prefix), NULL),
                0);
    const char *const env[] = {textf("PATH=%s:%s", bin, getenv("PATH")),
                               textf("CMAKE_PREFIX_PATH=%s", prefix), NULL};
    const struct outcome outcome = run_in(
        dir,
        ARGS("bash", "-c",
             "rpdctl new demo && cd demo && cmake -B build && cmake --build build && "
             "ctest --test-dir build --output-on-failure && rpd -t build/demo.so && cd .. && "
             "rpdctl new --kind cpp other && cd other && cmake -B build && cmake --build build && "
             "ctest --test-dir build --output-on-failure"),
        env);
    assert_code(outcome, 0);
    temp_dir_remove(dir);
}

/* CMake reserves targets of these names. */
Test(rpdctl, new_makes_what_cmake_configures)
{
    static const char *const names[] = {"test", "preinstall", "package", "all"};
    const char *dir = temp_dir_make();

    if (access("/usr/bin/cmake", X_OK) != 0 && access("/usr/local/bin/cmake", X_OK) != 0)
        cr_skip("needs cmake");
    const char *script = textf("set -e; cmake --install %s --prefix %s/prefix >/dev/null\n"
                               "export PATH=%s/prefix/bin:$PATH\n"
                               "for name; do rpdctl new $name; cmake -S $name -B $name/build "
                               "-DCMAKE_PREFIX_PATH=%s/prefix -DCMAKE_C_COMPILER=%s; done\n"
                               "cmake --build test/build; ctest --test-dir test/build; "
                               "test -e test/build/test.so",
                               build_path("."), dir, dir, dir, TEST_CC);
    const struct outcome made = run_in(
        dir, ARGS("sh", "-c", script, "sh", names[0], names[1], names[2], names[3]), NULL);
    assert_code(made, 0);
    temp_dir_remove(dir);
}

Test(rpdctl, new_refuses_what_is_there_and_bad_names)
{
    static const char *const bad[] = {"", "9lives", "Demo", "a-b", "a/b", "..", "int", "rpd"};
    const char *dir = temp_dir_make();

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_code(run_in(dir, ARGS("rpdctl", "new", bad[i]), NULL), 64);
    assert_empty(dir);
    write_text(textf("%s/demo", dir), "mine");
    const struct outcome there = run_in(dir, ARGS("rpdctl", "new", "demo"), NULL);
    assert_code(there, 1);
    assert_has(there.err, "File exists");
    cr_assert_str_eq(file_read(textf("%s/demo", dir)), "mine");
    temp_dir_remove(dir);
}

/* ---- check ------------------------------------------------------------------------------- */

/* The verdict of a check, from `--json`; its text in *ret_text. */
static const char *verdict_of(const json_t *report, const char *id, const char **ret_text)
{
    const json_t *checks = json_object_get(report, "checks"), *check;
    size_t at;

    json_array_foreach(checks, at, check) {
        if (strcmp(json_string_value(json_object_get(check, "id")), id) == 0) {
            *ret_text = json_string_value(json_object_get(check, "text"));
            return json_string_value(json_object_get(check, "verdict"));
        }
    }
    *ret_text = "";
    return "missing";
}

/* No check fails, and all of these pass. */
static void assert_good(const char *const *argv)
{
    /* A sanitizer keeps freed memory, which would look like a leak. */
    const char *sanitizer = getenv("ASAN_OPTIONS");
    const char *option = textf("ASAN_OPTIONS=%s:quarantine_size_mb=1", sanitizer ? sanitizer : "");
    const struct outcome outcome = run_in(NULL, argv, ARGS(option));

    assert_code(outcome, 0);
    json_t *report = parsed(outcome.out);
    cr_assert_eq(json_integer_value(json_object_get(report, "failed")), 0, "%s", outcome.out);
    cr_assert_geq(json_integer_value(json_object_get(report, "passed")), 20, "%s", outcome.out);
    json_decref(report);
}

Test(check, passes_echo)
{
    assert_good(ARGS("rpdctl", "check", build_path("plugins/echo.so"), "--quick", "--json"));
}

Test(check, passes_hello)
{
    assert_good(ARGS("rpdctl", "check", build_path("samples/hello.so"), "--quick", "--json", "-o",
                     "greeting=hi"));
}

Test(check, passes_index)
{
    assert_good(ARGS("rpdctl", "check", build_path("samples/index.so"), "--quick", "--json"));
}

Test(check, passes_slow_start)
{
    assert_good(ARGS("rpdctl", "check", build_path("samples/slow_start.so"), "--quick", "--json",
                     "-o", "load_s=0.1"));
}

Test(check, passes_web)
{
    if (access(build_path("samples/web.so"), F_OK) != 0)
        cr_skip("libmicrohttpd is not installed");
    assert_good(ARGS("rpdctl", "check", build_path("samples/web.so"), "--quick", "--json"));
}

/* Its bind refuses what is not on the loopback: a bind that fails may end with 78. */
Test(check, passes_dashboard)
{
    if (access(build_path("plugins/dashboard.so"), F_OK) != 0)
        cr_skip("libmicrohttpd is not installed");
    /* A sanitizer keeps what is freed for a while, which looks like a leak. */
    const struct outcome outcome = RPDCTL(
        "check", build_path("plugins/dashboard.so"), "--quick", "--only", "bind.", "--only",
        is_sanitized() ? "client.probe" : "client.", "--only", "end.drain");
    assert_code(outcome, 0);
    assert_has(outcome.out, "passed   bind.failure");
}

Test(check, passes_what_new_writes)
{
    if (is_sanitized())
        return;
    for (size_t i = 0; i < KINDS; i++) {
        const char *dir = temp_dir_make();

        make_new(dir, kinds[i]);
        compile(textf("%s/demo", dir), "demo", kinds[i]);
        assert_good(ARGS("rpdctl", "check", textf("%s/demo/demo.so", dir), "--quick", "--json"));
        temp_dir_remove(dir);
    }
}

Test(check, takes_options_of_a_configuration)
{
    const char *dir = temp_dir_make(), *config = textf("%s/rpd.json", dir);
    const char *plugin = test_plugin("breaches");

    write_text(config, "{\"services\":[{\"plugin\":\"x/breaches.so\","
                       "\"options\":{\"breach\":\"answers_wrongly\"}}]}");
    const struct outcome outcome = RPDCTL("check", plugin, "--config", config, "--only",
                                          "client.probe");
    assert_code(outcome, 1);
    assert_has(outcome.out, "failed   client.probe");
    assert_has(outcome.out, "answered by \"no hel\" instead of \"hello\\x0a\"");
    assert_code(
        RPDCTL("check", plugin, "--config", config, "--only", "client.probe", "-o", "breach="), 0);
    write_text(config, "{\"services\":[]}");
    assert_code(RPDCTL("check", plugin, "--config", config), 64);
    temp_dir_remove(dir);
}

static const struct breach {
    const char *breach, *environment; /* one of the two */
    const char *plugin;               /* NULL: breaches */
    const char *id, *text;
    const char *busy_text; /* instead of `text`, on a busy machine */
} breaches[] = {
    {.breach = "leaks_descriptors", .id = "client.leaks", .text = "close what belongs"},
    {.breach = "leaks_memory", .id = "client.leaks", .text = "KiB of memory for good"},
    {.breach = "ignores_cancel", .id = "load.cancelled", .text = "rpd_load_cancelled()"},
    {.breach = "blocks_loop", .id = "load.slow", .text = "the loop stands still"},
    {.breach = "dies_of_hang_ups", .id = "client.hangups", .text = "died of SIGABRT"},
    {.breach = "loses_bytes", .id = "client.bytes", .text = "byte by byte"},
    {.breach = "forgets_clients", .id = "client.half", .text = "rpd_conn_keep()"},
    {.breach = "writes_late", .id = "client.apart", .text = "late"},
    {.breach = "answers_wrongly", .id = "client.probe", .text = "instead of"},
    {.breach = "dies_of_emfile", .id = "client.emfile", .text = "died of SIGABRT"},
    {.breach = "answers_one", .id = "answer.many", .text = "take all that the input has"},
    {.breach = "outlives_clients", .id = "answer.abandoned", .text = "rpd_job_cancelled()"},
    {.breach = "keeps_clients", .id = "answer.abandoned", .text = "are still there"},
    {.breach = "writes_on_a_worker", .id = "answer.calls", .text = "called rpd_conn_"},
    {.breach = "leaves_file", .id = "term.ready", .text = "it left left"},
    {.breach = "hangs_at_stop",
     .id = "end.drain",
     .text = "the end was forced",
     .busy_text = "it has not ended within 5000 ms"},
    {.breach = "needs_state", .id = "warmup.serve", .text = "died of SIGABRT"},
    {.environment = "TEST_CONSTRUCTOR=slow",
     .id = "code.constructors",
     .text = "move that to load"},
    {.environment = "TEST_CONSTRUCTOR=abort", .id = "code.constructors", .text = "crashed"},
    {.environment = "TEST_BIND=hang", .plugin = "own_bind", .id = "bind.budget", .text = "bind"},
    {.plugin = "undefined_symbol", .id = "code.symbols", .text = "undefined symbol"},
    {.plugin = "no_note", .id = "file.note", .text = "no rpd note"},
};
enum { BREACHES = sizeof breaches / sizeof *breaches };

static void find_breach(const struct breach *breach)
{
    const char *const env[] = {breach->environment, NULL};
    const char *plugin = test_plugin(breach->plugin ? breach->plugin : "breaches");
    const struct outcome outcome = run_in(
        NULL,
        ARGS("rpdctl", "check", plugin, "--quick", "--json", "--only", breach->id,
             breach->breach ? "-o" : "--quick",
             breach->breach ? textf("breach=%s", breach->breach) : "--quick"),
        breach->environment ? env : NULL);
    const char *text;

    assert_code(outcome, 1);
    json_t *report = parsed(outcome.out);
    const char *verdict = verdict_of(report, breach->id, &text);
    cr_assert_str_eq(verdict, "failed", "%s: %s", breach->id, outcome.out);
    if (!is_sanitized() && /* the sanitizer then reports the crash */
        !(breach->busy_text && strstr(text, breach->busy_text)))
        assert_has(text, breach->text);
    json_decref(report);
}

/* One test for all, because separate tests would start as many rpdctl for the same report. */
Test(check, finds_breaches_of_clients)
{
    for (size_t i = 0; i < BREACHES; i += 2)
        find_breach(&breaches[i]);
}

Test(check, finds_more_breaches)
{
    for (size_t i = 1; i < BREACHES; i += 2)
        find_breach(&breaches[i]);
}

Test(check, finds_nothing_where_nothing_is_broken)
{
    const struct outcome outcome = RPDCTL("check", test_plugin("breaches"), "--quick", "--only",
                                          "client.", "--only", "answer.", "--only", "warmup.serve",
                                          "--only", "load.cancelled", "--only", "term.ready");

    assert_code(outcome, 0);
}

Test(check, finds_a_file_that_others_can_write)
{
    const char *dir = temp_dir_make(), *plugin = textf("%s/echo.so", dir);

    copy_file(build_path("plugins/echo.so"), plugin, 0666);
    const struct outcome outcome = RPDCTL("check", plugin);
    assert_code(outcome, 1);
    assert_has(outcome.out, "failed   file.owner");
    assert_has(outcome.out, "chmod go-w");
    assert_has(outcome.out, " 1 failed, ");
    temp_dir_remove(dir);
}

/* Tags are closed in reverse order; texts are quoted. */
static void assert_well_formed(const char *xml)
{
    const char *names[16];
    size_t depth = 0;

    for (const char *at = strchr(xml, '<'); at; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        cr_assert_not_null(end, "%s", at);
        cr_assert_null(memchr(at + 1, '<', (size_t)(end - at - 1)), "%s", at);
        if (at[1] == '?' || end[-1] == '/')
            continue;
        const char *name = textf("%.*s", (int)strcspn(at + 1, " >/"), at + 1);
        if (at[1] != '/') {
            cr_assert_lt(depth, 16);
            names[depth++] = name;
            continue;
        }
        cr_assert_gt(depth, 0, "%s", at);
        depth--;
        cr_assert(strncmp(names[depth], at + 2, strlen(names[depth])) == 0, "%s", at);
    }
    cr_assert_eq(depth, 0, "%s", xml);
}

Test(check, reports_junit)
{
    const struct outcome outcome = RPDCTL("check", test_plugin("breaches"), "--junit", "--only",
                                          "client.probe", "--only", "file.", "--only",
                                          "bind.sealed", "-o", "breach=answers_wrongly");

    assert_code(outcome, 1);
    assert_well_formed(outcome.out);
    assert_has(outcome.out, "tests=\"5\" failures=\"1\" skipped=\"1\"");
    assert_has(outcome.out, "<failure message=\"the probe is answered: ");
    assert_has(outcome.out, "&quot;no hel&quot;");
}

Test(check, refuses_a_wrong_command_line)
{
    const char *plugin = test_plugin("breaches");

    assert_code(RPDCTL("check"), 64);
    assert_code(RPDCTL("check", plugin, "-o", "brech=x"), 64);
    assert_code(RPDCTL("check", plugin, "-o", "breach"), 64);
    assert_code(RPDCTL("check", plugin, "--timeout", "soon"), 64);
    const struct outcome typo = RPDCTL("check", plugin, "--only", "load.canceled");
    assert_code(typo, 64);
    assert_has(typo.err, "did you mean \"load.cancelled\"?");
}

Test(check, leaves_nothing_when_interrupted)
{
    const char *dir = temp_dir_make();
    struct process *rpdctl = process_start(
        &(struct process_options){.argv = ARGS("rpdctl", "check", build_path("plugins/echo.so")),
                                  .env = ARGS(textf("TMPDIR=%s", dir))});

    for (int i = 0; i < 1000 && !strstr(process_stdout(rpdctl), "client.probe"); i++)
        process_poll(&rpdctl, 1, INT64_C(20000000));
    process_signal(rpdctl, SIGTERM);
    assert_ends(rpdctl, 1);
    assert_line(rpdctl, "it was interrupted");
    assert_empty(dir);
    process_free(rpdctl);
    temp_dir_remove(dir);
}

Test(check, leaves_nothing)
{
    const char *dir = temp_dir_make();
    const struct outcome outcome = run_in(NULL,
                                          ARGS("rpdctl", "check", build_path("plugins/echo.so"),
                                               "--only", "bind.", "--only", "client.emfile"),
                                          ARGS(textf("TMPDIR=%s", dir)));

    assert_code(outcome, 0);
    assert_empty(dir);
    temp_dir_remove(dir);
}
