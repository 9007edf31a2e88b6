/* Texts of a backend have the lengths that the public headers promise: as long is whole, a byte
 * more is cut. */
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

/* rpd/service.h: 1 KiB of a line. */
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

Test(texts, control_bytes_are_escaped)
{
    const int saved = dup(STDERR_FILENO);
    char line[200] = "";
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_line(RPD_LOG_INFO, "name", "a\nb\x1b[1mc\x1f \x7e\x7f");
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    close(saved);
    cr_assert_gt(read(ends[0], line, sizeof line - 1), 0);
    close(ends[0]);
    cr_assert_str_eq(line, "rpd: name: a\\x0ab\\x1b[1mc\\x1f ~\\x7f\n");
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
