/* ABI v1 is frozen: the files in tests/abi/v1 are unchanged and still match today's headers and
 * libraries, and a plugin that was built against it runs. So do plugins whose descriptor comes from
 * an older or a newer rpd. */
#include "../integration/common.h"

#define FROZEN RPD_SOURCE_DIR "/tests/abi/v1"
#define TODAY RPD_SOURCE_DIR "/include"

static const char *every_so(void)
{
    return build_path("tests/abi/v1/every.so");
}

/* Returns the exit code; the text is stdout, or stderr if the program failed. */
static int run_program(const char *directory, const char *const *argv, const char **ret_text)
{
    struct process *p = process_start(
        &(struct process_options){.argv = argv, .env = ARGS("LC_ALL=C"), .directory = directory});
    const int code = process_code(process_wait_exit(p));

    *ret_text = textf("%s", code == 0 ? process_stdout(p) : process_stderr(p));
    process_free(p);
    return code;
}

static int compile(const char *include, const char *source, const char **ret_diagnostics)
{
    return run_program(".",
                       ARGS(TEST_CC, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                            "-I", include, source),
                       ret_diagnostics);
}

/* ---- what is kept ---- */

Test(abi, what_is_frozen_is_untouched)
{
    const char *text;
    const int code = run_program(FROZEN, ARGS("sha256sum", "--check", "--quiet", "SHA256SUMS"),
                                 &text);

    cr_assert_eq(code, 0, "tests/abi/v1 never changes: %s", text);
}

Test(abi, layout_values_and_types_are_as_they_were)
{
    static const char *const includes[] = {FROZEN, TODAY};
    static const char *const sources[] = {FROZEN "/layout.c", FROZEN "/every.c"};

    for (size_t i = 0; i < 2; i++)
        for (size_t s = 0; s < 2; s++) {
            const char *diagnostics;
            cr_expect_eq(compile(includes[i], sources[s], &diagnostics), 0, "%s with %s:\n%s",
                         sources[s], includes[i], diagnostics);
        }
}

/* ---- controls: the check detects changes ---- */

static const struct change {
    const char *header, *from, *to;
    bool allowed;
} changes[] = {
    {"service.h", "    double fraction;", "    double a, fraction;", false},
    {"service.h", "RPD_LOG_WARNING, RPD_LOG_INFO", "RPD_LOG_INFO, RPD_LOG_WARNING", false},
    {"service.h", "RPD_LOG_DEBUG }", "RPD_LOG_DEBUG, RPD_LOG_MORE }", true},
    {"load.h", "    bool optional;", "    bool optional;\n    void *more;", false},
    {"option.h", "    int64_t integer_default;", "    int64_t integer_default;\n    int more;",
     false},
    {"conn.h", "rpd_conn_pause(struct rpd_conn *conn)",
     "rpd_conn_pause(struct rpd_conn *conn, int a)", false},
    {"conn.h", "RPD_API int rpd_conn_fd", "RPD_API long rpd_conn_fd", false},
    {"backend.h", "    void (*on_busy)(struct rpd_conn *conn);",
     "    void (*on_busy)(struct rpd_conn *conn);\n    void *more;", true},
    {"backend.h", "    void (*on_busy)(struct rpd_conn *conn);",
     "    void *more;\n    void (*on_busy)(struct rpd_conn *conn);", false},
    {"backend.h", "(*on_busy)(struct rpd_conn *conn)", "(*on_busy)(struct rpd_service *service)",
     false},
    {"backend.h", "#define RPD_ABI 1", "#define RPD_ABI 2", false},
    {"state.h", "    uint32_t reserved_2;", "    uint32_t load_parts_lost;", true},
    {"state.h", "    uint64_t turns; ", "    uint32_t turns; ", false},
};

static void copy_headers(const char *dir, const struct change *change)
{
    DIR *stream = opendir(FROZEN "/rpd");

    cr_assert_not_null(stream);
    mkdir(textf("%s/rpd", dir), 0700);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] == '.')
            continue;
        const char *text = file_read(textf(FROZEN "/rpd/%s", entry->d_name));
        if (strcmp(entry->d_name, change->header) == 0) {
            const char *at = strstr(text, change->from);
            cr_assert_not_null(at, "%s has no \"%s\"", change->header, change->from);
            text = textf("%.*s%s%s", (int)(at - text), text, change->to, at + strlen(change->from));
        }
        write_text(textf("%s/rpd/%s", dir, entry->d_name), text);
    }
    closedir(stream);
}

