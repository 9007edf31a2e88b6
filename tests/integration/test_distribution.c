/* The files distributed beside the programs agree with them: manual pages, shell completion,
 * systemd units. */
#include "common.h"

TestSuite(distribution, .timeout = 110);

/* The end of a program, and its output. Criterion's own messages go to stderr. */
struct output {
    int code;
    const char *text, *errors;
};

static struct output run(const char *const *argv)
{
    struct process *process = process_start(&(struct process_options){
        .argv = argv, .env = ARGS("LC_ALL=C.UTF-8", "MANWIDTH=100", "PAGER=cat", "MANPAGER=cat")});
    const int code = process_code(process_wait_exit(process));
    const struct output output = {code, textf("%s", process_stdout(process)),
                                  textf("%s", process_stderr(process))};

    process_free(process);
    return output;
}

#define RUN(...) run(ARGS(__VA_ARGS__))

static bool is_installed(const char *program)
{
    return RUN("sh", "-c", textf("command -v %s", program)).code == 0;
}

static const char *source_text(const char *relative)
{
    const char *text = file_read(textf(RPD_SOURCE_DIR "/%s", relative));

    cr_assert_not_null(text, "%s: %s", relative, strerror(errno));
    return text;
}

/* A sanitized build has neither manual pages nor packages. */
static const char *built_text(const char *relative)
{
    const char *text = file_read(textf(RPD_BUILD_DIR "/%s", relative));

    if (!text && is_sanitized())
        cr_skip("an instrumented build has none");
    cr_assert_not_null(text, "%s: %s", relative, strerror(errno));
    return text;
}

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end ? end + 1 : line + strlen(line);
}

static const char *line_text(const char *line)
{
    return textf("%.*s", (int)strcspn(line, "\n"), line);
}

/* ---- manual pages -------------------------------------------------------- */

/* "  -c, --config FILE   what" or "      --help   what": "-c, --config FILE\n" each. */
static const char *help_options(const char *help)
{
    const char *options = "";

    for (const char *line = help; *line; line = next_line(line)) {
        const size_t indent = strspn(line, " ");
        if (line[indent] != '-' || (indent != 2 && indent != 6))
            continue;
        const char *text = line_text(line + indent);
        const char *end = strstr(text, "  ");
        options = textf("%s%.*s\n", options, (int)(end ? end - text : (long)strlen(text)), text);
    }
    return options;
}

/* ".It Fl c , Fl -config Ar FILE" as "-c, --config FILE". */
static const char *page_options(const char *page)
{
    const char *options = "";

    for (const char *line = page; *line; line = next_line(line)) {
        if (strncmp(line, ".It Fl ", 7) != 0)
            continue;
        char *words = (char *)line_text(line + 4);
        const char *option = "";
        const char *before = "";
        for (char *save, *word = strtok_r(words, " ", &save); word;
             word = strtok_r(NULL, " ", &save)) {
            if (strcmp(word, "Fl") == 0)
                option = textf("%s%s-%s", option, before, strtok_r(NULL, " ", &save));
            else if (strcmp(word, ",") == 0)
                option = textf("%s,", option);
            else if (strcmp(word, "Ar") != 0)
                option = textf("%s%s%s", option, before, word);
            before = " ";
        }
        options = textf("%s%s\n", options, option);
    }
    return options;
}

Test(distribution, manual_has_the_options_of_the_help)
{
    const struct output help = RUN("rpd", "--help");

    cr_assert_str_not_empty(help_options(help.text));
    cr_assert_str_eq(page_options(source_text("framework/install/man/rpd.8")),
                     help_options(help.text));
}

/* The help has two columns: "   0  stopped when asked    73  cannot write ...". */
static const char *help_reason(const char *help, int code)
{
    const char *list = strstr(help, "Exit codes:");
    const char *at = list ? strstr(list, textf(" %d  ", code)) : NULL;

    if (!at)
        return NULL;
    at += strlen(textf(" %d  ", code));
    const char *line = line_text(at);
    const char *end = strstr(line, "  ");
    return textf("%.*s", (int)(end ? end - line : (long)strlen(line)), line);
}

Test(distribution, manual_has_the_exit_codes_of_the_help)
{
    const char *help = RUN("rpd", "--help").text;
    const char *page = source_text("framework/install/man/rpd.8");
    size_t in_page = 0;
    size_t in_help = 0;

    for (int code = 0; code < 256; code++)
        in_help += help_reason(help, code) != NULL;
    for (const char *line = strstr(page, "\n.Sh EXIT STATUS\n") + 1; *line;
         line = next_line(line)) {
        int code;
        if (sscanf(line, ".It %d\n", &code) != 1)
            continue;
        const char *reason = help_reason(help, code);
        const char *said = line_text(next_line(line));
        cr_assert_not_null(reason, "%d is not in the help", code);
        cr_assert_eq(strncmp(said, reason, strlen(reason)), 0, "%d: \"%s\" and \"%s\"", code, said,
                     reason);
        in_page++;
    }
    cr_assert_gt(in_page, 10);
    cr_assert_eq(in_page, in_help);
}

