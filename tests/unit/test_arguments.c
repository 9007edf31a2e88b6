/* The syntax of rpd's command line. */
#include "config/arguments.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { ARGC_MAX = 16 };
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

TestSuite(arguments, .timeout = 10);

/* Parses "rpd" and the words, which end with NULL. */
static int parse(struct arguments *arguments, const char *const *words, struct error *error)
{
    char *argv[ARGC_MAX + 2] = {(char *)"rpd"};
    int argc = 1;

    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    return arguments_parse(arguments, argc, argv, error);
}

static void check_all(const struct arguments *arguments)
{
    const struct config_request *request = &arguments->request;

    cr_assert_eq((int)arguments->mode, ARGUMENTS_RUN);
    cr_assert_eq(arguments->notify_fd, -1);
    cr_assert_eq(arguments->start_fd, -1);
    cr_assert_str_eq(request->file, "f.json");
    cr_assert_str_eq(request->plugin, "p.so");
    cr_assert_str_eq(request->name, "n");
    cr_assert_eq(request->listen_count, 2);
    cr_assert_str_eq(request->listen[0], "unix:a");
    cr_assert_str_eq(request->listen[1], "unix:b");
    cr_assert_eq(request->option_count, 2);
    cr_assert_str_eq(request->options[0], "k=v");
    cr_assert_str_eq(request->options[1], "k2=");
}

Test(arguments, any_order_and_form)
{
    static const char *const lines[][ARGC_MAX] = {
        {"-c", "f.json", "p.so", "-l", "unix:a", "-l", "unix:b", "-n", "n", "-o", "k=v", "-o",
         "k2="},
        {"-cf.json", "-lunix:a", "-nn", "-ok=v", "p.so", "-l", "unix:b", "-ok2="},
        {"--listen=unix:a", "--listen", "unix:b", "--name=n", "--option", "k=v",
         "--option=k2=", "--config", "f.json", "--", "p.so"},
    };
    struct arguments arguments;
    struct error error;

    for (int posix = 0; posix < 2; posix++) {
        if (posix)
            setenv("POSIXLY_CORRECT", "1", 1);
        for (size_t i = 0; i < COUNT(lines); i++) {
            cr_assert_eq(parse(&arguments, lines[i], &error), 0, "%s", error.text);
            check_all(&arguments);
            arguments_finish(&arguments);
        }
    }
}

Test(arguments, modes)
{
    static const struct {
        const char *const words[ARGC_MAX];
        enum arguments_mode mode;
    } rows[] = {
        {{NULL}, ARGUMENTS_RUN},
        {{"-t", "p.so"}, ARGUMENTS_TEST},
        {{"p.so", "--test", "-t"}, ARGUMENTS_TEST},
        {{"--print-config", "-c", "f"}, ARGUMENTS_PRINT_CONFIG},
        {{"--print-schema"}, ARGUMENTS_PRINT_SCHEMA},
        {{"-t", "--help", "--nonsense"}, ARGUMENTS_HELP},
        {{"--version", "-z"}, ARGUMENTS_VERSION},
    };
    struct arguments arguments;
    struct error error;

    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_assert_eq(parse(&arguments, rows[i].words, &error), 0, "%s", error.text);
        cr_assert_eq(arguments.mode, rows[i].mode, "row %zu", i);
        arguments_finish(&arguments);
    }
}

Test(arguments, notify_fd)
{
    struct arguments arguments;
    struct error error;

    cr_assert_eq(parse(&arguments, (const char *[]){"--notify-fd", "7", NULL}, &error), 0);
    cr_assert_eq(arguments.notify_fd, 7);
    cr_assert_eq(arguments.start_fd, -1);
    arguments_finish(&arguments);
    cr_assert_eq(parse(&arguments, (const char *[]){"--start-fd", "8", NULL}, &error), 0);
    cr_assert_eq(arguments.start_fd, 8);
    arguments_finish(&arguments);
    /* An error in the arguments after it must be written there. */
    cr_assert_lt(parse(&arguments, (const char *[]){"--start-fd", "8", "--no", NULL}, &error), 0);
    cr_assert_eq(arguments.start_fd, 8);
    arguments_finish(&arguments);
}

Test(arguments, mistakes)
{
    static const struct {
        const char *const words[ARGC_MAX];
        const char *text; /* without the hint at its end */
    } rows[] = {
        {{"-z"}, "-z: unknown option"},
        {{"-tz"}, "-z: unknown option"},
        {{"--listne", "a"}, "--listne: unknown option; did you mean --listen?"},
        {{"--bananas"}, "--bananas: unknown option"},
        {{"-l"}, "-l: needs a value"},
        {{"p.so", "--listen"}, "--listen: needs a value"},
        {{"--test=1"}, "--test=1: takes no value"},
        {{"a.so", "b.so"}, "b.so: a second plugin; more than one needs a configuration"},
        {{"a.so", "--", "b.so"}, "b.so: a second plugin; more than one needs a configuration"},
        {{"-c", "a", "-c", "b"}, "-c: is given twice"},
        {{"-n", "a", "--name", "b"}, "-n: is given twice"},
        {{"-t", "--print-config"},
         "-t, --print-config, --print-schema: only one of them at a time"},
        {{"--notify-fd", "x"}, "--notify-fd: expected the number of a descriptor"},
        {{"--notify-fd", "-1"}, "--notify-fd: expected the number of a descriptor"},
        {{"--notify-fd", " 1"}, "--notify-fd: expected the number of a descriptor"},
        {{"--notify-fd", "4294967297"}, "--notify-fd: expected the number of a descriptor"},
        {{"--notify-fd", "99999999999999999999"},
         "--notify-fd: expected the number of a descriptor"},
        {{"--notify-fd", ""}, "--notify-fd: expected the number of a descriptor"},
        {{"--notify-fd=1", "--notify-fd=1"}, "--notify-fd: is given twice"},
        {{"--start-fd", "x"}, "--start-fd: expected the number of a descriptor"},
        {{"--start-fd=1", "--start-fd=1"}, "--start-fd: is given twice"},
    };
    struct arguments arguments;
    struct error error;

    for (size_t i = 0; i < COUNT(rows); i++) {
        char expected[300];

        cr_assert_eq(parse(&arguments, rows[i].words, &error), -1, "row %zu", i);
        snprintf(expected, sizeof expected, "command line: %s%s see rpd --help", rows[i].text,
                 strchr(rows[i].text, '?') ? "" : ";");
        cr_assert_str_eq(error.text, expected, "%s", error.text);
        cr_assert_eq((int)error.code, 64);
        arguments_finish(&arguments);
    }
}

Test(arguments, help_fits_a_terminal)
{
    for (const char *line = arguments_help; *line; line += strcspn(line, "\n") + 1)
        cr_assert_leq(strcspn(line, "\n"), 80, "%.90s", line);
}
