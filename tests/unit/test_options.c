/* A service's options: the user's values, checked against the backend's table. */
#include "plugin/option_table.h"
#include "plugin/options.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct rpd_option table[] = {
    RPD_OPTION_STRING("greeting", "hello", "What to say"),
    RPD_OPTION_STRING("path", NULL, "Where"),
    RPD_OPTION_INTEGER("limit", 10, -5, 100, "How many"),
    RPD_OPTION_INTEGER("huge", 0, -INFINITY, INFINITY, "Any"),
    RPD_OPTION_NUMBER("ratio", 0.5, 0, 1, "How much"),
    RPD_OPTION_BOOLEAN("fast", true, "Whether"),
    RPD_OPTIONS_END,
};

static const struct option_tables tables = {table, NULL};

static char directory[] = "/tmp/rpd-test-options-XXXXXX";

static void enter_directory(void)
{
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(chdir(directory), 0);
}

static void remove_directory(void)
{
    unlink("c.json");
    cr_assert_eq(rmdir(directory), 0);
}

TestSuite(options, .init = enter_directory, .fini = remove_directory, .timeout = 10);

/* json: the value of "options" in a file, or NULL for none; text: the value of -o. */
static void load(struct config *config, const char *json, const char *text)
{
    const struct config_request request = {.file = json ? "c.json" : NULL,
                                           .plugin = json && !text ? NULL : "p.so",
                                           .name = json && text ? "s" : NULL,
                                           .options = &text,
                                           .option_count = text ? 1 : 0};
    struct error *errors;
    size_t count;

    if (json) {
        FILE *file = fopen("c.json", "w");

        fprintf(file, "{\"services\":[{\"plugin\":\"p\",\"name\":\"s\",\n\"options\":%s}]}", json);
        fclose(file);
    }
    cr_assert_eq(config_load(config, &request, &errors, &count), 0);
}

static int make(struct options *options, const struct config *config, struct error **errors,
                size_t *count)
{
    return options_make(options, &tables, "demo", config, &config->services[0], errors, count);
}

static void expect_mistakes(const char *json, const char *text, const char *expected)
{
    struct config config;
    struct options options;
    struct error *errors;
    size_t count;
    char found[8192] = "";

    load(&config, json, text);
    cr_assert_eq(make(&options, &config, &errors, &count), -1, "%s %s", json, text);
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(found);

        cr_assert_eq((int)errors[i].code, 78);
        snprintf(found + used, sizeof found - used, "%s%s", i ? "\n" : "", errors[i].text);
    }
    cr_assert_str_eq(found, expected, "\n   found %s\nexpected %s", found, expected);
    free(errors);
    config_finish(&config);
}

Test(options, defaults)
{
    struct config config;
    struct options options;
    struct error *errors;
    size_t count;

    load(&config, NULL, NULL);
    cr_assert_eq(make(&options, &config, &errors, &count), 0);
    cr_assert_str_eq(options_find(&options, "greeting", RPD_OPTION_STRING_TYPE)->string, "hello");
    cr_assert_null(options_find(&options, "path", RPD_OPTION_STRING_TYPE)->string);
    cr_assert_eq(options_find(&options, "limit", RPD_OPTION_INTEGER_TYPE)->integer, 10);
    cr_assert(options_find(&options, "ratio", RPD_OPTION_NUMBER_TYPE)->number == 0.5);
    cr_assert(options_find(&options, "fast", RPD_OPTION_BOOLEAN_TYPE)->boolean);
    cr_assert(options_find(&options, "fast", RPD_OPTION_BOOLEAN_TYPE)->is_default);
    cr_assert_null(options_find(&options, "fast", RPD_OPTION_STRING_TYPE));
    cr_assert_null(options_find(&options, "none", RPD_OPTION_STRING_TYPE));
    options_finish(&options);
    config_finish(&config);
}