/* The paths of all keys of a schema, one per line: rpd prints one member per line, indented by 2
 * for each level. */
static const char *schema_keys(const char *schema)
{
    const char *paths[64] = {""}; /* the open key at this level */
    const char *kinds[64] = {"node"};
    const char *keys = "";

    for (const char *line = schema; *line; line = next_line(line)) {
        const size_t level = strspn(line, " ") / 2;
        const char *name = line_text(line + level * 2);
        const char *end = strstr(name, "\": {");

        if (level == 0 || level > 63 || *name != '"' || !end || end[4] != '\0')
            continue;
        name = textf("%.*s", (int)(end - name - 1), name + 1);
        const char *path = paths[level - 1];
        kinds[level] = "node";
        if (strcmp(kinds[level - 1], "properties") == 0)
            path = textf("%s%s%s", path, *path ? "." : "", name);
        else if (strcmp(kinds[level - 1], "node") != 0)
            kinds[level] = "other";
        else if (strcmp(name, "items") == 0)
            path = textf("%s[]", path);
        else if (strcmp(name, "additionalProperties") == 0)
            path = textf("%s.*", path);
        else
            kinds[level] = name;
        paths[level] = path;
        if (strcmp(kinds[level], "node") == 0)
            keys = textf("%s%s\n", keys, path);
    }
    return keys;
}

static const char *page_keys(const char *page)
{
    const char *keys = "";

    for (const char *line = page; *line; line = next_line(line))
        if (strncmp(line, ".It Ic ", 7) == 0)
            keys = textf("%s%s\n", keys, line_text(line + 7));
    return keys;
}

Test(distribution, manual_has_the_keys_of_the_schema)
{
    const char *keys = page_keys(built_text("man/rpd.json.5"));
    const char *schema = RUN("rpd", "--print-schema").text;

    cr_assert_not_null(strstr(keys, "services[].listen[].backlog\n"));
    for (const char *key = keys; *key; key = next_line(key))
        cr_assert_not_null(
            strstr(textf("\n%s", schema_keys(schema)), textf("\n%s\n", line_text(key))),
            "the schema has no %s; it has:\n%s", line_text(key), schema_keys(schema));
    cr_assert_eq(lines_with(schema_keys(schema), ""), lines_with(keys, ""), "%s\nand\n%s", keys,
                 schema_keys(schema));
}

/* Returns how many functions the library has; the page documents each. */
static size_t functions_in_page(const char *library, const char *page_name)
{
    const struct output symbols = RUN("nm", "-D", "--defined-only", build_path(library));
    const char *page = source_text(page_name);
    size_t count = 0;

    for (const char *line = symbols.text; *line; line = next_line(line)) {
        const char *symbol = strstr(line_text(line), " T rpd_");
        if (!symbol)
            continue;
        const char *name = textf("%.*s", (int)strcspn(symbol + 3, "@"), symbol + 3);
        if (strcmp(name, "rpd_main") == 0)
            continue;
        count++;
        cr_assert(strstr(page, textf("Fn %s\n", name)) || strstr(page, textf("Fn %s ", name)),
                  "%s does not name %s()", page_name, name);
    }
    return count;
}

Test(distribution, manual_has_all_functions)
{
    cr_assert_gt(functions_in_page("librpd.so", "framework/install/man/rpd-backend.3"), 40);
    cr_assert_eq(functions_in_page("librpd-client.so", "framework/install/man/rpd-client.3"), 6);
}

/* "[--ready] [--json]": the options between brackets, or before them, in the help of a command. */
Test(distribution, manual_has_the_options_of_ensure)
{
    const char *help = RUN("rpdctl", "help", "ensure").text;
    const char *page = source_text("framework/install/man/rpdctl.1");
    size_t count = 0;

    for (const char *at = help; (at = strstr(at, "[-")); at++) {
        const char *option = textf("%.*s", (int)strcspn(at + 2, " ]"), at + 2);
        cr_assert_not_null(strstr(page, textf("\n.Op Fl %s", option)), "-%s", option);
        count++;
    }
    cr_assert_gt(count, 6, "%s", help);
}

