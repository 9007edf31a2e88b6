/* The words of documents, messages and comments: each subject has a name ("a client", "the
 * daemon"), and words that a native writer would not choose are absent. In framework/, include/ and
 * samples/ this holds for whole files, in tests/ for comments alone: names and data of tests are
 * free. */
#include "../integration/common.h"

#include <ctype.h>
#include <fts.h>

TestSuite(english, .timeout = 60);

static const char *const banned[] = {"somebody", "nobody", "whoever", "anybody",
                                     "mend",     "mends",  "mended",  "mending"};

static bool is_in_word(char character)
{
    return isalnum((unsigned char)character) || character == '_';
}

/* A name in quotes, such as that of the user "nobody", is not prose. */
static bool is_word_at(const char *text, const char *at, const char *word)
{
    return (at == text || (!is_in_word(at[-1]) && at[-1] != '"')) && !is_in_word(at[strlen(word)]);
}

/* Returns "file: word" for each, one per line. */
static const char *banned_words_of(const char *file, const char *text)
{
    const char *found = "";

    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
        for (const char *at = text; (at = strcasestr(at, banned[i])); at++)
            if (is_word_at(text, at, banned[i]))
                found = textf("%s%s: %s\n", found, file, banned[i]);
    return found;
}

/* ---- comments ---------------------------------------------------------------------------- */

/* The end of a literal in quotes; a backslash protects the next character. */
static const char *literal_end(const char *at)
{
    const char quote = *at;

    for (at++; *at && *at != quote && *at != '\n'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at == quote ? at + 1 : at;
}

static const char *comment_end(const char *at)
{
    const char *end = at[1] == '*' ? strstr(at + 2, "*/") : strchr(at, '\n');

    return end ? end : at + strlen(at);
}

/* The comments of a C or C++ source, one after the other; the caller frees them. */
static char *comments_of(const char *source)
{
    char *comments = calloc(1, 2 * strlen(source) + 1), *to = comments;

    cr_assert_not_null(comments);
    for (const char *at = source; *at;) {
        if (*at == '"' || *at == '\'') {
            at = literal_end(at);
        } else if (*at == '/' && (at[1] == '*' || at[1] == '/')) {
            const char *end = comment_end(at);
            to = mempcpy(to, at, (size_t)(end - at));
            *to++ = '\n';
            at = end + (*end == '*' ? 2 : 0);
        } else {
            at++;
        }
    }
    return comments;
}

static const char *banned_words_in_comments(const char *file, const char *source)
{
    char *comments = comments_of(source);
    const char *found = banned_words_of(file, comments);

    free(comments);
    return found;
}

/* ---- files ---------------------------------------------------------------------------------- */

typedef const char *words_fn(const char *file, const char *text);

static bool is_read_by_people(const char *name)
{
    const char *ending = strrchr(name, '.');

    return ending && strchr("chmi123456789", ending[1]) != NULL;
}

static bool is_c(const char *name)
{
    const char *ending = strrchr(name, '.');

    return ending &&
           (strcmp(ending, ".c") == 0 || strcmp(ending, ".h") == 0 || strcmp(ending, ".cpp") == 0);
}

/* tests/abi/v1 is frozen with the headers that it has copied. */
static bool is_frozen(const FTSENT *entry)
{
    return entry->fts_info == FTS_D && strcmp(entry->fts_name, "v1") == 0;
}

static const char *found_below(const char *relative, bool (*is_wanted)(const char *name),
                               words_fn *words_of)
{
    const char *root = textf(RPD_SOURCE_DIR "/%s", relative);
    char *paths[] = {(char *)(uintptr_t)root, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const char *found = "";
    size_t count = 0;

    cr_assert_not_null(tree);
    for (FTSENT *entry; (entry = fts_read(tree));) {
        if (is_frozen(entry))
            fts_set(tree, entry, FTS_SKIP);
        if (entry->fts_info != FTS_F || !is_wanted(entry->fts_name))
            continue;
        found = textf("%s%s", found, words_of(entry->fts_path, file_read(entry->fts_path)));
        count++;
    }
    fts_close(tree);
    cr_assert_gt(count, 5, "%s has %zu files", relative, count);
    return found;
}

/* ---- the tests ------------------------------------------------------------------------------ */

Test(english, subjects_have_names)
{
    static const char *const places[] = {"framework", "include", "samples", "plugins/kv"};
    static const char *const documents[] = {"README.md", "tests/README.md",
                                            "tests/bench/README.md"};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *found = found_below(places[i], is_read_by_people, banned_words_of);
        cr_expect_str_empty(found, "name the subject instead:\n%s", found);
    }
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        const char *text = file_read(textf(RPD_SOURCE_DIR "/%s", documents[i]));
        cr_assert_not_null(text, "%s", documents[i]);
        const char *found = banned_words_of(documents[i], text);
        cr_expect_str_empty(found, "name the subject instead:\n%s", found);
    }
}

Test(english, subjects_have_names_in_comments_of_tests)
{
    const char *found = found_below("tests", is_c, banned_words_in_comments);

    cr_expect_str_empty(found, "name the subject instead:\n%s", found);
}

Test(english, a_subject_without_a_name_is_found)
{
    cr_expect_str_empty(banned_words_of("f", "to recommend an amendment to bodies"));
    cr_expect_str_eq(banned_words_of("f", "Nobody mends it."), "f: nobody\nf: mends\n");
}

/* The control: code, strings and names are not looked at, and comments are, wherever they stand. */
Test(english, a_subject_without_a_name_is_found_in_comments_alone)
{
    const char *code =
        "Test(locks, nobody_waits)\n{\n    say(\"\\\"/* nobody\", '\"', \"// anybody\");\n}\n";

    cr_expect_str_empty(banned_words_in_comments("f", code));
    cr_expect_str_empty(
        banned_words_in_comments("f", "/* As the user \"nobody\", in ask_as_nobody(). */"));
    cr_expect_str_eq(banned_words_in_comments("f", textf("%s/* Nobody\n * waits. */ x", code)),
                     "f: nobody\n");
    cr_expect_str_eq(banned_words_in_comments("f", textf("%sint x; // whoever", code)),
                     "f: whoever\n");
    cr_expect_str_eq(banned_words_in_comments("f", "x('\\''); /* mended"), "f: mended\n");
}