Test(options, from_the_file_and_over_it)
{
    struct config config;
    struct options options;
    struct error *errors;
    size_t count;

    load(&config,
         "{\"greeting\":\"hi\",\"limit\":-5,\"ratio\":1,\"fast\":false,\"x-any\":null,"
         "\"huge\":9223372036854775807}",
         "limit=+7");
    cr_assert_eq(make(&options, &config, &errors, &count), 0);
    config_finish(&config); /* the options exist on their own */
    cr_assert_str_eq(options_find(&options, "greeting", RPD_OPTION_STRING_TYPE)->string, "hi");
    cr_assert_eq(options_find(&options, "limit", RPD_OPTION_INTEGER_TYPE)->integer, 7);
    cr_assert_eq(options_find(&options, "huge", RPD_OPTION_INTEGER_TYPE)->integer, INT64_MAX);
    cr_assert(options_find(&options, "ratio", RPD_OPTION_NUMBER_TYPE)->number == 1);
    cr_assert_not(options_find(&options, "fast", RPD_OPTION_BOOLEAN_TYPE)->boolean);
    cr_assert_not(options_find(&options, "fast", RPD_OPTION_BOOLEAN_TYPE)->is_default);
    options_finish(&options);
}

#define AT "config: c.json:2:"
#define IN ": $.services[0].options."

Test(options, mistakes_in_the_file)
{
    /* One mistake per line. */
    /* clang-format off */
    expect_mistakes("{\"limit\":\"7\",\"greting\":1,\"ratio\":true,\"fast\":\"yes\"}", NULL,
                    AT "20" IN "limit: expected an integer from -5 to 100, found \"7\"\n" AT
                       "24" IN "greting: demo has no such option; did you mean \"greeting\"?\n" AT
                       "44" IN "ratio: expected a number from 0 to 1, found true\n" AT
                       "56" IN "fast: expected true or false, found \"yes\"");
    expect_mistakes("{\"limit\":101,\"bananas\":1,\"ratio\":1.5,\"greeting\":3}", NULL,
                    AT "20" IN "limit: expected an integer from -5 to 100, found 101\n" AT
                       "24" IN "bananas: demo has no such option; it has greeting, path, limit, "
                       "huge, ratio, fast\n" AT
                       "44" IN "ratio: expected a number from 0 to 1, found 1.5\n" AT
                       "59" IN "greeting: expected a string, found 3");
    /* clang-format on */
    expect_mistakes("{\"limit\":1.0}", NULL,
                    AT "20" IN "limit: expected an integer from -5 to 100, found 1");
}

Test(options, mistakes_on_the_command_line)
{
    static const char *const bad[] = {
        "limit=",
        "limit=1x",
        "limit= 1",
        "limit=101",
        "limit=9223372036854775808",
        "limit=1.0",
        "limit=--1",
        "limit=0x1",
        "huge=-9223372036854775809",
        "huge=nan",
        "ratio=",
        "ratio=nan",
        "ratio=inf",
        "ratio=1e999",
        "ratio=0x1",
        "ratio=1.0x",
        "ratio=-0.1",
        "fast=maybe",
        "fast=",
        "fast=TRUE",
        "fast=2",
        "unknown=1",
    };
    struct config config;
    struct options options;

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct error *errors;
        size_t count;

        load(&config, NULL, bad[i]);
        cr_assert_eq(make(&options, &config, &errors, &count), -1, "%s", bad[i]);
        cr_assert_eq(count, 1);
        cr_assert_eq((int)errors[0].code, 78);
        free(errors);
        config_finish(&config);
    }
    expect_mistakes(NULL, "limit=1x",
                    "config: command line: -o limit: expected an integer from -5 to 100, found "
                    "\"1x\"");
    expect_mistakes(NULL, "gretting=a",
                    "config: command line: -o gretting: demo has no such option; did you mean "
                    "\"greeting\"?");
}

Test(options, booleans_as_text)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

    for (size_t i = 0; i < COUNT(words); i++) {
        struct config config;
        struct options options;
        struct error *errors;
        size_t count;
        char text[32];

        snprintf(text, sizeof text, "fast=%s", words[i]);
        load(&config, NULL, text);
        cr_assert_eq(make(&options, &config, &errors, &count), 0);
        cr_assert_eq(options_find(&options, "fast", RPD_OPTION_BOOLEAN_TYPE)->boolean, i % 2 == 1);
        options_finish(&options);
        config_finish(&config);
    }
}

