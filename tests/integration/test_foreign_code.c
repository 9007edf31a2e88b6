/* Code in a plugin that was not written for rpd: functions whose names clash with others, C++,
 * fault handlers, interpreters. */
#include "rpdctl_run.h"

/* ---- names --------------------------------------------------------------------------- */

static struct process *start(const char *dir, const char *plugin)
{
    struct process *rpd = RPD_START(textf("%s/run", dir), plugin, "-l", textf("unix:%s/s", dir));

    assert_bound(rpd);
    return rpd;
}

static const char *ask_it(const char *dir, const char *line)
{
    return ask_once(textf("unix:%s/s", dir), line);
}

/* The plugin calls its own functions, whatever rpd has loaded for itself. libc's functions come
 * first, unless the plugin is linked as rpd_add_plugin() does it. */
Test(foreign_code, a_plugins_own_names_are_its_own)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, test_plugin("own_names"));

    assert_text(ask_it(dir, "?"), "libevent 42, jansson 42, libc 63", rpd);
    assert_stops(rpd);
    rpd = start(dir, test_plugin("own_names_apart"));
    assert_text(ask_it(dir, "?"), "libevent 42, jansson 42, libc 42", rpd);
    assert_text(ask_it(dir, "rpd"), "rpd 42", rpd);
    assert_stops(rpd);
    cr_assert_eq(lines_with(process_stderr(rpd), "warning"), 0, "%s", process_stderr(rpd));
    temp_dir_remove(dir);
}

/* Two such plugins in one process, and one that calls the real libevent. */
Test(foreign_code, one_plugins_names_are_not_anothers)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);

    write_text(config,
               textf("{\"services\":["
                     "{\"name\":\"own\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/own\"]},"
                     "{\"name\":\"lacks\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/lacks\"]},"
                     "{\"name\":\"apart\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/apart\"]}]}",
                     test_plugin("own_names"), dir, test_plugin("borrows"), dir,
                     test_plugin("own_names_apart"), dir));
    struct process *rpd = RPD_START(textf("%s/run", dir), "-c", config);
    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/own", dir), "?"), "libevent 42, jansson 42, libc 63", rpd);
    assert_text(ask_once(textf("unix:%s/lacks", dir), "it"), "it later", rpd);
    assert_text(ask_once(textf("unix:%s/apart", dir), "?"), "libevent 42, jansson 42, libc 42",
                rpd);
    assert_stops(rpd);
    temp_dir_remove(dir);
}

Test(foreign_code, a_library_that_is_not_linked_is_lent)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, test_plugin("borrows"));

    assert_text(ask_it(dir, "it"), "it later", rpd);
    assert_stops(rpd);
    cr_assert_eq(lines_with(process_stderr(rpd), "borrows.so: it calls libevent 2.1 and is not "
                                                 "linked with it"),
                 1, "%s", process_stderr(rpd));
    rpd = start(dir, test_plugin("talk")); /* the plugin is linked with it */
    assert_stops(rpd);
    cr_assert_eq(lines_with(process_stderr(rpd), "not linked"), 0, "%s", process_stderr(rpd));
    temp_dir_remove(dir);
}

Test(foreign_code, describe_and_check_name_what_is_taken)
{
    const struct outcome taken = RPDCTL("describe", test_plugin("own_names"));
    const struct outcome own = RPDCTL("describe", test_plugin("own_names_apart"));
    const struct outcome lacks = RPDCTL("describe", test_plugin("borrows"));

    assert_code(taken, 0);
    assert_has(taken.out, "names:     others' are used instead of its own: a64l (libc.so.6)");
    assert_has(taken.out, "rpd_main (rpdctl)");
    assert_has_not(taken.out, "event_new");
    assert_code(own, 0);
    assert_has_not(own.out, "names:");
    assert_has_not(own.out, "lacks:");
    assert_code(lacks, 0);
    assert_has(lacks.out, "lacks:     it calls libevent 2.1 and is not linked with it");
    const struct outcome bad = RPDCTL("check", test_plugin("own_names"), "--only", "code.names");
    assert_code(bad, 1);
    assert_has(bad.out, "it calls a64l of libc.so.6 instead of its own");
    assert_code(RPDCTL("check", test_plugin("own_names_apart"), "--only", "code.names"), 0);
    assert_code(RPDCTL("check", test_plugin("borrows"), "--only", "code.names"), 1);
}

/* ---- C++ ------------------------------------------------------------------------------- */

static const char *const cplusplus =
    "#include <rpd/backend.h>\n"
    "template <class T> struct counter { static int &value() { static int v = 0; return v; } };\n"
    "static void on_data(rpd_conn *conn, void *)\n"
    "{\n"
    "    rpd_span line;\n"
    "    while (rpd_conn_read_line(conn, &line))\n"
    "        rpd_conn_printf(conn, \"%d\\n\", ++counter<int>::value());\n"
    "}\n"
    "RPD_BACKEND(counts, .on_data = on_data);\n";

static const char *build_cplusplus(const char *dir, const char *name, const char *more)
{
    const char *plugin = textf("%s/%s.so", dir, name);

    write_text(textf("%s/counts.cc", dir), cplusplus);
    const struct outcome built = run_in(dir,
                                        ARGS("c++", "-std=c++20", "-O1", "-shared", "-fPIC",
                                             "-I" RPD_SOURCE_DIR "/include", more, "-o", plugin,
                                             "counts.cc", build_path("librpd.so")),
                                        NULL);
    assert_code(built, 0);
    return plugin;
}