Test(abi, a_change_would_be_seen)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *dir = temp_dir_make(), *diagnostics;
        copy_headers(dir, &changes[i]);
        const bool passed = compile(dir, FROZEN "/layout.c", &diagnostics) == 0 &&
                            compile(dir, FROZEN "/every.c", &diagnostics) == 0;
        cr_expect_eq(passed, changes[i].allowed, "%s: \"%s\": %s", changes[i].header, changes[i].to,
                     passed ? "it was not seen" : diagnostics);
        temp_dir_remove(dir);
    }
}

/* ---- symbols ---- */

static const char *symbols_of(const char *file, const char *kind)
{
    const char *text;

    cr_assert_eq(run_program(".", ARGS("nm", "-D", kind, file), &text), 0, "nm %s: %s", file, text);
    return text;
}

/* kind "T": defined; "U": needed. */
static bool has_symbol(const char *symbols, const char *kind, const char *name)
{
    return strstr(symbols, textf(" %s %s\n", kind, name)) != NULL;
}

Test(abi, every_symbol_is_still_exported)
{
    const char *frozen = file_read(FROZEN "/symbols");
    const char *library = symbols_of(build_path("librpd.so.0"), "--defined-only");
    const char *program = symbols_of(build_path("rpd"), "--defined-only");
    const char *needed = symbols_of(every_so(), "--undefined-only");

    cr_assert_not_null(frozen);
    cr_assert_geq(lines_with(frozen, "rpd_"), 50);
    for (const char *line = frozen; *line; line += strcspn(line, "\n") + 1) {
        const char *name = textf("%.*s", (int)strcspn(line, "\n"), line);
        cr_expect(has_symbol(library, "T", textf("%s@@RPD_1", name)), "librpd.so.0: %s", name);
        cr_expect(has_symbol(program, "T", textf("%s@@RPD_1", name)) ||
                      (is_sanitized() && has_symbol(program, "T", name)),
                  "rpd: %s", name);
        cr_expect(has_symbol(needed, "U", textf("%s@RPD_1", name)) || strcmp(name, "rpd_main") == 0,
                  "every.c does not use %s", name);
    }
    cr_expect_eq(lines_with(needed, " U rpd_"), lines_with(frozen, "rpd_") - 1, "%s", needed);
}

/* ---- plugins that run ---- */

static struct process *start(const char *dir, const char *plugin, const char *name,
                             const char *option)
{
    const char *endpoint = textf("unix:%s/%s", dir, name);

    return RPD_START(textf("%s/run", dir), plugin, "-l", endpoint, "-l", textf("unix:%s/made", dir),
                     "-l", textf("unix:%s/direct", dir), "-o", option);
}

static void read_big(int fd)
{
    static char block[(4 << 20) + 1];

    cr_assert_eq(send_all(fd, "big\n", 4), 0);
    cr_assert_eq(read_exactly(fd, block, sizeof block), (ssize_t)sizeof block);
    cr_expect(block[0] == 'b' && block[sizeof block - 1] == '\n');
}

/* For values that rpd measures four times a second. */
static void wait_for_answer(int fd, const char *line, const char *wanted)
{
    const int64_t until = now_ns() + 20000000000;
    const char *answer = "";

    while (answer && strcmp(answer, wanted) != 0 && now_ns() < until)
        answer = ask(fd, line);
    cr_assert(answer && strcmp(answer, wanted) == 0, "\"%s\" instead of \"%s\"", answer, wanted);
}

static void check_answers(struct process *rpd, const char *endpoint)
{
    const int fd = connect_to(endpoint);
    char text[64];

    assert_text(ask(fd, "options"), "b -3 0.25 0", rpd);
    assert_text(ask(fd, "lines"), "2", rpd);
    wait_for_answer(fd, "service", "every one ready=1 fraction=1 eta=0 parts=3/3 loop=1");
    assert_text(ask(fd, "fd"), "0", rpd);
    assert_text(ask(fd, "#a comment"), "11 bytes", rpd);
    assert_text(ask(fd, "job"), "job of every", rpd);
    assert_line(rpd, "every: a job of every");
    read_big(fd);
    assert_text(ask(fd, "writables"), "1", rpd);
    shutdown(fd, SHUT_WR);
    cr_expect_eq(read_line(fd, text, sizeof text), 4);
    cr_expect_str_eq(text, "bye\n");
    assert_eof(fd);
    close(fd);
    cr_expect_null(ask_once(endpoint, "finish"));
    cr_expect_null(ask_once(endpoint, "abort"));
}