Test(options, no_table)
{
    struct config config;
    struct options options;
    struct error *errors;
    size_t count;

    load(&config, NULL, "a=1");
    cr_assert_eq(options_make(&options, &(struct option_tables){NULL, NULL}, "demo", &config,
                              &config.services[0], &errors, &count),
                 -1);
    cr_assert_str_eq(errors[0].text,
                     "config: command line: -o a: demo has no such option; it has none");
    free(errors);
    config_finish(&config);
}

Test(options, a_plugin_with_a_bad_table)
{
    static const struct rpd_option rows[][3] = {
        {{"Bad", "", RPD_OPTION_STRING_TYPE, NULL, 0, 0, 0, 0}, RPD_OPTIONS_END},
        {{"", "", RPD_OPTION_STRING_TYPE, NULL, 0, 0, 0, 0}, RPD_OPTIONS_END},
        {{NULL, "", RPD_OPTION_STRING_TYPE, NULL, 0, 0, 0, 0}, RPD_OPTIONS_END},
        {RPD_OPTION_STRING("a", "", ""), RPD_OPTION_BOOLEAN("a", 1, ""), RPD_OPTIONS_END},
        {RPD_OPTION_INTEGER("a", 1, 2, 1, ""), RPD_OPTIONS_END},
        {RPD_OPTION_INTEGER("a", 3, 1, 2, ""), RPD_OPTIONS_END},
        {RPD_OPTION_INTEGER("a", 1, 1.5, 2, ""), RPD_OPTIONS_END},
        {RPD_OPTION_INTEGER("a", 1, NAN, 2, ""), RPD_OPTIONS_END},
        {RPD_OPTION_NUMBER("a", 3, 1, 2, ""), RPD_OPTIONS_END},
        {RPD_OPTION_NUMBER("a", NAN, 1, 2, ""), RPD_OPTIONS_END},
        {{"a", "", RPD_OPTION_BOOLEAN_TYPE, NULL, 2, 0, 1, 0}, RPD_OPTIONS_END},
        {{"a", "", (enum rpd_option_type)99, NULL, 0, 0, 0, 0}, RPD_OPTIONS_END},
    };
    struct error error;

    cr_assert_eq(option_table_check(table, "p", &error), 0);
    cr_assert_eq(option_table_check(NULL, "p", &error), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        error.code = EXIT_STOPPED;
        cr_assert_eq(option_table_check(rows[i], "p", &error), -1, "table %zu", i);
        cr_assert_eq((int)error.code, 65);
        cr_assert_not_null(strstr(error.text, "plugin: p: row "), "%s", error.text);
    }
    option_table_check(rows[5], "p", &error);
    cr_assert_str_eq(error.text, "plugin: p: row 0 of its options (a): its default is out of its "
                                 "range; fix the plugin");
}

/* ---- secrets ---- */

static const struct rpd_option secrets[] = {RPD_OPTION_SECRET("key_file", "of the key"),
                                            RPD_OPTIONS_END};

/* Returns the code; the text is the secret, or the error. */
static int make_secret(const char *name, char *text, size_t size)
{
    struct config config;
    struct options options;
    struct error *errors;
    size_t count;
    char json[600];
    int code = 0;

    snprintf(json, sizeof json, "{\"key_file\":\"%s\"}", name);
    load(&config, json, NULL);
    if (options_make(&options, &(struct option_tables){secrets, NULL}, "demo", &config,
                     &config.services[0], &errors, &count) < 0) {
        cr_assert_eq(count, 1);
        code = (int)errors[0].code;
        snprintf(text, size, "%s", errors[0].text);
        free(errors);
    } else {
        snprintf(text, size, "%s",
                 options_find(&options, "key_file", RPD_OPTION_SECRET_TYPE)->string);
        options_finish(&options);
    }
    config_finish(&config);
    return code;
}