Test(distribution, manual_is_without_warnings)
{
    const char *pages[] = {RPD_SOURCE_DIR "/framework/install/man/rpd.8",
                           RPD_SOURCE_DIR "/framework/install/man/rpdctl.1",
                           RPD_SOURCE_DIR "/framework/install/man/rpd-control.7",
                           RPD_SOURCE_DIR "/framework/install/man/rpd-security.7",
                           RPD_SOURCE_DIR "/framework/install/man/rpd-backend.3",
                           RPD_SOURCE_DIR "/framework/install/man/rpd-client.3",
                           RPD_BUILD_DIR "/man/rpd.json.5"};

    built_text("man/rpd.json.5");
    if (!is_installed("man"))
        cr_skip("man is not installed");
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        /* A directory of that name lies beside rpd. */
        const struct output output = RUN("env", "man", "--warnings", "-l", pages[i]);
        cr_assert_eq(output.code, 0, "%s: %s", pages[i], output.errors);
        cr_assert_str_empty(output.errors, "%s: %s", pages[i], output.errors);
        cr_assert_not_null(strstr(output.text, "SEE ALSO"), "%s:\n%s", pages[i], output.text);
    }
    if (!is_installed("mandoc"))
        return;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        cr_assert_str_empty(RUN("mandoc", "-T", "lint", "-W", "warning", pages[i]).text);
}

/* ---- completion ----------------------------------------------------------- */

/* The words that bash offers for the last word of a command line, sorted, one per line. */
static const char *completed(const char *directory, const char *const *words)
{
    const char *arguments[32] = {
        "bash", "--norc", "-c",
        "set -u; cd \"$1\"; source \"$2\"; shift 2\n"
        "COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))\n"
        "function=$(complete -p \"$1\") && function=${function#*-F }\n"
        "\"${function%% *}\"\n"
        "((${#COMPREPLY[@]} == 0)) || printf '%s\\n' \"${COMPREPLY[@]}\" | sort",
        "bash"};
    size_t count = 5;

    arguments[count++] = directory;
    arguments[count++] = textf(RPD_SOURCE_DIR "/framework/install/completions/%s", words[0]);
    for (size_t i = 0; words[i]; i++) {
        cr_assert_lt(count, 31);
        arguments[count++] = words[i];
    }
    const struct output output = run(arguments);
    cr_assert_eq(output.code, 0, "%s", output.errors);
    cr_assert_str_empty(output.errors, "%s", output.errors);
    return output.text;
}

static const char *directory_to_complete_in(void)
{
    const char *dir = temp_dir_make();

    write_text(textf("%s/a b.json", dir), "{}");
    write_text(textf("%s/a.txt", dir), "");
    write_text(textf("%s/one.so", dir), "");
    mkdir(textf("%s/apart", dir), 0700);
    write_text(textf("%s/apart/found.so", dir), "");
    return dir;
}

Test(distribution, completion_has_the_options_of_the_help)
{
    const char *options = completed("/", ARGS("rpd", "-"));
    const char *help = help_options(RUN("rpd", "--help").text);
    size_t count = 0;

    for (const char *line = help; *line; line = next_line(line)) {
        char *words = (char *)line_text(line);
        for (char *save, *word = strtok_r(words, " ,", &save); word;
             word = strtok_r(NULL, " ,", &save)) {
            if (*word != '-')
                continue;
            count++;
            cr_assert_not_null(strstr(textf("\n%s", options), textf("\n%s\n", word)),
                               "no %s in:\n%s", word, options);
        }
    }
    cr_assert_eq(count, lines_with(options, ""), "%s", options);
}

Test(distribution, completion_offers_files_that_fit)
{
    const char *dir = directory_to_complete_in();

    cr_assert_str_eq(completed(dir, ARGS("rpd", "-c", "")), "a b.json\napart\n");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "-t", "--config", "a ")), "a b.json\n");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "o")), "one.so\n");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "apart/")), "apart/found.so\n");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "one.so", "-l", "u")), "unix:\n");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "-l", "unix", ":", "a.")), "a.txt\n");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "-l", "tcp", ":", "a.")), "");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "one.so", "-o", "")), "");
    cr_assert_str_eq(completed(dir, ARGS("rpd", "-n", "o")), "");
    setenv("RPD_PLUGIN_PATH", textf("/nonexistent:%s/apart", dir), 1);
    cr_assert_str_eq(completed(dir, ARGS("rpd", "f")), "found.so\n");
}

Test(distribution, completion_knows_the_commands_of_rpdctl)
{
    const char *dir = directory_to_complete_in();

    cr_assert_str_eq(
        completed(dir, ARGS("rpdctl", "")),
        "--help\n--"
        "version\ncheck\nclients\nconnect\ndescribe\ndoctor\nensure\nforget\nhealth\nlog\n"
        "metrics\nnew\nreload\nrestart\nstatus\nstop\ntimeline\nwait\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "ensure", "--r")), "--ready\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "-d", "a")), "apart\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "-d", "apart", "status", "--a")),
                     "--all-users\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "ensure", "")), "a b.json\napart\none.so\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "ensure", "-c", "")), "a b.json\napart\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "ensure", "one.so", "-l", "u")), "unix:\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "ensure", "-l", "unix", ":", "a.")), "a.txt\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "ensure", "--timeout", "")), "");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "check", "")), "apart\none.so\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "check", "o")), "one.so\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "check", "one.so", "--j")), "--json\n--junit\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "check", "--config", "a")), "a b.json\napart\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "describe", "-")), "--json\n--schema\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "new", "")), "");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "new", "-")), "--kind\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "connect", "--t")), "--timeout\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "status", "--")),
                     "--all-users\n--json\n--watch\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "wait", "x", "--s")), "--stopped\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "stop", "x", "--timeout", "")), "");
}

