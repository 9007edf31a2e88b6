/* Each command that README.md, framework/README.md and the manual pages print runs as printed, in
 * a directory of its own in which rpd is installed as README.md says. A command that is in no
 * document's table below fails the test, and so does a row that no document prints. */
#include "../integration/common.h"

TestSuite(commands, .timeout = 110);

/* ---- the tables --------------------------------------------------------------------------- */

/* Commands that cannot run here: how they begin, and why they are left out. */
static const struct left_out {
    const char *begins, *why;
} left_out[] = {
    {"samples/quickstart", "installs packages and builds the tree"},
    {"tests/run", "installs packages, and runs this test"},
    {"cmake -S . -B build -DCMAKE_INSTALL_PREFIX=/usr", "builds packages: tests/packages runs it"},
    {"sudo apt install", "changes the machine: tests/packages runs it"},
    {"cc -fPIC -shared -Iinclude -o hello.so", "documents/the_backend_of_the_readme_runs runs it"},
    {"sock=$(build/rpdctl", "documents/the_command_of_the_readme_runs runs it"},
    {"    echo ls | socat", "documents/the_command_of_the_readme_runs runs it"},
    {"RPDCTL=build/rpdctl", "documents/the_command_of_the_readme_runs runs it"},
    {"systemctl", "needs systemd as process 1: tests/systemd runs it"},
    {"build/tests/bench/", "measures for minutes: tests/run runs it"},
    {"bpftrace -p PID", "traces as root: contract/test_probes looks for the probes"},
    {"usdt:/usr/bin/rpd:rpd:", "traces as root: contract/test_probes looks for the probes"},
    {"    @us = hist(", "traces as root: contract/test_probes looks for the probes"},
    {"perf ", "traces as root: contract/test_probes looks for the probes"},
};

/* Blocks that need commands before or after them, or that run until they are stopped: how they
 * begin. The other blocks need nothing. */
static const struct scene {
    const char *begins, *before, *behind;
    bool is_daemon; /* the last line starts a daemon in the foreground */
} scenes[] = {
    /* The tree is already built: this test is part of it. */
    {.begins = "cmake -S . -B build && cmake --build build", .before = "cmake() { :; }"},
    {.begins = "build/rpd -c samples/rpd.json",
     .behind = "await run/hello.sock",
     .is_daemon = true},
    {.begins = "cc -fPIC -shared -o hello.so",
     .before = "cp page.c hello.c; export LD_LIBRARY_PATH=$(pkg-config --variable=libdir rpd)"},
    {.begins = "cc -o client client.c", .before = "cp samples/client.c ."},
    {.begins = "rpd -t -c /etc/rpd/cache.json", .before = "cp tool.json etc/rpd/cache.json"},
    {.begins = "rpd echo.so -l unix:", .behind = "await tmp/echo.sock", .is_daemon = true},
    {.begins = "sock=$(rpdctl ensure tool.json)", .behind = "rpdctl stop tool"},
    {.begins = "rpdctl ensure echo.so -l unix:",
     .before = "mkdir -m 700 run/rpd-cache",
     .behind = "rpdctl stop echo"},
    {.begins = "rpdctl ensure --ready --timeout 60 index.so",
     .before = "cp build/samples/index.so \"$(pkg-config --variable=libdir rpd)/rpd/plugins\"; "
               "use-the-index() { :; }"},
    {.begins = "rpd --print-config -c FILE", .before = "cp tool.json FILE"},
};
enum { LEFT_OUT = sizeof left_out / sizeof *left_out, SCENES = sizeof scenes / sizeof *scenes };

/* Places outside the test's directory, or in use by others, and what replaces them. */
static const char *const places[][2] = {
    {"/tmp/", "tmp/"},
    {"/etc/rpd/", "etc/rpd/"},
    {"/run/rpd-cache", "run/rpd-cache"},
    {"127.0.0.1:7007", "127.0.0.1:0"},
};

static const char *const pages[] = {"rpd.8",         "rpdctl.1",     "rpd.json.5.in",
                                    "rpd-backend.3", "rpd-client.3", "rpd-control.7",
                                    "rpd-security.7"};

/* ---- reading the documents ----------------------------------------------------------------- */

enum { BLOCKS_MAX = 64 };

struct blocks {
    const char *texts[BLOCKS_MAX];
    size_t count;
};