static void expect_secret(const char *path, const char *content, size_t size, mode_t mode, int code,
                          const char *wanted)
{
    char text[1024];

    unlink(path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, content, size), (ssize_t)size);
    cr_assert_eq(fchmod(fd, mode), 0);
    /* With a group other than root's, for which it is an access list's mask. */
    if (geteuid() == 0)
        cr_assert_eq(fchown(fd, 0, 65534), 0);
    close(fd);
    cr_assert_eq(make_secret(path, text, sizeof text), code, "%s", text);
    cr_assert(code ? strstr(text, wanted) != NULL : strcmp(text, wanted) == 0, "%s: not %s", text,
              wanted);
}

Test(options, secrets_are_read_from_files_that_nobody_else_can_read)
{
    char dir[] = "/tmp/rpd-secret.XXXXXX", path[64], text[1024];

    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/key", dir);
    expect_secret(path, "open sesame\n", 12, 0600, 0, "open sesame");
    expect_secret(path, "two\nlines", 9, 0400, 0, "two\nlines");
    expect_secret(path, "x", 1, 0640, 77, "others can read it; chmod 0600 it");
    expect_secret(path, "x", 1, 0604, 77, "others can read it");
    expect_secret(path, "x", 1, 0620, 77, "others can write it");
    expect_secret(path, "", 0, 0600, 78, "is empty");
    expect_secret(path, "\n", 1, 0600, 78, "is empty");
    expect_secret(path, "a\0b", 3, 0600, 78, "has a byte 0 in it");
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    expect_secret(path, "of the manager", 14, 0400, 0, "of the manager");
    cr_assert_eq(make_secret("key", text, sizeof text), 0, "%s", text);
    cr_assert_str_eq(text, "of the manager");
    cr_assert_eq(make_secret("../key", text, sizeof text), 78, "%s", text);
    cr_assert_eq(make_secret("..", text, sizeof text), 78, "%s", text);
    cr_assert_eq(make_secret("", text, sizeof text), 78, "%s", text);
    cr_assert_eq(make_secret("missing", text, sizeof text), 66, "%s", text);
    unsetenv("CREDENTIALS_DIRECTORY");
    cr_assert_eq(make_secret("key", text, sizeof text), 78, "%s", text);
    cr_assert_not_null(strstr(text, "pass it with LoadCredential="), "%s", text);
    cr_assert_eq(make_secret(dir, text, sizeof text), 77, "%s", text);
    cr_assert_eq(make_secret("/dev/null", text, sizeof text), 77, "%s", text);
    unlink(path);
    rmdir(dir);
}

Test(options, secrets_are_none_where_they_are_unset)
{
    struct config config;
    struct options options;
    struct error *errors;
    size_t count;

    load(&config, NULL, NULL);
    cr_assert_eq(options_make(&options, &(struct option_tables){secrets, NULL}, "demo", &config,
                              &config.services[0], &errors, &count),
                 0);
    cr_assert_null(options_find(&options, "key_file", RPD_OPTION_SECRET_TYPE)->string);
    options_finish(&options);
    config_finish(&config);
}

/* ---- the second table ---- */

static const struct rpd_option rows_of_details[] = {
    RPD_OPTION_INTEGER("cache_bytes", 1024, 0, 1e12, "Memory"),
    RPD_OPTION_INTEGER("wait_ms", 10, 0, 1e9, "Pause"),
    RPD_OPTION_INTEGER("keep_s", 10, 0, 1e9, "Time"),
    RPD_OPTION_NUMBER("tick_s", 1, 0, 100, "Time"),
    RPD_OPTION_STRING("directory", "$XDG_CACHE_HOME/demo", "Where"),
    RPD_OPTION_STRING("mode", "fast", "How"),
    RPD_OPTION_STRING("words", "a,b", "Which"),
    RPD_OPTION_STRING("paths", NULL, "Which"),
    RPD_OPTION_STRING("token", NULL, "Key"),
    RPD_OPTIONS_END,
};