Test(abi, plugin_of_v1_runs)
{
    static const char *const said[] = {"attach",   "attach optional", "on_ready", "on_connect",
                                       "on_close", "on_drain",        "stop",     "unload"};
    const char *dir = temp_dir_make();
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", every_so(), "-l", textf("unix:%s/plain", dir), "-l",
                     textf("unix:%s/made", dir), "-l", textf("unix:%s/direct", dir), "-o", "text=b",
                     "-o", "integer=-3", "-o", "number=0.25", "-o", "boolean=false"),
        .runtime_dir = textf("%s/run", dir),
        .notify = true});

    assert_bound(rpd);
    assert_line(rpd, "every: on_ready");
    assert_line(rpd, "every: attach optional");
    check_answers(rpd, textf("unix:%s/plain", dir));
    assert_text(ask_once(textf("unix:%s/made", dir), "options"), "b -3 0.25 0", rpd);
    /* The plugin speaks first and closes: a client that sends may find the connection closed. */
    const int direct = connect_to(textf("unix:%s/direct", dir));
    assert_text(hear_line(direct), "direct", rpd);
    close(direct);
    assert_stops(rpd);
    const char *log = process_stderr(rpd);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        cr_expect(strstr(log, textf("every: %s\n", said[i])), "%s is not in:\n%s", said[i], log);
    cr_expect_not(strstr(log, "WRONG"), "%s", log);
    process_free(rpd);
    assert_empty(textf("%s/run", dir));
}

Test(abi, plugin_of_v1_while_it_loads)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, every_so(), "plain", "endless=true");
    char text[64];

    assert_bound(rpd);
    const int fd = connect_to(textf("unix:%s/plain", dir));
    cr_assert_eq(read_line(fd, text, sizeof text), 5, "%s", process_stderr(rpd));
    cr_expect_str_eq(text, "busy\n");
    assert_eof(fd);
    close(fd);
    assert_line(rpd, "every: attach optional");
    assert_stops(rpd);
    cr_expect(strstr(process_stderr(rpd), "every: discard\n"), "%s", process_stderr(rpd));
    cr_expect(strstr(process_stderr(rpd), "every: unload\n"), "%s", process_stderr(rpd));
    process_free(rpd);
}

Test(abi, plugin_of_v1_fails)
{
    static const struct {
        const char *name, *option;
        int code;
        const char *line;
    } ways[] = {{"invalid", "fail=", 78, "it is not for me"},
                {"in_use", "fail=", 75, ""},
                {"io", "fail=", 71, "Network is down"},
                {"other", "fail=", 71, "for reason 7"},
                {"plain", "fail=serve", 71, "cannot serve, on purpose"},
                {"plain", "fail=load", 69, "cannot load, on purpose"}};

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const char *dir = temp_dir_make();
        struct process *rpd = start(dir, every_so(), ways[i].name, ways[i].option);
        assert_ends(rpd, ways[i].code);
        cr_expect(strstr(process_stderr(rpd), ways[i].line), "no \"%s\" in %s", ways[i].line,
                  process_stderr(rpd));
        process_free(rpd);
    }
}

/* ---- descriptors of another size ---- */

static struct process *start_service(const char *dir, const char *plugin, const char *warmup)
{
    const char *file = textf("%s/rpd.json", dir);

    write_text(file, textf("{\"services\": [{\"name\": \"x\", \"plugin\": \"%s\", "
                           "\"listen\": [\"unix:%s/x.sock\"]%s}]}",
                           test_plugin(plugin), dir, warmup));
    return RPD_START(textf("%s/run", dir), "-c", file);
}

Test(abi, older_descriptor_runs)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_service(dir, "descriptor_older", "");

    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/x.sock", dir), "one"), "older one", rpd);
    assert_stops(rpd);
    process_free(rpd);
    /* So small a descriptor cannot say that it serves without its state. */
    rpd = start_service(dir, "descriptor_older", ", \"warmup\": \"serve\"");
    assert_ends(rpd, 78);
    process_free(rpd);
}

Test(abi, newer_descriptor_runs)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_service(dir, "descriptor_newer", "");

    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/x.sock", dir), "one"), "newer one", rpd);
    assert_stops(rpd);
}
