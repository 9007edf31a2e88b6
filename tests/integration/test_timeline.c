/* rpdctl timeline: what a start writes to the history, and the summary of many starts. */
#include "common.h"
#include "rpdctl_run.h"

struct scene {
    const char *dir, *run;
};

static struct scene begin(void)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = make_run(scene.dir);
    write_text(textf("%s/demo.lock", scene.run), "");
    return scene;
}

/* A history of this many starts. The part of the last one took load_us, those of the others about
 * 300 ms, with small variations. */
static void write_starts(const struct scene *scene, size_t count, unsigned load_us)
{
    const char *text = "";

    for (size_t i = 0; i < count; i++) {
        const unsigned us = i + 1 == count ? load_us : 300000 + (unsigned)(i * 7919 % 4001);
        text = textf("%s17000000%05zu %zu 5 bound 0 -\n"
                     "17000000%05zu %zu 5 timed 0 all ready=%u;step bind=150;step own bind=0;\n"
                     "17000000%05zu %zu 5 timed 0 part load=%u;\n"
                     "17000000%05zu %zu 5 ended 0 -\n",
                     text, i, i + 100, i, i + 100, us + 900, i, i + 100, us, i, i + 100);
    }
    write_text(textf("%s/demo.history", scene->run), text);
}

Test(timeline, a_part_that_became_a_tenth_slower_is_named_at_once)
{
    const struct scene scene = begin();

    write_starts(&scene, 20, 331000);
    struct outcome outcome = RPDCTL_ON(scene.run, "timeline", "demo", "--diff");
    assert_code(outcome, 1);
    assert_has(outcome.out, "part load: 331.000 ms, its median of 19 starts is 30");
    assert_has_not(outcome.out, "step");
    write_starts(&scene, 20, 303000);
    outcome = RPDCTL_ON(scene.run, "timeline", "demo", "--diff");
    assert_code(outcome, 0);
    assert_has(outcome.out, "nothing is slower than in the 19 starts before");
    temp_dir_remove(scene.dir);
}

Test(timeline, shows_fifty_starts_and_the_last_one_whole)
{
    const struct scene scene = begin();

    write_starts(&scene, 70, 300000);
    const struct outcome outcome = RPDCTL_ON(scene.run, "timeline", "demo");
    assert_code(outcome, 0);
    cr_expect_eq(lines_with(outcome.out, "  pid "), 50, "%s", outcome.out);
    cr_expect_null(strstr(outcome.out, "pid 119 "));
    assert_has(outcome.out, "pid 169 ");
    assert_has(outcome.out, "step bind ");
    assert_has(outcome.out, "step own bind ");
    assert_has(outcome.out, "part load ");
    temp_dir_remove(scene.dir);
}

Test(timeline, of_nothing_or_little_says_so)
{
    const struct scene scene = begin();

    assert_code(RPDCTL_ON(scene.run, "timeline", "demo"), 1);
    write_starts(&scene, 3, 300000);
    const struct outcome outcome = RPDCTL_ON(scene.run, "timeline", "demo", "--diff");
    assert_code(outcome, 1);
    assert_has(outcome.err, "3 starts are known, and 4 are needed");
    write_text(textf("%s/demo.history", scene.run),
               "1 1 1 timed 0 ;;=;x;=5;part =7;step x=99999999999999999999;\n1 1 1 timed 0\n");
    assert_code(RPDCTL_ON(scene.run, "timeline", "demo"), 0);
    assert_code(RPDCTL_ON(scene.run, "timeline"), 64);
    temp_dir_remove(scene.dir);
}

Test(timeline, each_start_is_noted_once)
{
    const struct scene scene = begin();

    for (int i = 0; i < 2; i++) {
        struct process *rpd = RPD_START(scene.run, test_plugin("counts"), "-n", "demo");
        assert_line(rpd, ": ready ");
        assert_stops(rpd);
        process_free(rpd);
    }
    const struct outcome outcome = RPDCTL_ON(scene.run, "timeline", "demo");
    assert_code(outcome, 0);
    cr_expect_eq(lines_with(outcome.out, "  pid "), 2, "%s", outcome.out);
    assert_has(outcome.out, "step inspect ");
    assert_has(outcome.out, "step announce ");
    assert_has(outcome.out, "part load ");
    assert_has(outcome.out, "part a?part \"1\" ");
    temp_dir_remove(scene.dir);
}