static bool begins_with(const char *text, const char *begins)
{
    return strncmp(text, begins, strlen(begins)) == 0;
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

/* Documents show code, output of rpd, and files in the same way as commands. */
static bool is_commands(const char *block)
{
    static const char *const others[] = {"#include", "struct ", "rpd: ", "{", "> ", "[Service]"};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (begins_with(block, others[i]))
            return false;
    return *block != '\0';
}

static void add_block(struct blocks *blocks, const char *block)
{
    if (!is_commands(block))
        return;
    cr_assert_lt(blocks->count, BLOCKS_MAX);
    blocks->texts[blocks->count++] = block;
}

/* Reads the indented blocks, and `build/...` in the text. */
static void read_markdown(struct blocks *blocks, const char *text)
{
    const char *block = "";

    for (const char *line = text; *line; line = next_line(line)) {
        if (begins_with(line, "    ")) {
            block = textf("%s%s\n", block, line_text(line + 4));
            continue;
        }
        if (*line != '\n' || !begins_with(next_line(line), "    ")) {
            add_block(blocks, block);
            block = "";
        }
        for (const char *at = line; (at = strstr(at, "`build/")) && at < next_line(line); at++)
            add_block(blocks, textf("%.*s\n", (int)strcspn(at + 1, "`"), at + 1));
    }
    add_block(blocks, block);
}

/* mdoc's \e is a backslash. */
static const char *unescaped(const char *line)
{
    const char *at = strstr(line, "\\e");

    return at ? textf("%.*s\\%s", (int)(at - line), line, unescaped(at + 2)) : line;
}

/* Reads displays (.Bd) and single lines (.Dl). */
static void read_page(struct blocks *blocks, const char *text)
{
    const char *block = NULL;

    for (const char *line = text; *line; line = next_line(line)) {
        if (begins_with(line, ".Bd -literal")) {
            block = "";
        } else if (begins_with(line, ".Ed") && block) {
            add_block(blocks, block);
            block = NULL;
        } else if (block) {
            block = textf("%s%s\n", block, unescaped(line_text(line)));
        } else if (begins_with(line, ".Dl ")) {
            add_block(blocks, textf("%s\n", unescaped(line_text(line + 4))));
        }
    }
}

static const char *source_text(const char *relative)
{
    const char *text = file_read(textf(RPD_SOURCE_DIR "/%s", relative));

    cr_assert_not_null(text, "%s: %s", relative, strerror(errno));
    return text;
}

static const char *page_text(const char *page)
{
    return source_text(textf("framework/install/man/%s", page));
}

static struct blocks blocks_of_readmes(void)
{
    struct blocks blocks = {.count = 0};

    read_markdown(&blocks, source_text("README.md"));
    read_markdown(&blocks, source_text("framework/README.md"));
    return blocks;
}

static struct blocks blocks_of_pages(void)
{
    struct blocks blocks = {.count = 0};

    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        read_page(&blocks, page_text(pages[i]));
    return blocks;
}

static bool is_left_out(const char *line)
{
    for (size_t i = 0; i < LEFT_OUT; i++)
        if (begins_with(line, left_out[i].begins))
            return true;
    return false;
}

static const char *without_left_out(const char *block)
{
    const char *rest = "";

    for (const char *line = block; *line; line = next_line(line))
        if (!is_left_out(line))
            rest = textf("%s%s\n", rest, line_text(line));
    return rest;
}

/* ---- running them --------------------------------------------------------------------------- */

static const char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    return at ? textf("%.*s%s%s", (int)(at - text), text, to, replaced(at + strlen(from), from, to))
              : text;
}

static const char *moved(const char *text, const char *dir)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        text = replaced(text, places[i][0],
                        *places[i][0] == '/' ? textf("%s/%s", dir, places[i][1]) : places[i][1]);
    return text;
}

static const struct scene *scene_of(const char *block)
{
    static const struct scene plain = {0};

    for (size_t i = 0; i < SCENES; i++)
        if (begins_with(block, scenes[i].begins))
            return &scenes[i];
    return &plain;
}

/* A reader waits for a daemon's first line before typing the next command. */
static const char *with_waits(const char *block)
{
    const char *script = "";

    for (const char *line = block; *line; line = next_line(line)) {
        const char *text = line_text(line), *at = strstr(text, "unix:");
        const bool is_behind = *text && text[strlen(text) - 1] == '&' && !strstr(text, "&&");

        script = textf("%s%s\n", script, text);
        if (is_behind && at)
            script = textf("%sawait %.*s\n", script, (int)strcspn(at + 5, " \n"), at + 5);
    }
    return script;
}

static const char *script_of(const char *block, const char *dir)
{
    const struct scene *scene = scene_of(block);
    const char *body = moved(with_waits(block), dir);

    if (scene->is_daemon)
        body = textf("%.*s &\n", (int)strcspn(body, "\n"), body);
    return textf(
        "cd %s\n"
        "await() { for i in {1..1000}; do [ -S $1 ] && return; sleep 0.05; done; false; }\n"
        "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n%s\n%s%s\n",
        dir, scene->before ? scene->before : ":", body, scene->behind ? scene->behind : ":");
}

