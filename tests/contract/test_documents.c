/* The documents for readers of the source keep their form and are true: README.md stays short,
 * prose stays narrow, and each file, program and manual page that they name exists. The commands of
 * README.md that use a backend are run as printed. */
#include "../integration/common.h"

#include <ctype.h>

TestSuite(documents, .timeout = 110);

enum { README_BYTES_MAX = 9216, PROSE_COLUMNS_MAX = 100 };

static const char *const documents[] = {
    "README.md",
    "framework/README.md",
    "tests/README.md",
    "tests/bench/README.md",
    "samples/out_of_tree/README.md",
};
enum { DOCUMENTS = sizeof documents / sizeof documents[0] };

static const char *source_text(const char *relative)
{
    const char *text = file_read(textf(RPD_SOURCE_DIR "/%s", relative));

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

static bool is_code(const char *line)
{
    return strncmp(line, "    ", 4) == 0;
}

static bool is_table(const char *line)
{
    return *line == '|';
}

/* ---- form ------------------------------------------------------------------------------- */

/* In characters: UTF-8 continuation bytes do not count. */
static size_t columns_of(const char *line)
{
    size_t columns = 0;

    for (; *line && *line != '\n'; line++)
        columns += ((unsigned char)*line & 0xc0) != 0x80;
    return columns;
}

/* The lines of prose that are too wide, one per line. */
static const char *wide_prose(const char *text)
{
    const char *wide = "";

    for (const char *line = text; *line; line = next_line(line))
        if (!is_code(line) && !is_table(line) && columns_of(line) > PROSE_COLUMNS_MAX)
            wide = textf("%s%s\n", wide, line_text(line));
    return wide;
}

Test(documents, readme_is_short)
{
    const size_t size = strlen(source_text("README.md"));

    cr_assert_leq(size, README_BYTES_MAX,
                  "README.md has %zu bytes; move what only some readers "
                  "need to a manual page, or to a README below",
                  size);
}

Test(documents, prose_is_narrow)
{
    for (size_t i = 0; i < DOCUMENTS; i++)
        cr_assert_str_empty(wide_prose(source_text(documents[i])),
                            "%s has lines of more than %d:\n%s", documents[i], PROSE_COLUMNS_MAX,
                            wide_prose(source_text(documents[i])));
}

Test(documents, a_wide_line_is_found)
{
    const char *hundred = "0123456789012345678901234567890123456789012345678901234567890123456789"
                          "0123456789012345678901234567\xc2\xb5s";

    cr_assert_str_empty(wide_prose(hundred));
    cr_assert_str_empty(wide_prose(textf("    %s\n| %s |\n", hundred, hundred)));
    cr_assert_str_eq(wide_prose(textf("short\n%s.\n", hundred)), textf("%s.\n", hundred));
}

/* ---- names ------------------------------------------------------------------------------- */

static bool source_has(const char *relative)
{
    return access(textf(RPD_SOURCE_DIR "/%s", relative), F_OK) == 0;
}

/* Where the path leads, or NULL if the word is not a path in our tree. A program of a build tree
 * (build/ or build-test/NAME/) is looked up in the tree under test. */
static const char *place_of(const char *word)
{
    static const char *const trees[] = {"build/", "build-test/gcc/"};
    const char *first = textf("%.*s", (int)strcspn(word, "/"), word);

    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        if (strncmp(word, trees[i], strlen(trees[i])) == 0)
            return textf(RPD_BUILD_DIR "/%s", word + strlen(trees[i]));
    if (strncmp(word, "build-test/", strlen("build-test/")) == 0)
        return NULL; /* another tree, which may not exist */
    if (strchr(word, '/') == NULL || *first == '\0' || *first == '.')
        return NULL;
    if (source_has(first))
        return textf(RPD_SOURCE_DIR "/%s", word);
    return source_has(textf("framework/%s", first)) ? textf(RPD_SOURCE_DIR "/framework/%s", word)
                                                    : NULL;
}

/* A pattern, or a name that the reader must replace. */
static bool is_placeholder(const char *word)
{
    return strpbrk(word, "*$<") || strstr(word, "NAME") || strstr(word, "SUBJECT");
}

/* The words of code that are paths in our tree but lead nowhere, one per line. *ret_found counts
 * those that lead somewhere. */
static const char *missing_words(const char *code, size_t *ret_found)
{
    const char *missing = "";
    char *words = (char *)textf("%s", code);

    for (char *save, *word = strtok_r(words, " \t\n\"'`()|&;,:=", &save); word;
         word = strtok_r(NULL, " \t\n\"'`()|&;,:=", &save)) {
        const char *place = is_placeholder(word) ? NULL : place_of(word);
        if (place && access(place, F_OK) == 0)
            ++*ret_found;
        else if (place)
            missing = textf("%s%s\n", missing, word);
    }
    return missing;
}

/* Likewise for the target of each link, which starts at the document's directory. */
static const char *missing_links(const char *directory, const char *line, size_t *ret_found)
{
    const char *missing = "";

    for (const char *at = line; (at = strstr(at, "](")); at++) {
        const char *target = textf("%.*s", (int)strcspn(at + 2, ")#"), at + 2);
        if (strncmp(target, "http", 4) == 0)
            continue;
        if (source_has(textf("%s%s", directory, target)))
            ++*ret_found;
        else
            missing = textf("%s%s\n", missing, target);
    }
    return missing;
}

/* The texts between backquotes on a line of prose, separated by spaces. */
static const char *quoted(const char *line)
{
    const char *code = "";

    for (const char *at = strchr(line, '`'); at;) {
        const char *end = strchr(at + 1, '`');
        if (!end)
            break;
        code = textf("%s%.*s ", code, (int)(end - at - 1), at + 1);
        at = strchr(end + 1, '`');
    }
    return code;
}

static const char *missing_names(const char *directory, const char *text, size_t *ret_found)
{
    const char *missing = "";

    for (const char *at = text; *at; at = next_line(at)) {
        const char *line = line_text(at);
        const char *code = is_code(line) ? textf("%.*s", (int)strcspn(line, "#"), line)
                                         : quoted(line);
        missing = textf("%s%s", missing, missing_words(code, ret_found));
        if (!is_code(line))
            missing = textf("%s%s", missing, missing_links(directory, line, ret_found));
    }
    return missing;
}

/* The paths in the last document start at its own directory. */
Test(documents, files_and_programs_exist)
{
    for (size_t i = 0; i < DOCUMENTS - 1; i++) {
        const char *slash = strrchr(documents[i], '/');
        const char *directory = textf("%.*s", slash ? (int)(slash + 1 - documents[i]) : 0,
                                      documents[i]);
        size_t found = 0;
        const char *missing = missing_names(directory, source_text(documents[i]), &found);
        cr_assert_str_empty(missing, "%s names what is not there:\n%s", documents[i], missing);
        cr_assert_gt(found, 5, "%s: only %zu found", documents[i], found);
    }
}

Test(documents, a_name_of_nothing_is_found)
{
    size_t found = 0;
    const char *text = "Read `framework/base/none.c` and `samples/hello.c`, or clients/none.h.\n"
                       "| `clients/none.c` | [a](none/README.md), [b](tests/README.md) |\n"
                       "    build/none unix:/tmp/x -o a=plugins/none   # plugins/ignored\n";

    cr_assert_str_eq(missing_names("", text, &found),
                     "framework/base/none.c\nclients/none.c\nnone/README.md\nbuild/none\n"
                     "plugins/none\n");
    cr_assert_eq(found, 2, "%zu", found);
}

/* ---- manual pages -------------------------------------------------------------------------- */

static bool page_is_shipped(const char *name, char section)
{
    const char *file = textf("framework/install/man/%s.%c", name, section);
    const char *list = source_text("framework/install/man/CMakeLists.txt");

    return (source_has(file) || source_has(textf("%s.in", file))) &&
           strstr(list, textf("%s.%c", name, section));
}

/* The pages that a text names but that are not shipped, as "name(3)", one per line. A text names a
 * page as "man 3 name" or "rpd...(3)". */
static const char *missing_pages(const char *text, size_t *ret_found)
{
    const char *missing = "";

    for (const char *at = text; *at; at++) {
        char name[64], section, end;
        const bool begins = at == text ||
                            (!isalnum((unsigned char)at[-1]) && !strchr("-_.", at[-1]));
        if (!begins || !((sscanf(at, "man %c %63[a-z.-]", &section, name) == 2 &&
                          isdigit((unsigned char)section)) ||
                         (strncmp(at, "rpd", 3) == 0 &&
                          sscanf(at, "%63[a-z.-](%c%c", name, &section, &end) == 3 && end == ')' &&
                          isdigit((unsigned char)section))))
            continue;
        if (page_is_shipped(name, section))
            ++*ret_found;
        else
            missing = textf("%s%s(%c)\n", missing, name, section);
    }
    return missing;
}

Test(documents, manual_pages_are_shipped)
{
    for (size_t i = 0; i < DOCUMENTS; i++) {
        size_t found = 0;
        const char *missing = missing_pages(source_text(documents[i]), &found);
        cr_assert_str_empty(missing, "%s names:\n%s", documents[i], missing);
        cr_assert(found >= 7 || i > 0, "%s: only %zu", documents[i], found);
    }
}

Test(documents, a_page_that_is_not_shipped_is_found)
{
    size_t found = 0;

    cr_assert_str_eq(missing_pages("`man 8 rpd`, rpd.json(5), rpd.json(8), `man 3 rpd-none`, "
                                   "rpd_load(x), listen(2)",
                                   &found),
                     "rpd.json(8)\nrpd-none(3)\n");
    cr_assert_eq(found, 2, "%zu", found);
}

/* README.md lists each shipped page. */
Test(documents, readme_lists_the_manual)
{
    const char *readme = source_text("README.md");
    DIR *stream = opendir(RPD_SOURCE_DIR "/framework/install/man");
    size_t count = 0;

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        const size_t size = strcspn(entry->d_name, "0123456789");
        const char section = entry->d_name[size];
        if (!section || size < 2)
            continue;
        const char *name = textf("%.*s", (int)size - 1, entry->d_name); /* without its dot */
        cr_assert_not_null(strstr(readme, textf("`man %c %s`", section, name)),
                           "README.md does not list %s(%c)", name, section);
        count++;
    }
    if (stream)
        closedir(stream);
    cr_assert_geq(count, 7);
}

