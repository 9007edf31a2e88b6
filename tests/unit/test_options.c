/* A service's options: what the user wrote against the backend's table. */
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

/* json: what stands under "options" of a file, or NULL for none; text: of -o. */
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
    return options_make(options, table, "demo", config, &config->services[0], errors, count);
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
    config_finish(&config); /* the options stand on their own */
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
    /* One mistake a line. */
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
    cr_assert_eq(
        options_make(&options, NULL, "demo", &config, &config.services[0], &errors, &count), -1);
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
                                 "range; the plugin must be mended");
}

/* ---- secrets ---- */

static const struct rpd_option secrets[] = {RPD_OPTION_SECRET("key_file", "of the key"),
                                            RPD_OPTIONS_END};

/* The code, and the secret or the error. */
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
    if (options_make(&options, secrets, "demo", &config, &config.services[0], &errors, &count) <
        0) {
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
    /* As of another group than root's, for which it is an access list's mask. */
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
    cr_assert_eq(
        options_make(&options, secrets, "demo", &config, &config.services[0], &errors, &count), 0);
    cr_assert_null(options_find(&options, "key_file", RPD_OPTION_SECRET_TYPE)->string);
    options_finish(&options);
    config_finish(&config);
}