static const struct rpd_option_detail details[] = {
    RPD_DETAIL_SIZE("cache_bytes", 0),
    RPD_DETAIL_DURATION("wait_ms", RPD_UNIT_MILLISECONDS, 0),
    RPD_DETAIL_DURATION("keep_s", RPD_UNIT_SECONDS, 0),
    RPD_DETAIL_DURATION("tick_s", RPD_UNIT_SECONDS, 0),
    RPD_DETAIL_PATH("directory", 0),
    RPD_DETAIL_CHOICES("mode", "fast|exact|none", 0),
    RPD_DETAIL("words", RPD_OPTION_IS_LIST),
    RPD_DETAIL_PATH("paths", RPD_OPTION_IS_LIST),
    RPD_DETAIL("token", RPD_OPTION_IS_SECRET),
    RPD_DETAILS_END,
};

static const struct option_tables detailed = {rows_of_details, details};

/* The value of an option, as text; or the only error, after its code. */
static const char *value_in(const struct option_tables *of, const char *json, const char *text,
                            const char *name)
{
    static char result[2048];
    struct config config;
    struct options options;
    struct error *errors;
    size_t count;

    load(&config, json, text);
    if (options_make(&options, of, "demo", &config, &config.services[0], &errors, &count) < 0) {
        cr_assert_eq(count, 1, "%s", errors[1].text);
        snprintf(result, sizeof result, "%d %s", (int)errors[0].code, errors[0].text);
        free(errors);
        config_finish(&config);
        return result;
    }
    config_finish(&config);
    for (size_t i = 0; i < options.count; i++) {
        const struct option_value *value = &options.values[i];

        if (strcmp(value->row->name, name) != 0)
            continue;
        if (value->row->type == RPD_OPTION_INTEGER_TYPE)
            snprintf(result, sizeof result, "%lld", (long long)value->integer);
        else if (value->row->type == RPD_OPTION_NUMBER_TYPE)
            snprintf(result, sizeof result, "%g", value->number);
        else if (value->detail.choices)
            snprintf(result, sizeof result, "%s %d", value->string, value->choice);
        else if (value->detail.flags & RPD_OPTION_IS_LIST)
            snprintf(result, sizeof result, "%zu %s", value->item_count,
                     value->string ? value->string : "-");
        else
            snprintf(result, sizeof result, "%s", value->string ? value->string : "-");
    }
    options_finish(&options);
    return result;
}

static void expect_value(const char *json, const char *text, const char *name, const char *wanted)
{
    const char *found = value_in(&detailed, json, text, name);

    cr_expect_str_eq(found, wanted, "%s %s:\n   found %s\nexpected %s", json, text, found, wanted);
}

#define MISTAKE(column) "78 config: c.json:2:" column ": $.services[0].options."

Test(options, sizes_and_durations)
{
    expect_value("{\"cache_bytes\":\"64M\"}", NULL, "cache_bytes", "67108864");
    expect_value("{\"cache_bytes\":4096}", NULL, "cache_bytes", "4096");
    expect_value(NULL, "cache_bytes=1.5K", "cache_bytes", "1536");
    expect_value(NULL, "cache_bytes=77", "cache_bytes", "77");
    expect_value(NULL, NULL, "cache_bytes", "1024");
    expect_value("{\"wait_ms\":\"1.5s\"}", NULL, "wait_ms", "1500");
    expect_value("{\"keep_s\":\"1h30m\"}", NULL, "keep_s", "5400");
    expect_value("{\"tick_s\":\"250ms\"}", NULL, "tick_s", "0.25");
    expect_value(NULL, "tick_s=2.5", "tick_s", "2.5");
    /* clang-format off */
    expect_value("{\"cache_bytes\":\"64MB\"}", NULL, "",
                 MISTAKE("26") "cache_bytes: expected an integer from 0 to 1000000000000 of bytes, "
                 "or a size such as \"64M\", found \"64MB\"; did you mean \"MiB\"?");
    expect_value("{\"cache_bytes\":\"64\"}", NULL, "",
                 MISTAKE("26") "cache_bytes: expected an integer from 0 to 1000000000000 of bytes, "
                 "or a size such as \"64M\", found \"64\"");
    expect_value("{\"cache_bytes\":\"2T\"}", NULL, "",
                 MISTAKE("26") "cache_bytes: expected an integer from 0 to 1000000000000 of bytes, "
                 "or a size such as \"64M\", found \"2T\"");
    expect_value("{\"keep_s\":\"250ms\"}", NULL, "",
                 MISTAKE("21") "keep_s: expected an integer from 0 to 1000000000 of seconds, "
                 "or a duration such as \"1h30m\", found \"250ms\"");
    expect_value(NULL, "wait_ms=1hour", "",
                 "78 config: command line: -o wait_ms: expected an integer from 0 to 1000000000 of "
                 "milliseconds, or a duration such as \"1h30m\", found \"1hour\"");
    /* clang-format on */
}

