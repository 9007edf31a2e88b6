/* How readers parse a history: it may contain any bytes. */
#include "observe/history_view.h"

#include "../integration/common.h"

static struct history_entry entries[2000];

/* How many of `room` entries are read from a history with this text. */
static int read_text(const char *text, size_t size, size_t room)
{
    const char *dir = temp_dir_make();
    const int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int count;

    file_write(textf("%s/x.history", dir), text, size);
    count = history_view_read(dirfd, "x", entries, room);
    close(dirfd);
    temp_dir_remove(dir);
    return count;
}

static int read_lines(const char *text, size_t room)
{
    return read_text(text, strlen(text), room);
}

Test(history_view, says_what_stands_there)
{
    cr_assert_eq(read_lines("1700000000123 42 987654 bound 0 -\n"
                            "1700000009999 42 987654 ended 69 load: x (p.so): no; try again\n"
                            "1700000010000 43 987655 ended 139 -\n",
                            3),
                 3);
    cr_expect_eq(entries[0].time_ms, 1700000000123u);
    cr_expect_eq(entries[0].pid, 42);
    cr_expect_eq(entries[0].start_time, 987654u);
    cr_expect(!entries[0].ended);
    cr_expect_str_empty(entries[0].text);
    cr_expect(entries[1].ended);
    cr_expect_eq(entries[1].code, 69);
    cr_expect_str_eq(entries[1].text, "load: x (p.so): no; try again");
    cr_expect_eq(entries[2].code, 139);
    cr_expect_str_empty(entries[2].text);
}

Test(history_view, the_newest_come_in_their_order)
{
    cr_assert_eq(read_lines("1 1 1 bound 0 -\n2 1 1 ended 0 -\n3 2 1 bound 0 -\n", 2), 2);
    cr_expect_eq(entries[0].time_ms, 2);
    cr_expect_eq(entries[1].time_ms, 3);
    cr_expect_eq(read_lines("1 1 1 bound 0 -\n", 0), 0);
}

Test(history_view, lines_that_are_none_are_skipped)
{
    static const char *const lines[] = {"",
                                        "x",
                                        "1",
                                        "1 2 3",
                                        "1 2 3 born 0 -",
                                        "1 2 3 ended -1 -",
                                        "1 2 3 ended 1",
                                        "1 2 3 ended 99999999999 -",
                                        "99999999999999999999999 2 3 ended 1 -",
                                        "1 -2 3 ended 1 -",
                                        "1 4294967297 3 ended 1 -",
                                        " 1 2 3 ended 1 -",
                                        "1  2 3 ended 1 -"};

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *text = textf("1 7 1 bound 0 -\n%s\n2 8 1 bound 0 -\n", lines[i]);
        cr_expect_eq(read_lines(text, 5), 2, "%s", lines[i]);
        cr_expect_eq(entries[0].pid, 7, "%s", lines[i]);
        cr_expect_eq(entries[1].pid, 8, "%s", lines[i]);
    }
    cr_expect_eq(read_text("1 7 1 bound 0 -\n\0\n2 8 1 bound 0 -\n", 34, 5), 1);
}

Test(history_view, a_line_without_its_end_was_cut_short)
{
    cr_assert_eq(read_lines("1 7 1 bound 0 -\n2 7 1 ended 69 load: i", 5), 1);
    cr_expect(!entries[0].ended);
}

Test(history_view, control_bytes_do_not_reach_a_terminal)
{
    cr_assert_eq(read_lines("1 7 1 ended 70 a\x1b[2Jb\tc\x7f\n", 1), 1);
    cr_expect_str_eq(entries[0].text, "a?[2Jb?c?");
}

Test(history_view, a_long_text_is_cut)
{
    cr_assert_eq(read_lines(textf("1 7 1 ended 70 %01100d\n", 5), 1), 1);
    cr_expect_eq(strlen(entries[0].text), sizeof entries[0].text - 1);
}

/* Of a long file only the end is read, from the next full line on. */
Test(history_view, the_end_of_a_long_file_is_enough)
{
    char *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    for (int i = 0; i < 30000; i++)
        fprintf(to, "%d 5 6 bound 0 -\n", 100000 + i);
    fclose(to);
    const int count = read_text(text, size, 2000);
    cr_expect_eq(count, 32768 / 21);
    cr_expect_eq(entries[count - 1].time_ms, 129999u);
    cr_expect_eq(entries[0].time_ms, 130000u - 32768 / 21);
    free(text);
}

Test(history_view, none_where_there_is_none)
{
    const char *dir = temp_dir_make();
    const int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    cr_expect_eq(history_view_read(dirfd, "x", entries, 5), 0);
    cr_expect_eq(history_view_read(dirfd, "../x", entries, 5), 0);
    cr_assert_eq(mkdirat(dirfd, "x.history", 0700), 0);
    cr_expect_eq(history_view_read(dirfd, "x", entries, 5), 0);
    cr_assert_eq(mkfifoat(dirfd, "y.history", 0600), 0);
    cr_expect_eq(history_view_read(dirfd, "y", entries, 5), 0);
    cr_expect_eq(read_lines("", 5), 0);
    close(dirfd);
    temp_dir_remove(dir);
}

Test(history_view, finds_how_one_process_ended)
{
    const char *dir = temp_dir_make();
    const int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    write_text(textf("%s/x.history", dir),
               "1 7 70 bound 0 -\n2 7 70 ended 69 no\n3 7 71 ended 0 -\n4 8 80 bound 0 -\n");
    cr_expect(history_view_end(dirfd, "x", 7, 70, entries));
    cr_expect_eq(entries->code, 69);
    cr_expect(history_view_end(dirfd, "x", 0, 0, entries));
    cr_expect_eq(entries->start_time, 71u);
    cr_expect(!history_view_end(dirfd, "x", 8, 80, entries));
    cr_expect_eq(entries->time_ms, 0);
    close(dirfd);
    temp_dir_remove(dir);
}
