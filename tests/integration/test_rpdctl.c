/* rpdctl, as its users see it: describe, new, check. */
#include "common.h"

#include <jansson.h>

static const char *const shipped[] = {"plugins/echo.so", "samples/hello.so", "samples/index.so",
                                      "samples/slow_start.so", "samples/web.so"};
enum { SHIPPED = sizeof shipped / sizeof *shipped };

struct outcome {
    int code;
    const char *out, *err;
};

static struct outcome run_in(const char *directory, const char *const *argv, const char *const *env)
{
    struct process *process = process_start(
        &(struct process_options){.argv = argv, .env = env, .directory = directory});
    struct outcome outcome;

    /* (Longer than one deadline: a whole check, on a machine that does much else.) */
    for (int i = 0; i < 5 && process_wait_exit(process) == -1; i++)
        continue;
    outcome.code = process_code(process_wait_exit(process));
    outcome.out = textf("%s", process_stdout(process));
    outcome.err = textf("%s", process_stderr(process));
    process_free(process);
    return outcome;
}

#define RPDCTL(...) run_in(NULL, ARGS("rpdctl", __VA_ARGS__), NULL)

#define assert_code(outcome, wanted)                                                               \
    cr_assert_eq((outcome).code, (wanted), "exit code %d instead of %d:\n%s%s", (outcome).code,    \
                 (wanted), (outcome).out, (outcome).err)

#define assert_has(text, part)                                                                     \
    cr_assert_not_null(strstr((text), (part)), "no \"%s\" in:\n%s", (part), (text))

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
            continue; /* web: libmicrohttpd may be missing */
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

static void compile(const char *project, const char *name)
{
    const struct outcome built = run_in(
        project,
        ARGS(TEST_CC, "-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror",
             "-fPIC", "-shared", "-I" RPD_SOURCE_DIR "/include", "-o", textf("%s.so", name),
             textf("%s.c", name), build_path("librpd.so")),
        NULL);

    assert_code(built, 0);
}

Test(rpdctl, new_makes_what_builds_and_passes)
{
    const char *dir = temp_dir_make(), *project = textf("%s/demo", dir);
    const struct outcome made = run_in(dir, ARGS("rpdctl", "new", "demo"), NULL);

    assert_code(made, 0);
    assert_has(made.out, "rpd build/demo.so");
    const char *files = listing(project);
    cr_assert_null(strstr(files, "skeleton"), "%s", files);
    for (const char *file = files; *file; file += strcspn(file, "\n") + 1) {
        const char *text = file_read(textf("%.*s", (int)strcspn(file, "\n"), file));
        cr_assert_null(strstr(text, "skeleton"), "%s", text);
    }
    if (is_sanitized())
        return;
    compile(project, "demo");
    const struct outcome tested = run_in(
        project, ARGS("bash", "test.sh", build_path("rpd"), "./demo.so"), NULL);
    assert_code(tested, 0);
    assert_has(tested.out, "passed");
    temp_dir_remove(dir);
}

/* As typed, with an installed rpd. */
Test(rpdctl, new_makes_what_cmake_builds)
{
    const char *dir = temp_dir_make(), *prefix = textf("%s/usr", dir);
    const char *bin = textf("%s/bin", prefix);

    if (is_sanitized() || access(RPD_SOURCE_DIR "/cmake/rpdConfig.cmake.in", F_OK) != 0)
        cr_skip("no package to build against");
    assert_code(run_in(dir, ARGS("cmake", "--install", build_path(""), "--prefix", prefix), NULL),
                0);
    const char *const env[] = {textf("PATH=%s:%s", bin, getenv("PATH")),
                               textf("CMAKE_PREFIX_PATH=%s", prefix), NULL};
    const struct outcome outcome = run_in(
        dir,
        ARGS("bash", "-c",
             "rpdctl new demo && cd demo && cmake -B build && cmake --build build && "
             "ctest --test-dir build --output-on-failure && rpd -t build/demo.so"),
        env);
    assert_code(outcome, 0);
    temp_dir_remove(dir);
}

Test(rpdctl, new_refuses_what_is_there_and_bad_names)
{
    static const char *const bad[] = {"", "9lives", "Demo", "a-b", "a/b", "..", "int", "test"};
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