Test(options, choices)
{
    expect_value(NULL, NULL, "mode", "fast 0");
    expect_value("{\"mode\":\"none\"}", NULL, "mode", "none 2");
    expect_value(NULL, "mode=exact", "mode", "exact 1");
    expect_value("{\"mode\":\"exakt\"}", NULL, "",
                 MISTAKE("19") "mode: expected \"fast\", \"exact\" or \"none\", found \"exakt\"; "
                               "did you mean \"exact\"?");
    expect_value("{\"mode\":\"fast|exact\"}", NULL, "",
                 MISTAKE("19") "mode: expected \"fast\", \"exact\" or \"none\", found "
                               "\"fast|exact\"");
    expect_value("{\"mode\":[\"fast\"]}", NULL, "",
                 MISTAKE("19") "mode: expected \"fast\", \"exact\" or \"none\", found an array");
}

Test(options, lists)
{
    expect_value(NULL, NULL, "words", "2 a,b");
    expect_value(NULL, NULL, "paths", "0 -");
    expect_value("{\"words\":[]}", NULL, "words", "0 ");
    expect_value("{\"words\":[\"x\",\"y,z\",\"\"]}", NULL, "words", "3 x,y,z,");
    expect_value("{\"words\":\"x,y\"}", NULL, "words", "1 x,y");
    expect_value(NULL, "words=x,y,,z", "words", "4 x,y,,z");
    expect_value(NULL, "words=", "words", "0 ");
    expect_value("{\"words\":3}", NULL, "",
                 MISTAKE("20") "words: expected an array of strings, found 3");
    expect_value("{\"cache_bytes\":[\"1M\"]}", NULL, "",
                 MISTAKE("26") "cache_bytes: expected an integer from 0 to 1000000000000 of bytes, "
                               "or a size such as \"64M\", found an array");
    expect_value("{\"token\":[\"x\"]}", NULL, "",
                 MISTAKE("20") "token: expected a string, found something else");
}

Test(options, paths)
{
    char here[512], wanted[2048];

    cr_assert_not_null(getcwd(here, sizeof here));
    setenv("XDG_CACHE_HOME", "/cache", 1);
    setenv("XDG_STATE_HOME", "not absolute: to be ignored", 1);
    setenv("HOME", "/home/ada", 1);
    unsetenv("STATE_DIRECTORY");
    expect_value(NULL, NULL, "directory", "/cache/demo");
    expect_value("{\"directory\":\"/a/b\"}", NULL, "directory", "/a/b");
    expect_value("{\"directory\":\"$XDG_STATE_HOME\"}", NULL, "directory",
                 "/home/ada/.local/state");
    expect_value(NULL, "directory=$XDG_STATE_HOME/x", "directory", "/home/ada/.local/state/x");
    setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", 1);
    expect_value(NULL, "directory=$XDG_STATE_HOME/x", "directory", "/var/lib/a/x");
    /* Relative to the file, and to the working directory. */
    snprintf(wanted, sizeof wanted, "%s/sub/x", here);
    expect_value("{\"directory\":\"sub/x\"}", NULL, "directory", wanted);
    expect_value(NULL, "directory=sub/x", "directory", wanted);
    snprintf(wanted, sizeof wanted, "2 %s/one,/two", here);
    expect_value("{\"paths\":[\"one\",\"/two\"]}", NULL, "paths", wanted);
    expect_value(NULL, "paths=one,/two", "paths", wanted);
    /* clang-format off */
    expect_value("{\"directory\":\"$XDG_CACHE_HOM/x\"}", NULL, "",
                 MISTAKE("24") "directory: a path can begin with $XDG_CACHE_HOME or $XDG_STATE_HOME, "
                 "not with $XDG_CACHE_HOM; did you mean \"$XDG_CACHE_HOME\"?");
    expect_value("{\"directory\":\"\"}", NULL, "",
                 MISTAKE("24") "directory: is empty; name a path");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("CACHE_DIRECTORY");
    unsetenv("HOME");
    expect_value("{\"mode\":\"fast\"}", NULL, "",
                 MISTAKE("11") "directory: neither $XDG_CACHE_HOME nor $HOME is set; write the whole "
                 "path");
    /* clang-format on */
    /* A default that is not needed is not computed. */
    expect_value(NULL, "directory=/a", "directory", "/a");
}