/* The counts of two plugins, each asked twice. */
static const char *count_in_two(const char *dir, const char *first, const char *second)
{
    const char *config = textf("%s/c.json", dir), *result = "";

    write_text(config, textf("{\"services\":["
                             "{\"name\":\"a\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/a\"]},"
                             "{\"name\":\"b\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/b\"]}]}",
                             first, dir, second, dir));
    struct process *rpd = RPD_START(textf("%s/run", dir), "-c", config);
    assert_bound(rpd);
    for (int i = 0; i < 4; i++) {
        const char *answer = ask_once(textf("unix:%s/%s", dir, i % 2 ? "b" : "a"), "?");
        result = textf("%s%s ", result, answer ? answer : "none");
    }
    assert_stops(rpd);
    process_free(rpd);
    return result;
}

Test(foreign_code, statics_that_plugins_share_are_named)
{
    const char *dir = temp_dir_make();

    if (is_sanitized() || access("/usr/bin/g++", X_OK) != 0)
        cr_skip("needs g++, and a plain build");
    const char *a = build_cplusplus(dir, "a", "-fgnu-unique");
    const char *b = build_cplusplus(dir, "b", "-fgnu-unique");
    const char *own = build_cplusplus(dir, "own", "-fno-gnu-unique");
    const char *own_too = build_cplusplus(dir, "own_too", "-fvisibility=hidden");
    const struct outcome shared = RPDCTL("describe", a);
    assert_has(shared.out, "shared:    one for all plugins that have it: ");
    assert_has(shared.out, "compile with -fno-gnu-unique");
    assert_has_not(RPDCTL("describe", own).out, "shared:");
    assert_has_not(RPDCTL("describe", own_too).out, "shared:");
    const struct outcome checked = RPDCTL("check", a, "--only", "code.names");
    assert_code(checked, 0);
    assert_has(checked.out, "it shares ");
    cr_expect_str_eq(count_in_two(dir, a, b), "1 2 3 4 ");
    cr_expect_str_eq(count_in_two(dir, own, own_too), "1 1 2 2 ");
    temp_dir_remove(dir);
}

/* ---- fault handlers ----------------------------------------------------------------------- */

Test(foreign_code, a_fault_in_a_runtimes_own_code_is_its_own)
{
    const char *dir = temp_dir_make();

    if (is_sanitized())
        cr_skip("a sanitizer has something to say of a fault");
    struct process *rpd = start(dir, test_plugin("own_faults"));
    cr_assert_eq(lines_with(process_stderr(rpd),
                            "the handler of SIGSEGV (stays for faults in its own code)"),
                 1, "%s", process_stderr(rpd));
    for (int i = 0; i < 3; i++) {
        assert_text(ask_it(dir, "step"), "step: 7", rpd);
        assert_text(ask_it(dir, "jump"), "jump: 8", rpd);
    }
    assert_stops(rpd);
    temp_dir_remove(dir);
}

Test(foreign_code, a_fault_that_a_runtime_leaves_is_a_crash)
{
    static const char *const ways[] = {"pass", "raise", "again", "nothing", "libc", "libcjump"};
    const char *dir = temp_dir_make();

    if (is_sanitized())
        cr_skip("a sanitizer has something to say of a fault");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct process *rpd = start(dir, test_plugin("own_faults"));
        assert_text(ask_it(dir, "step"), "step: 7", rpd);
        cr_assert_null(ask_it(dir, ways[i]), "%s", ways[i]);
        assert_ends(rpd, 128 + SIGSEGV);
        cr_assert_eq(lines_with(process_stderr(rpd), "rpd: crash: SIGSEGV at address"), 1, "%s: %s",
                     ways[i], process_stderr(rpd));
        process_free(rpd);
    }
    temp_dir_remove(dir);
}

/* ---- interpreters and runtimes ------------------------------------------------------------ */

Test(foreign_code, python_with_modules_in_c)
{
    const char *dir = temp_dir_make(), *plugin = test_plugin("embeds_python");

    if (is_sanitized() || access(plugin, F_OK) != 0)
        cr_skip("needs libpython3-dev, and a plain build");
    struct process *rpd = start(dir, plugin);
    assert_text(ask_it(dir, "decimal.Decimal('0.1') + decimal.Decimal('0.2')"), "0.3", rpd);
    assert_text(ask_it(dir, "nothing"), "error", rpd);
    assert_stops(rpd);
    process_free(rpd);
    /* The control: without the promotion it fails. */
    rpd = RPD_START(textf("%s/run", dir), plugin, "-l", textf("unix:%s/s", dir), "-o",
                    "promote=false");
    assert_line(rpd, "undefined symbol: Py");
    process_stop(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* Go compiles its whole runtime for this, which takes a minute. */
Test(foreign_code, go_recovers, .timeout = 600)
{
    const char *dir = temp_dir_make(), *plugin = textf("%s/go.so", dir);

    if (!getenv("RPD_TEST_LONG") || is_sanitized() || access("/usr/bin/go", X_OK) != 0)
        cr_skip("needs golang-go, a plain build, and RPD_TEST_LONG");
    const struct outcome built = outcome_of(process_start(&(struct process_options){
        .argv = ARGS("go", "build", "-buildmode=c-shared", "-o", plugin, "."),
        .env = ARGS(textf("HOME=%s", dir), textf("GOCACHE=%s/cache", dir), "GO111MODULE=off",
                    "CGO_CFLAGS=-I" RPD_SOURCE_DIR "/include",
                    textf("CGO_LDFLAGS=-Wl,-Bsymbolic %s", build_path("librpd.so"))),
        .directory = RPD_SOURCE_DIR "/tests/plugins/go"}));
    assert_code(built, 0);
    struct process *rpd = start(dir, plugin);
    for (int i = 0; i < 3; i++) {
        assert_text(ask_it(dir, "four"), "4", rpd);
        assert_text(ask_it(dir, "nil"), "-1", rpd);
    }
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}