/* ---- commands ------------------------------------------------------------------------------ */

/* The block of code that contains a text, without its indentation. */
static const char *block_with(const char *text, const char *wanted)
{
    const char *block = "";

    for (const char *line = text;; line = next_line(line)) {
        if (is_code(line) || (*line == '\n' && *block && is_code(line + 1))) {
            block = textf("%s%s\n", block, is_code(line) ? line_text(line + 4) : "");
            continue;
        }
        if (strstr(block, wanted))
            return block;
        cr_assert_neq(*line, '\0', "README.md has no block with %s", wanted);
        block = "";
    }
}

/* A directory whose build tree lies where README.md has it. */
static const char *scene_make(void)
{
    const char *dir = temp_dir_make();

    cr_assert_eq(symlink(RPD_BUILD_DIR, textf("%s/build", dir)), 0);
    cr_assert_eq(symlink(RPD_SOURCE_DIR "/include", textf("%s/include", dir)), 0);
    cr_assert_eq(mkdir(textf("%s/samples", dir), 0700), 0);
    cr_assert_eq(mkdir(textf("%s/run", dir), 0700), 0);
    const char *client = source_text("samples/client.json");
    file_write(textf("%s/samples/client.json", dir), client, strlen(client));
    return dir;
}

static const char *run_in(const char *dir, const char *script)
{
    struct process *process = process_start(&(struct process_options){
        .argv = ARGS("bash", "-euc", textf("cd %s; %s", dir, script)),
        .env = ARGS(textf("RPD_RUNTIME_DIR=%s/run", dir), textf("XDG_STATE_HOME=%s", dir))});
    const int code = process_code(process_wait_exit(process));
    const char *output = textf("%s", process_stdout(process));

    cr_assert_eq(code, 0, "%d: %s%s", code, output, process_stderr(process));
    process_free(process);
    return output;
}