Test(options, what_is_required)
{
    static const struct rpd_option rows[] = {
        RPD_OPTION_STRING("directory", NULL, "where files are"),
        RPD_OPTION_INTEGER("size", 1, 0, 9, "how many"), RPD_OPTIONS_END};
    static const struct rpd_option_detail of[] = {
        RPD_DETAIL_PATH("directory", RPD_OPTION_IS_REQUIRED), RPD_DETAILS_END};
    static const struct option_tables required = {rows, of};

    cr_expect_str_eq(value_in(&required, "{\"directory\":\"/a\"}", NULL, "directory"), "/a");
    cr_expect_str_eq(value_in(&required, NULL, "size=3", ""),
                     "78 config: command line: -o directory: missing; this option is required: "
                     "where files are");
    cr_expect_str_eq(value_in(&required, "{\"size\":3}", NULL, ""),
                     MISTAKE("11") "directory: missing; this option is required: where files are");
}

Test(options, secrets_that_stand_there_themselves)
{
    struct config config;

    load(&config, "{}", NULL); /* makes the file */
    config_finish(&config);
    cr_assert_eq(chmod("c.json", 0600), 0);
    cr_assert_eq(chown("c.json", geteuid(), geteuid() ? getegid() : 65534), 0);
    expect_value("{\"token\":\"sesame\"}", NULL, "token", "sesame");
    cr_assert_eq(chmod("c.json", 0640), 0);
    expect_value("{\"token\":\"sesame\"}", NULL, "",
                 "77 config: c.json:2:20: $.services[0].options.token: it is a secret, and other "
                 "users can read this file; chmod 0600 it");
    expect_value("{\"mode\":\"none\"}", NULL, "mode", "none 2"); /* no secret, so the mode does not
                                                                  * matter */
    cr_assert_eq(chmod("c.json", 0600), 0);
    expect_value("{\"token\":12345}", NULL, "",
                 MISTAKE("20") "token: expected a string, found something else");
    expect_value(NULL, "token=sesame", "",
                 "78 config: command line: -o token: it is a secret, and every user can see a "
                 "command line; write it into a configuration with mode 0600");
}

