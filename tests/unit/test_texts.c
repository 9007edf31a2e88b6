/* A backend's texts have the lengths that the public headers promise: a text of that length is
 * complete, one more byte is cut. */
#include "base/log.h"
#include "work/load_progress.h"

#include <rpd/endpoint.h>

#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 2000 };

static const char *letters(size_t count)
{
    static char text[TEXT_MAX + 1];

    cr_assert_leq(count, TEXT_MAX);
    memset(text, 'x', count);
    text[count] = '\0';
    return text;
}

/* rpd/service.h: 1 KiB per line. */
static size_t logged(size_t count)
{
    const int saved = dup(STDERR_FILENO);
    char line[2 * TEXT_MAX];
    ssize_t size;
    size_t found = 0;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_line(RPD_LOG_INFO, "name", "%s", letters(count));
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    close(saved);
    size = read(ends[0], line, sizeof line);
    close(ends[0]);
    cr_assert_gt(size, 0);
    cr_assert_eq(line[size - 1], '\n');
    for (ssize_t i = 0; i < size; i++)
        found += line[i] == 'x';
    return found;
}

Test(texts, a_line_of_the_log)
{
    cr_assert_eq(logged(1023), 1023);
    cr_assert_eq(logged(1024), 1024);
    cr_assert_eq(logged(1025), 1024);
}

/* As the log shows it. */
static const char *line_of(const char *text)
{
    static char line[4 * TEXT_MAX];
    const int saved = dup(STDERR_FILENO);
    ssize_t size;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_line(RPD_LOG_INFO, "name", "%s", text);
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    close(saved);
    size = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    cr_assert_gt(size, 0);
    line[size] = '\0';
    return line;
}

Test(texts, control_bytes_are_escaped)
{
    cr_assert_str_eq(line_of("a\nb\x1b[1mc\x1f \x7e\x7f"),
                     "rpd: name: a\\x0ab\\x1b[1mc\\x1f ~\\x7f\n");
}

static void assert_message(const char *text, const char *message)
{
    const char *line = line_of(text), *found = strstr(line, "\"message\":\"");

    cr_assert_not_null(found, "%s", line);
    cr_assert_eq(strncmp(found + 11, message, strlen(message)), 0, "%s", line);
    cr_assert_str_eq(found + 11 + strlen(message), "\"}\n");
}

/* JSON is UTF-8, whatever a client has sent, and wherever a line is cut. */
Test(texts, a_line_of_json_is_utf8)
{
    char cut[1024 + 2];

    log_configure(RPD_LOG_INFO, LOG_JSON, 0);
    assert_message("\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf",
                   "\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf");
    assert_message("\xff.\xc3.\xe2\x82.\xc0", "\\u00ff.\\u00c3.\\u00e2\\u0082.\\u00c0");
    assert_message("\xe0\xa0\xbf \xe0\x9f\xbf", "\xe0\xa0\xbf \\u00e0\\u009f\\u00bf");
    assert_message("\xed\xa0\x81", "\\u00ed\\u00a0\\u0081");
    assert_message("\xf0\x8f\xbf\xbf", "\\u00f0\\u008f\\u00bf\\u00bf");
    assert_message("\xf4\x90\x80\x80", "\\u00f4\\u0090\\u0080\\u0080");
    memset(cut, 'x', 1023);
    memcpy(cut + 1023, "\xc3\xbc", 3);
    const char *line = line_of(cut);
    cr_assert_not_null(strstr(line, "xx\\u00c3\"}\n"), "%s", line);
}

/* rpd/load.h: 15 bytes of a unit. */
static size_t unit_shown(size_t count)
{
    struct rpd_state_part part = {0};
    char unit[16];

    load_progress_report(&part, 1, 2, letters(count));
    load_progress_unit(&part, unit);
    return strlen(unit);
}

Test(texts, a_unit_of_progress)
{
    cr_assert_eq(unit_shown(14), 14);
    cr_assert_eq(unit_shown(15), 15);
    cr_assert_eq(unit_shown(16), 15);
}

/* rpd/endpoint.h: 160 bytes with the NUL. */
Test(texts, why_a_bind_failed)
{
    static const size_t room = sizeof((struct rpd_bound *)NULL)->message;

    cr_assert_eq(room, 160);
    cr_assert_eq(strlen(rpd_bound_other("%s", letters(room - 1)).message), room - 1);
    cr_assert_eq(strlen(rpd_bound_other("%s", letters(room)).message), room - 1);
    cr_assert_eq(strlen(rpd_bound_invalid("%s", letters(room - 1)).message), room - 1);
    cr_assert_eq(strlen(rpd_bound_invalid("%s", letters(room)).message), room - 1);
}
