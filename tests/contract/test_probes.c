/* Static probes: exactly those that the manual lists are in the file, with the number of arguments
 * that it gives. (Whether a tracer may use them depends on the machine.) */
#include "../integration/common.h"

#include <ctype.h>

static const struct {
    const char *name;
    size_t arguments;
} probes[] = {
    {"step", 2},     {"bound", 2},    {"part", 3},     {"ready", 2}, {"accepted", 2},
    {"held", 2},     {"admitted", 2}, {"callback", 3}, {"job", 3},   {"callback_done", 0},
    {"job_done", 3}, {"slow", 3},     {"stall", 2},
};
enum { PROBES = sizeof probes / sizeof *probes };

/* "-8@%rdi 8@-16(%rbp)": two. */
static size_t count_arguments(const char *text)
{
    size_t count = 0;

    for (; *text && *text != '\n'; text++)
        count += *text == '@';
    return count;
}

static const char *notes(void)
{
    struct process *p = process_start(
        &(struct process_options){.argv = ARGS("readelf", "-nW", build_path("rpd"))});

    cr_assert_eq(process_code(process_wait_exit(p)), 0, "%s", process_stderr(p));
    const char *text = textf("%s", process_stdout(p));
    process_free(p);
    return text;
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < PROBES; i++)
        if (strcmp(name, probes[i].name) == 0)
            return true;
    return false;
}

Test(probes, are_in_the_file_and_in_the_manual)
{
#ifndef RPD_HAS_SDT
    cr_skip("built without sys/sdt.h");
#else
    const char *text = notes(), *manual = file_read(RPD_SOURCE_DIR "/framework/install/man/rpd.8");

    for (size_t i = 0; i < PROBES; i++) {
        const char *at = strstr(text, textf("Name: %s\n", probes[i].name));
        cr_assert_not_null(at, "no %s in:\n%s", probes[i].name, text);
        at = strstr(at, "Arguments: ");
        cr_expect_eq(count_arguments(at), probes[i].arguments, "%s: %.80s", probes[i].name, at);
        cr_expect_not_null(strstr(manual, textf(".It %s Ta ", probes[i].name)), "%s",
                           probes[i].name);
    }
    for (const char *at = text; (at = strstr(at, "Provider: rpd\n")); at++) {
        const char *name = strstr(at, "Name: ") + strlen("Name: ");
        cr_expect(is_known(textf("%.*s", (int)strcspn(name, "\n"), name)), "%.40s", name);
    }
#endif
}