Test(options, a_plugin_with_bad_details)
{
    static const struct rpd_option options[] = {
        RPD_OPTION_STRING("s", NULL, ""), RPD_OPTION_STRING("preset", "x", ""),
        RPD_OPTION_INTEGER("i", 1, 0, 9, ""), RPD_OPTION_BOOLEAN("b", 0, ""), RPD_OPTIONS_END};
    static const struct rpd_option_detail bad[][3] = {
        {RPD_DETAIL("none", 0), RPD_DETAILS_END},
        {RPD_DETAIL("s", 0), RPD_DETAIL("s", 0), RPD_DETAILS_END},
        {RPD_DETAIL_SIZE("s", 0), RPD_DETAILS_END},
        {RPD_DETAIL_SIZE("b", 0), RPD_DETAILS_END},
        {RPD_DETAIL_DURATION("s", RPD_UNIT_SECONDS, 0), RPD_DETAILS_END},
        {RPD_DETAIL_PATH("i", 0), RPD_DETAILS_END},
        {RPD_DETAIL("i", RPD_OPTION_IS_LIST), RPD_DETAILS_END},
        {RPD_DETAIL("b", RPD_OPTION_IS_SECRET), RPD_DETAILS_END},
        {RPD_DETAIL_CHOICES("i", "a|b", 0), RPD_DETAILS_END},
        {RPD_DETAIL_CHOICES("preset", "a|b", 0), RPD_DETAILS_END},
        {RPD_DETAIL_CHOICES("s", "", 0), RPD_DETAILS_END},
        {RPD_DETAIL_CHOICES("s", "a||b", 0), RPD_DETAILS_END},
        {RPD_DETAIL_CHOICES("s", "a|b", RPD_OPTION_IS_LIST), RPD_DETAILS_END},
        {RPD_DETAIL_PATH("s", RPD_OPTION_IS_SECRET), RPD_DETAILS_END},
        {RPD_DETAIL("preset", RPD_OPTION_IS_SECRET), RPD_DETAILS_END},
        {RPD_DETAIL("preset", RPD_OPTION_IS_REQUIRED), RPD_DETAILS_END},
        {{0, 0, "s", NULL, 0, 0}, RPD_DETAILS_END},
        {{4, 0, "s", NULL, 0, 0}, RPD_DETAILS_END},
        {{1 << 20, 0, "s", NULL, 0, 0}, RPD_DETAILS_END},
        {RPD_DETAIL("s", 0),
         {sizeof(struct rpd_option_detail) + 8, 0, "i", NULL, 0, 0},
         RPD_DETAILS_END},
    };
    struct error error;

    for (size_t i = 0; i < COUNT(bad); i++) {
        const struct option_tables of = {options, bad[i]};

        error.code = EXIT_STOPPED;
        cr_expect_eq(option_details_check(&of, "p", &error), -1, "table %zu", i);
        cr_expect_eq((int)error.code, 65);
        cr_expect_not_null(strstr(error.text, "plugin: p: row "), "%s", error.text);
    }
    cr_expect_eq(option_details_check(&detailed, "p", &error), 0);
    cr_expect_eq(option_details_check(&(struct option_tables){options, NULL}, "p", &error), 0);
}

/* A plugin of a newer rpd: its rows are larger, and contain fields that this one does not know. */
Test(options, details_of_a_newer_rpd)
{
    static const struct newer {
        struct rpd_option_detail row;
        const char *more;
    } rows[] = {
        {{sizeof(struct newer), 0x8000 | RPD_OPTION_IS_LIST, "s", NULL, 0, 0}, "?"},
        {{sizeof(struct newer), 0, "i", NULL, RPD_UNIT_BYTES, 0}, "?"},
        {{sizeof(struct newer), 0, "j", NULL, 77, 0}, "?"},
        {{sizeof(struct newer), 0, NULL, NULL, 0, 0}, "?"},
    };
    static const struct rpd_option options[] = {
        RPD_OPTION_STRING("s", NULL, ""), RPD_OPTION_INTEGER("i", 1, 0, 1 << 30, ""),
        RPD_OPTION_INTEGER("j", 1, 0, 1 << 30, ""), RPD_OPTIONS_END};
    static const struct newer mixed[] = {
        {{sizeof(struct newer), 0, "s", NULL, 0, 0}, "?"},
        {{sizeof(struct rpd_option_detail), 0, NULL, NULL, 0, 0}, "?"},
    };
    const struct option_tables of = {options, &rows[0].row}, wrong = {options, &mixed[0].row};
    struct error error;

    cr_expect_eq(option_details_check(&wrong, "p", &error), -1);
    cr_expect_str_eq(value_in(&of, "{\"s\":[\"a\",\"b\"]}", NULL, "s"), "2 a,b");
    cr_expect_str_eq(value_in(&of, "{\"i\":\"1M\"}", NULL, "i"), "1048576");
    cr_expect_str_eq(value_in(&of, "{\"j\":5}", NULL, "j"), "5");
}
