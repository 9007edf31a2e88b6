/* The pictures in tests/bench/pictures are those that tests/bench/plot draws from the figures
 * beside them. */
#include "../integration/common.h"

#define PICTURES RPD_SOURCE_DIR "/tests/bench/pictures"

TestSuite(pictures, .timeout = 110);

static const char *const figures[] = {"curve.json", "start.json"};
static const char *const pictures[] = {"connect.svg", "start.svg"};

enum {
    FIGURES = sizeof figures / sizeof *figures,
    PICTURE_COUNT = sizeof pictures / sizeof *pictures
};

static int code_of(const char *const *argv)
{
    struct process *process = process_start(&(struct process_options){.argv = argv});
    const int code = process_code(process_wait_exit(process));

    if (code != 0)
        fprintf(stderr, "%s%s", process_stdout(process), process_stderr(process));
    process_free(process);
    return code;
}

static const char *text_of(const char *dir, const char *name)
{
    const char *text = file_read(textf("%s/%s", dir, name));

    cr_assert_not_null(text, "%s/%s: %s", dir, name, strerror(errno));
    return text;
}

/* "Produced by GNUPLOT 5.4 patchlevel 4": another version may draw differently. */
static const char *maker_of(const char *svg)
{
    const char *line = strstr(svg, "Produced by GNUPLOT");

    return line ? textf("%.*s", (int)strcspn(line, "\n"), line) : "";
}

static void draw(const char *dir)
{
    if (code_of(ARGS("sh", "-c", "command -v gnuplot && command -v python3")) != 0)
        cr_skip("gnuplot or python3 is not installed");
    cr_assert_eq(code_of(ARGS("python3", RPD_SOURCE_DIR "/tests/bench/plot", dir)), 0);
}

static const char *copy_figures(void)
{
    const char *dir = temp_dir_make();

    for (size_t i = 0; i < FIGURES; i++)
        write_text(textf("%s/%s", dir, figures[i]), text_of(PICTURES, figures[i]));
    return dir;
}

static void skip_for_another_gnuplot(const char *committed, const char *drawn)
{
    if (strcmp(maker_of(committed), maker_of(drawn)) != 0)
        cr_skip("the pictures were drawn by another gnuplot: %s", maker_of(committed));
}

Test(pictures, are_drawn_from_their_figures)
{
    const char *dir = copy_figures();

    draw(dir);
    for (size_t i = 0; i < PICTURE_COUNT; i++) {
        const char *committed = text_of(PICTURES, pictures[i]), *drawn = text_of(dir, pictures[i]);
        skip_for_another_gnuplot(committed, drawn);
        cr_expect(strcmp(committed, drawn) == 0, "%s is not of these figures: run tests/bench/plot",
                  pictures[i]);
    }
    temp_dir_remove(dir);
}

/* A digit of a value in the picture. */
Test(pictures, of_other_figures_are_others)
{
    const char *dir = copy_figures();
    const char *text = text_of(dir, figures[0]), *value = strstr(text, "\"value\": ");

    cr_assert_not_null(value);
    value += strlen("\"value\": ");
    write_text(textf("%s/%s", dir, figures[0]), textf("%.*s9%s", (int)(value - text), text, value));
    draw(dir);
    const char *committed = text_of(PICTURES, pictures[0]), *drawn = text_of(dir, pictures[0]);
    skip_for_another_gnuplot(committed, drawn);
    cr_assert(strcmp(committed, drawn) != 0);
    temp_dir_remove(dir);
}