static void run(const char *dir, const char *block)
{
    struct process *process = process_start(&(struct process_options){
        .argv = ARGS("bash", "-euc", script_of(block, dir)),
        .env = ARGS(textf("HOME=%s", dir), textf("PATH=%s/.local/bin:%s", dir, getenv("PATH")),
                    textf("PKG_CONFIG_PATH=%s/.local/" TEST_LIBDIR "/pkgconfig", dir),
                    textf("CMAKE_PREFIX_PATH=%s/.local", dir), textf("RPD_RUNTIME_DIR=%s/run", dir),
                    textf("XDG_STATE_HOME=%s", dir))});
    int code = -1;

    for (int i = 0; i < 4 && code < 0; i++)
        code = process_code(process_wait_exit(process));
    cr_expect_eq(code, 0, "exit code %d of:\n%s%s%s", code, block, process_stdout(process),
                 process_stderr(process));
    process_free(process);
}

static void copy_sample(const char *dir, const char *name)
{
    const char *text = replaced(source_text(textf("samples/%s", name)), "127.0.0.1:7007",
                                "127.0.0.1:0");

    write_text(textf("%s/samples/%s", dir, name), text);
}

/* The C code of rpd-backend(3), which its commands compile. */
static const char *code_of_page(void)
{
    const char *text = page_text("rpd-backend.3");
    const char *begin = strstr(text, "#include <rpd/backend.h>");

    cr_assert_not_null(begin);
    return unescaped(textf("%.*s", (int)(strstr(begin, ".Ed") - begin), begin));
}

/* Makes a directory as the documents assume it: a build tree, the samples, and rpd installed as
 * README.md says. */
static const char *scene_make(void)
{
    static const char *const dirs[] = {"samples", "run", "tmp", "etc", "etc/rpd"};
    static const char *const samples[] = {"rpd.json", "client.json", "client.c"};
    const char *dir = temp_dir_make();

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        cr_assert_eq(mkdir(textf("%s/%s", dir, dirs[i]), 0700), 0);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        copy_sample(dir, samples[i]);
    cr_assert_eq(symlink(RPD_BUILD_DIR, textf("%s/build", dir)), 0);
    write_text(textf("%s/page.c", dir), code_of_page());
    write_text(textf("%s/tool.json", dir),
               "{\"services\":[{\"name\":\"tool\",\"plugin\":\"echo.so\"}]}");
    run(dir, "cmake --install build --prefix ~/.local >log\n");
    return dir;
}

static void skip_where_not_possible(void)
{
    struct process *process = process_start(&(struct process_options){
        .argv = ARGS("sh", "-c", "command -v socat && command -v pkg-config && command -v cmake")});
    const int code = process_code(process_wait_exit(process));

    process_free(process);
    if (code != 0)
        cr_skip("socat, pkg-config or cmake is not installed");
    if (is_sanitized())
        cr_skip("a sanitized librpd.so cannot be linked without the sanitizer");
}

static void run_all(const struct blocks *blocks)
{
    skip_where_not_possible();
    const char *dir = scene_make();

    for (size_t i = 0; i < blocks->count; i++) {
        const char *block = without_left_out(blocks->texts[i]);
        if (*block)
            run(dir, block);
    }
    temp_dir_remove(dir);
}

/* ---- the tests ------------------------------------------------------------------------------ */

Test(commands, those_of_the_readmes_run)
{
    const struct blocks blocks = blocks_of_readmes();

    cr_assert_geq(blocks.count, 7);
    run_all(&blocks);
}

Test(commands, those_of_the_pages_run)
{
    const struct blocks blocks = blocks_of_pages();

    cr_assert_geq(blocks.count, 10);
    run_all(&blocks);
}

static bool is_printed(const struct blocks *blocks, const char *begins)
{
    for (size_t i = 0; i < blocks->count; i++)
        for (const char *line = blocks->texts[i]; *line; line = next_line(line))
            if (begins_with(line, begins))
                return true;
    return false;
}

/* A row that no document prints must leave the tables. */
Test(commands, each_row_is_printed)
{
    const struct blocks readmes = blocks_of_readmes(), of_pages = blocks_of_pages();

    for (size_t i = 0; i < LEFT_OUT; i++)
        cr_expect(is_printed(&readmes, left_out[i].begins) ||
                      is_printed(&of_pages, left_out[i].begins),
                  "no document prints: %s", left_out[i].begins);
    for (size_t i = 0; i < SCENES; i++)
        cr_expect(is_printed(&readmes, scenes[i].begins) || is_printed(&of_pages, scenes[i].begins),
                  "no document prints: %s", scenes[i].begins);
}

Test(commands, they_are_found)
{
    struct blocks blocks = {.count = 0};

    read_markdown(&blocks, "Text:\n\n    one two\n    three\n\nand `build/four five`.\n\n"
                           "    #include <x.h>\n");
    read_page(&blocks, ".Bd -literal\nsix \\e\n    seven\n.Ed\n.Dl eight\n.Bd -literal\n{\n.Ed\n");
    cr_assert_eq(blocks.count, 4);
    cr_expect_str_eq(blocks.texts[0], "one two\nthree\n");
    cr_expect_str_eq(blocks.texts[1], "build/four five\n");
    cr_expect_str_eq(blocks.texts[2], "six \\\n    seven\n");
    cr_expect_str_eq(blocks.texts[3], "eight\n");
}
