/* The samples that are complete programs: each answers as its first lines say, passes `rpdctl
 * check`, and is short enough to read in one go. (hello.c, index.c and web.c are tested in
 * test_answers, test_load and others.) */
#include "rpdctl_run.h"

enum { SAMPLE_LINES_MAX = 120 };

Test(samples, each_is_short)
{
    DIR *stream = opendir(RPD_SOURCE_DIR "/samples");
    size_t count = 0;

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *ending = strrchr(entry->d_name, '.');
        /* web.c shows another library; it is older than this limit. */
        if (!ending || strcmp(entry->d_name, "web.c") == 0 ||
            (strcmp(ending, ".c") != 0 && strcmp(ending, ".cpp") != 0))
            continue;
        const size_t lines = lines_with(
            file_read(textf(RPD_SOURCE_DIR "/samples/%s", entry->d_name)), "");
        cr_expect_leq(lines, SAMPLE_LINES_MAX, "%s: %zu lines", entry->d_name, lines);
        count++;
    }
    closedir(stream);
    cr_assert_geq(count, 5);
}

static void expect_good(const char *plugin, const char *option)
{
    const struct outcome checked = RPDCTL("check", plugin, "--quick", "-o", option);

    cr_expect_eq(checked.code, 0, "%s%s", checked.out, checked.err);
}

Test(samples, hello_in_cpp)
{
    const char *plugin = build_path("samples/hello_cpp.so");
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);

    if (access(plugin, F_OK) != 0)
        cr_skip("built without a C++ compiler");
    struct process *rpd = RPD_START(textf("%s/run", dir), plugin, "-l", endpoint);
    assert_bound(rpd);
    const int fd = client(endpoint);
    assert_text(ask(fd, "Ada"), "hello, Ada", rpd);
    assert_text(ask(fd, "count"), "11", rpd);
    tell(fd, "throw");
    cr_expect_null(hear_line(fd));
    close(fd);
    assert_line(rpd, "on_data: a client asked for it; the connection is closed");
    assert_text(ask_once(endpoint, "Grace"), "hello, Grace", rpd);
    assert_stops(rpd);
    process_free(rpd);
    rpd = RPD_START(textf("%s/run", dir), plugin, "-l", endpoint, "-o", "greeting=");
    assert_ends(rpd, 69);
    assert_has(process_stderr(rpd), "the greeting is empty; name one");
    process_free(rpd);
    temp_dir_remove(dir);
    if (!is_sanitized())
        expect_good(plugin, "greeting=hello");
}

/* ---- spell ----------------------------------------------------------------------------- */

static const char *spell_so(void)
{
    return build_path("samples/spell.so");
}

static void write_dictionary(const char *dir, const char *name, const char *words)
{
    write_text(textf("%s/%s.aff", dir, name), "SET UTF-8\nTRY esianrtolcdugmphbyfvkwz\n");
    write_text(textf("%s/%s.dic", dir, name), textf("%zu\n%s", lines_with(words, ""), words));
}

static struct process *start_spell(const char *dir, const char *language, const char *extra)
{
    return RPD_START(textf("%s/run", dir), spell_so(), "-l", textf("unix:%s/x.sock", dir), "-o",
                     textf("directory=%s", dir), "-o", textf("language=%s", language), "-o",
                     textf("extra=%s", extra));
}

Test(samples, spell)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);

    if (access(spell_so(), F_OK) != 0)
        cr_skip("libhunspell is not installed");
    write_dictionary(dir, "small", "hello\nworld\nword\n");
    write_dictionary(dir, "technical", "mutex\n");
    struct process *rpd = start_spell(dir, "small", "technical");
    assert_bound(rpd);
    assert_line(rpd, "spell: ready");
    const int fd = client(endpoint);
    assert_text(ask(fd, "hello"), "ok", rpd);
    assert_text(ask(fd, "helo"), "? hello", rpd);
    assert_text(ask(fd, "qqqqqqqq"), "?", rpd);
    /* The second dictionary may load later. */
    const char *answer = NULL;
    for (int i = 0; i < 2000 && (!answer || strcmp(answer, "ok") != 0); i++) {
        poll(NULL, 0, answer ? 10 : 0);
        answer = ask(fd, "mutex");
    }
    assert_text(answer, "ok", rpd);
    /* Several requests at once are answered in order. */
    tell(fd, "word\nwrd\nworld");
    assert_text(hear_line(fd), "ok", rpd);
    assert_text(hear_line(fd), "? word", rpd);
    assert_text(hear_line(fd), "ok", rpd);
    close(fd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(samples, spell_can_do_without_the_second_but_not_the_first)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);

    if (access(spell_so(), F_OK) != 0)
        cr_skip("libhunspell is not installed");
    write_dictionary(dir, "small", "hello\n");
    struct process *rpd = start_spell(dir, "small", "none");
    assert_bound(rpd);
    assert_line(rpd, "spell: ready");
    assert_text(ask_once(endpoint, "hello"), "ok", rpd);
    assert_line(rpd, "none.aff: No such file or directory");
    assert_stops(rpd);
    process_free(rpd);
    rpd = start_spell(dir, "none", "small");
    assert_ends(rpd, 69);
    assert_has(process_stderr(rpd),
               textf("%s/none.aff: No such file or directory; install it, or name another", dir));
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(samples, spell_is_sound)
{
    const char *dir = temp_dir_make();

    if (access(spell_so(), F_OK) != 0)
        cr_skip("libhunspell is not installed");
    write_dictionary(dir, "en_US", "hello\n");
    if (!is_sanitized())
        expect_good(spell_so(), textf("directory=%s", dir));
    temp_dir_remove(dir);
}