static void skip_without_socat(void)
{
    struct process *process = process_start(
        &(struct process_options){.argv = ARGS("sh", "-c", "command -v socat")});
    const int code = process_code(process_wait_exit(process));

    process_free(process);
    if (code != 0)
        cr_skip("socat is not installed");
}

Test(documents, the_backend_of_the_readme_runs)
{
    const char *readme = source_text("README.md"), *dir = scene_make();
    const char *code = block_with(readme, "RPD_BACKEND(hello");

    skip_without_socat();
    if (is_sanitized())
        cr_skip("a sanitized librpd.so cannot be linked without the sanitizer");
    file_write(textf("%s/hello.c", dir), code, strlen(code));
    cr_assert_str_eq(
        run_in(dir, textf("{ %s } 2>log & trap 'build/rpdctl stop hello >log 2>&1' EXIT\n"
                          "build/rpdctl wait hello --bound --timeout 60 >log\n"
                          "echo Ada | socat -t 10 - UNIX-CONNECT:run/hello.sock",
                          block_with(readme, "-o hello.so"))),
        "hello, Ada\n");
    temp_dir_remove(dir);
}

Test(documents, the_command_of_the_readme_runs)
{
    const char *readme = source_text("README.md"), *dir = scene_make();
    const char *stop = "trap 'build/rpdctl stop index >log' EXIT";

    skip_without_socat();
    /* The index answers with the first name that has this prefix. */
    const char *shell = run_in(dir, textf("%s; %s", stop, block_with(readme, "sock=$(")));
    cr_assert_eq(strncmp(shell, "ls", 2), 0, "%s", shell);
    const char *client = run_in(dir, textf("%s; %s", stop, block_with(readme, "RPDCTL=")));
    cr_assert(strncmp(client, "ls", 2) == 0 && strstr(client, "\ngre"), "%s", client);
    temp_dir_remove(dir);
}