Test(distribution, completion_offers_services)
{
    const char *dir = directory_to_complete_in(), *run = textf("%s/run", dir);

    cr_assert_eq(mkdir(run, 0700), 0);
    setenv("RPD_RUNTIME_DIR", run, 1);
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "status", "")), "");
    write_text(textf("%s/demo.lock", run), "");
    write_text(textf("%s/dull.lock", run), "");
    write_text(textf("%s/other.lock", run), "");
    write_text(textf("%s/.x.sock.lock", run), "");
    write_text(textf("%s/demo.ensure.lock", run), "");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "status", "d")), "demo\ndull\n");
    cr_assert_str_eq(completed(dir, ARGS("rpdctl", "stop", "")), "demo\ndull\nother\n");
}

/* ---- systemd units ---------------------------------------------------------- */

/* With the path of a program of the build, which need not be installed. */
static const char *with_path(const char *text, const char *key, const char *program)
{
    const char *at = strstr(text, textf("\n%s=%s ", key, program));

    if (!at)
        return text;
    at += strlen(key) + 2;
    return textf("%.*s%s%s", (int)(at - text), text, build_path(program), at + strlen(program));
}

/* A directory with the units as the build has made them, but for the programs. */
static const char *units(void)
{
    static const char *const names[] = {"rpd@.service", "rpd-tcp@.service", "rpd@.socket",
                                        "rpd-tcp@.socket", "user/rpd@.service"};
    const char *dir = temp_dir_make();

    mkdir(textf("%s/user", dir), 0700);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = file_read(textf(RPD_BUILD_DIR "/systemd/%s", names[i]));
        cr_assert_not_null(text, "%s: %s", names[i], strerror(errno));
        text = with_path(text, "ExecStart", "rpd");
        text = with_path(text, "ExecReload", "rpdctl");
        write_text(textf("%s/%s", dir, names[i]), text);
    }
    return dir;
}

Test(distribution, units_pass_verification)
{
    if (!is_installed("systemd-analyze"))
        cr_skip("systemd is not installed");
    const char *dir = units();
    const char *script = "cd \"$1\" && export XDG_RUNTIME_DIR=$1 &&"
                         "systemd-analyze verify --man=no --recursive-errors=yes ./rpd@.service"
                         " ./rpd-tcp@.service ./rpd@.socket ./rpd-tcp@.socket &&"
                         "systemd-analyze --user verify --man=no --recursive-errors=yes"
                         " ./user/rpd@.service";
    const struct output output = RUN("sh", "-c", script, "sh", dir);

    cr_assert_eq(output.code, 0, "%s%s", output.text, output.errors);
    cr_assert_str_empty(output.errors, "%s", output.errors);
}

/* The score is "exposure": 0.4 is 4 here. */
static void assert_exposed_at_most(const char *dir, const char *unit, int tenths)
{
    const struct output output = RUN("systemd-analyze", "security", "--offline=true", "--no-pager",
                                     textf("--threshold=%d", tenths), textf("%s/%s", dir, unit));

    cr_assert_eq(output.code, 0, "%s: more than %d tenths:\n%s%s", unit, tenths, output.text,
                 output.errors);
    cr_assert_not_null(strstr(output.text, "Overall exposure level"), "%s%s", output.text,
                       output.errors);
}

Test(distribution, units_are_closed_in)
{
    if (!is_installed("systemd-analyze"))
        cr_skip("systemd is not installed");
    const char *dir = units();

    assert_exposed_at_most(dir, "rpd@.service", 5);
    assert_exposed_at_most(dir, "rpd-tcp@.service", 15);
}

Test(distribution, units_are_not_restarted_in_vain)
{
    const char *dir = units();
    const char *names[] = {"rpd@.service", "rpd-tcp@.service", "user/rpd@.service"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = file_read(textf("%s/%s", dir, names[i]));
        cr_assert_not_null(strstr(text, "\nRestart=on-failure\n"), "%s", names[i]);
        cr_assert_not_null(strstr(text, "\nRestartPreventExitStatus=64 65 66 73 75 77 78\n"), "%s",
                           names[i]);
    }
}
