/* .option_details, from the configuration to the plugin, and how describe, check and the schemas
 * show them. (tests/unit/test_options.c has each spelling.) */
#include "common.h"
#include "rpdctl_run.h"

static const char *endpoint_in(const char *dir)
{
    return textf("unix:%s/x.sock", dir);
}

static const char *write_config(const char *dir, const char *options)
{
    const char *path = textf("%s/rpd.json", dir);

    write_text(path,
               textf("{\"drain_s\":\"5s\",\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\"],\n"
                     "\"options\":{%s}}]}",
                     test_plugin("details"), endpoint_in(dir), options));
    cr_assert_eq(chmod(path, 0600), 0);
    return path;
}

static struct process *start(const char *dir, const char *options)
{
    return RPD_START(textf("%s/run", dir), "-c", write_config(dir, options));
}

Test(details, a_plugin_gets_what_was_written)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir,
                                "\"directory\":\"sub\",\"cache_bytes\":\"1.5G\",\"keep_s\":\"2h\","
                                "\"mode\":\"exact\",\"words\":[\"a,b\",\"c\"],\"token\":\"x\"");
    char real[PATH_MAX];

    assert_bound(rpd);
    cr_assert_not_null(realpath(dir, real));
    assert_text(ask_once(endpoint_in(dir), "directory"), textf("%s/sub", real), rpd);
    assert_text(ask_once(endpoint_in(dir), "cache"), "1610612736", rpd);
    assert_text(ask_once(endpoint_in(dir), "keep"), "7200", rpd);
    assert_text(ask_once(endpoint_in(dir), "mode"), "1", rpd);
    assert_text(ask_once(endpoint_in(dir), "words"), "<a,b><c>", rpd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

static void expect_end(const char *dir, const char *options, int code, const char *line)
{
    struct process *rpd = start(dir, options);

    assert_ends(rpd, code);
    cr_expect(strstr(process_stderr(rpd), line), "%s\n   not in %s", line, process_stderr(rpd));
    process_free(rpd);
}

Test(details, mistakes_name_line_column_and_the_nearest_word)
{
    const char *dir = temp_dir_make();
    const char *at = textf("rpd: config: %s/rpd.json:2:", dir);

    expect_end(
        dir, "\"mode\":\"fast\"", 78,
        textf("%s11: $.services[0].options.directory: missing; this option is required: where "
              "files are\n",
              at));
    expect_end(dir, "\"directory\":\"/\",\"mode\":\"exakt\"", 78,
               textf("%s35: $.services[0].options.mode: expected \"fast\" or \"exact\", found "
                     "\"exakt\"; did you mean \"exact\"?\n",
                     at));
    expect_end(dir, "\"directory\":\"/\",\"keep_s\":\"2hours\"", 78, ", found \"2hours\"\n");
    expect_end(dir, "\"directory\":\"/\",\"token\":false", 78, "found something else\n");
    temp_dir_remove(dir);
}

Test(details, an_option_asked_for_as_what_it_is_not_ends_the_process)
{
    static const char *const asked[] = {"list", "choice"};

    for (size_t i = 0; i < 2; i++) {
        const char *dir = temp_dir_make();
        struct process *rpd = start(dir, "\"directory\":\"/\"");

        assert_bound(rpd);
        const int fd = client(endpoint_in(dir));
        tell(fd, asked[i]);
        assert_ends(rpd, 70);
        cr_expect(
            strstr(process_stderr(rpd), i == 0 ? "asks for \"mode\"" : "asks for \"directory\""),
            "%s", process_stderr(rpd));
        close(fd);
        process_free(rpd);
        temp_dir_remove(dir);
    }
}

/* Relative paths on the command line are relative to our working directory, though the daemon works
 * in "/"; this still holds after a restart. */
Test(details, an_ensured_daemon_knows_where_relative_paths_begin)
{
    const char *dir = temp_dir_make(), *run = textf("RPD_RUNTIME_DIR=%s/run", dir);
    char real[PATH_MAX];

    cr_assert_not_null(realpath(dir, real));
    for (int round = 0; round < 2; round++) {
        struct process *p = process_start(&(struct process_options){
            .argv = round == 0 ? ARGS("rpdctl", "ensure", test_plugin("details"), "-l",
                                      endpoint_in(dir), "-o", "directory=sub")
                               : ARGS("rpdctl", "restart", "details"),
            .env = ARGS(run, textf("HOME=%s", dir), "XDG_STATE_HOME"),
            .directory = round == 0 ? dir : "/"});

        cr_assert_eq(process_code(process_wait_exit(p)), 0, "%s", process_stderr(p));
        process_free(p);
        cr_expect_str_eq(ask_once(endpoint_in(dir), "directory"), textf("%s/sub", real));
    }
    struct process *stop = process_start(
        &(struct process_options){.argv = ARGS("rpdctl", "stop", "details"), .env = ARGS(run)});
    cr_assert_eq(process_code(process_wait_exit(stop)), 0, "%s", process_stderr(stop));
    process_free(stop);
    temp_dir_remove(dir);
}

/* ---- how they are shown ---- */

static const char *first_line_with(const char *text, const char *part)
{
    const char *at = strstr(text, part);

    while (at && at > text && at[-1] != '\n')
        at--;
    return at ? textf("%.*s", (int)strcspn(at, "\n"), at) : "";
}

Test(details, describe_shows_them)
{
    const struct outcome table = RPDCTL("describe", test_plugin("details"));
    static const char *const rows[][2] = {
        {"  directory ", "path        required                where files are"},
        {"  cache_bytes ", "size        64M         0 to 1T       memory for answers"},
        {"  keep_s ", "duration    1h30m       0 to 1775w"},
        {"  mode ", "choice      \"fast\"      fast, exact"},
        {"  words ", "list of strings \"one,two\""},
        {"  token ", "secret text "},
    };

    assert_code(table, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* The width of the columns does not matter. */
        const char *line = first_line_with(table.out, rows[i][0]);
        char wanted[256], found[256];
        size_t w = 0, f = 0;

        for (const char *c = rows[i][1]; *c && w < 255; c++)
            if (*c != ' ')
                wanted[w++] = *c;
        for (const char *c = line + strlen(rows[i][0]); *line && *c && f < 255; c++)
            if (*c != ' ')
                found[f++] = *c;
        wanted[w] = found[f] = '\0';
        cr_expect_eq(strncmp(found, wanted, w), 0, "%s: %s\n%s", rows[i][0], rows[i][1], table.out);
    }
    const struct outcome schema = RPDCTL("describe", "--schema", test_plugin("details"));
    assert_code(schema, 0);
    assert_has(schema.out, "\"required\": [\n    \"directory\"\n  ]");
    assert_has(schema.out, "\"additionalProperties\": false");
    assert_has(schema.out, "\"enum\": [\n        \"fast\",\n        \"exact\"\n      ]");
    assert_has(schema.out, "[KMGT](iB)?");
    assert_has(schema.out, "(us|ms|s|m|h|d|w)");
    const struct outcome json = RPDCTL("describe", "--json", test_plugin("details"));
    assert_has(json.out, "\"unit\": \"bytes\"");
    assert_has(json.out, "\"required\": true");
}

/* An editor would accept everything that rpd accepts. */
Test(details, the_schema_is_one)
{
    const char *dir = temp_dir_make();
    const struct outcome schema = RPDCTL("describe", "--schema", test_plugin("details"));
    struct process *python;

    write_text(textf("%s/schema.json", dir), schema.out);
    write_text(textf("%s/judge.py", dir),
               "import json, re, sys\n"
               "schema = json.load(open(sys.argv[1]))\n"
               "size = schema['properties']['cache_bytes']['anyOf']\n"
               "assert size[0]['type'] == 'integer' and size[0]['maximum'] == 2**40, size\n"
               "assert re.match(size[1]['pattern'], '1.5G') and not re.match(size[1]['pattern'], "
               "'1.5')\n"
               "words = schema['properties']['words']['anyOf']\n"
               "assert words[0] == {'type': 'array', 'items': {'type': 'string'}}, words\n"
               "assert schema['properties']['token'] == {'type': 'string', 'description': 'what "
               "clients must say'}\n");
    python = process_start(&(struct process_options){
        .argv = ARGS("python3", textf("%s/judge.py", dir), textf("%s/schema.json", dir))});
    cr_expect_eq(process_code(process_wait_exit(python)), 0, "%s%s", process_stderr(python),
                 schema.out);
    process_free(python);
    temp_dir_remove(dir);
}

Test(details, check_asks_for_what_is_required)
{
    const struct outcome without = RPDCTL("check", "--quick", "--only", "load.",
                                          test_plugin("details"));
    const struct outcome with = RPDCTL("check", "--quick", "--only", "load.", "-o",
                                       "directory=relative", "-o", "cache_bytes=1M", "-o",
                                       "words=a,b", "-o", "token=x", test_plugin("details"));

    cr_expect_eq(with.code, 0, "%s%s", with.out, with.err);
    cr_expect_eq(without.code, 64, "%s%s", without.out, without.err);
    assert_has(without.err, "the plugin requires this option; give it one: -o directory=VALUE");
}

Test(details, a_table_that_cannot_be_right_is_the_plugins_mistake)
{
    static const char line[] =
        "row 0 of its option details (paht): the table of options has no row "
        "of that name";
    const char *dir = temp_dir_make();
    struct process *rpd = RPD_START(textf("%s/run", dir), test_plugin("bad_details"), "-l",
                                    endpoint_in(dir));
    const struct outcome described = RPDCTL("describe", test_plugin("bad_details"));
    const struct outcome checked = RPDCTL("check", "--quick", "--only", "code.descriptor",
                                          test_plugin("bad_details"));

    assert_ends(rpd, 65);
    assert_has(process_stderr(rpd), line);
    cr_expect_eq(described.code, 1);
    assert_has(described.err, line);
    cr_expect_eq(checked.code, 1);
    assert_has(checked.out, line);
    process_free(rpd);
    temp_dir_remove(dir);
}
