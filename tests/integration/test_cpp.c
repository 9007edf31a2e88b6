/* rpd/backend.hpp: a backend as a class, and the effect of an exception in each of its functions;
 * and that the header compiles without warnings. */
#include "rpdctl_run.h"

#include <criterion/parameterized.h>

#define SKIP_WITHOUT_CPP()                                                                         \
    do {                                                                                           \
        if (access(test_plugin("throws"), F_OK) != 0)                                              \
            cr_skip("built without a C++ compiler");                                               \
    } while (0)

struct scene {
    const char *dir, *endpoint;
    struct process *rpd;
};

static struct scene start(const char *in)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);

    return (struct scene){dir, endpoint,
                          RPD_START(textf("%s/run", dir), test_plugin("throws"), "-l", endpoint,
                                    "-o", textf("in=%s", in))};
}

static void finish(const struct scene *scene)
{
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

/* ---- in a load ------------------------------------------------------------------------ */

static const struct {
    const char *in, *line;
} loads[] = {
    {"load", "thrown in load"},       {"load int", "an exception that is no std::exception"},
    {"load memory", "out of memory"}, {"load exit", "pthread_exit()"},
    {"part", "thrown in part"},
};

Test(cpp, an_exception_in_a_load_is_a_load_that_failed)
{
    SKIP_WITHOUT_CPP();
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        const struct scene scene = start(loads[i].in);

        assert_ends(scene.rpd, 69);
        assert_has(process_stderr(scene.rpd), loads[i].line);
        finish(&scene);
    }
}

Test(cpp, a_load_that_is_cancelled_ends_without_a_word)
{
    SKIP_WITHOUT_CPP();
    const struct scene scene = start("load wait");

    assert_bound(scene.rpd);
    assert_stops(scene.rpd);
    assert_has_not(process_stderr(scene.rpd), "load: throws:");
    assert_has_not(process_stderr(scene.rpd), "destroyed"); /* it was never loaded */
    finish(&scene);
}

Test(cpp, claim_fails_the_start)
{
    SKIP_WITHOUT_CPP();
    const struct scene scene = start("claim");

    cr_assert_neq(process_code(process_wait_exit(scene.rpd)), 0);
    assert_has(process_stderr(scene.rpd), "claim: thrown in claim");
    finish(&scene);
}

/* ---- in a connection ------------------------------------------------------------------- */

Test(cpp, an_exception_ends_its_connection_and_no_other)
{
    SKIP_WITHOUT_CPP();
    static const char *const said[][2] = {
        {"throw", "on_data: a line; the connection is closed"},
        {"throw int", "on_data: an exception that is no std::exception; the connection is closed"},
        {"frame\nno frame", "on_data: frame: Bad message; the connection is closed"},
        {"frame\n99:", "on_data: frame: Message too long; the connection is closed"},
        {"job throws", "done: in run; the connection is closed"},
    };
    const struct scene scene = start("nowhere");
    int other;

    assert_bound(scene.rpd);
    other = client(scene.endpoint);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        const int fd = client(scene.endpoint);

        assert_text(ask(fd, "first"), "attached first", scene.rpd);
        tell(fd, said[i][0]);
        cr_expect_null(hear_line(fd), "%s", said[i][0]);
        close(fd);
        assert_line(scene.rpd, said[i][1]);
        assert_line(scene.rpd, "test: closed after 2 lines");
        assert_text(ask(other, "still"), "attached still", scene.rpd);
    }
    close(other);
    assert_stops(scene.rpd);
    assert_has(process_stderr(scene.rpd), "test: destroyed");
    finish(&scene);
}

Test(cpp, jobs)
{
    SKIP_WITHOUT_CPP();
    static const char *const asked[][2] = {
        {"job", "from a job"},      {"job nothing", "done"},
        {"job unique", "moved"},    {"job caught", "caught: in run"},
        {"job exits", "cancelled"}, {"after", "attached after"},
    };
    const struct scene scene = start("nowhere");
    int fd;

    assert_bound(scene.rpd);
    fd = client(scene.endpoint);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        assert_text(ask(fd, asked[i][0]), asked[i][1], scene.rpd);
    /* All at once: the answers come in order, one after the other. */
    tell(fd, "job\nafter\njob caught\njob\nlast");
    assert_text(hear_line(fd), "from a job", scene.rpd);
    assert_text(hear_line(fd), "attached after", scene.rpd);
    assert_text(hear_line(fd), "caught: in run", scene.rpd);
    assert_text(hear_line(fd), "from a job", scene.rpd);
    assert_text(hear_line(fd), "attached last", scene.rpd);
    close(fd);
    /* Clients that leave while their job runs. */
    for (int i = 0; i < 50; i++) {
        fd = client(scene.endpoint);
        tell(fd, "job\njob");
        close(fd);
    }
    assert_text(ask_once(scene.endpoint, "well"), "attached well", scene.rpd);
    assert_stops(scene.rpd);
    finish(&scene);
}

/* With what their functions have captured, which goes when all is over, whatever happened. */
Test(cpp, bodies_and_posts)
{
    SKIP_WITHOUT_CPP();
    static const char *const asked[][2] = {
        {"file", "etters sent"},
        {"take\n12345", "took 12345"},
        {"take throws\n12345", "caught: in a sink"}, /* and the end */
        {"take file\n12345", "12345rs"},
        {"post", "posted"},
        {"files", "0 files"},
    };
    const struct scene scene = start("nowhere");
    int fd;

    assert_bound(scene.rpd);
    assert_line(scene.rpd, "test: part is attached");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        fd = client(scene.endpoint);
        assert_text(ask(fd, asked[i][0]), asked[i][1], scene.rpd);
        close(fd);
    }
    fd = client(scene.endpoint);
    tell(fd, "file throws");
    cr_expect_null(hear_line(fd));
    assert_line(scene.rpd, "on_data: body: Invalid argument; the connection is closed");
    close(fd);
    /* Clients that leave: within a body, and while a job runs, which is cancelled then. */
    for (int i = 0; i < 20; i++) {
        fd = client(scene.endpoint);
        tell(fd, i % 2 ? "take\n123" : "job waits");
        if (i % 4 == 1)
            shutdown(fd, SHUT_WR);
        close(fd);
    }
    fd = client(scene.endpoint);
    for (const char *answer = "";
         strcmp(answer, "0 files") != 0 && (answer = ask(fd, "files")) != NULL;)
        poll(NULL, 0, 1);
    close(fd);
    assert_stops(scene.rpd);
    finish(&scene);
}

static const struct place {
    const char *in, *line;
    bool is_answered;
} places[] = {
    {"session", "on_connect: thrown in session; the connection is closed", false},
    {"on_connect", "on_connect: thrown in on_connect; the connection is closed", false},
    {"on_close", "on_close: thrown in on_close", true},
    {"on_ready", "on_ready: thrown in on_ready", true},
    {"on_drain", "on_drain: thrown in on_drain", true},
    {"on_part", "on_part: thrown in on_part", true},
    {"stop", "stop: thrown in stop", true},
};

Test(cpp, an_exception_elsewhere_is_a_line)
{
    SKIP_WITHOUT_CPP();
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct scene scene = start(places[i].in);

        assert_bound(scene.rpd);
        assert_line(scene.rpd, "ready (");
        const char *answer = ask_once(scene.endpoint, "x");
        cr_expect_eq(answer != NULL, places[i].is_answered, "%s: %s", places[i].in,
                     answer ? answer : "no answer");
        assert_stops(scene.rpd);
        assert_has(process_stderr(scene.rpd), places[i].line);
        cr_expect_eq(lines_with(process_stderr(scene.rpd), "test: closed"),
                     strcmp(places[i].in, "session") != 0, "%s", places[i].in);
        finish(&scene);
    }
}

/* ---- the header ---------------------------------------------------------------------------- */

static void compile(const char *compiler, const char *source)
{
    struct process *p = process_start(&(struct process_options){
        .argv = ARGS(compiler, "-std=c++17", "-Wall", "-Wextra", "-pedantic", "-Wshadow",
                     "-Wconversion", "-Werror", "-fsyntax-only", "-I", RPD_SOURCE_DIR "/include",
                     source)});
    const int code = process_code(process_wait_exit(p));

    if (code != 127)
        cr_expect_eq(code, 0, "%s %s:\n%s", compiler, source, process_stderr(p));
    process_free(p);
}

Test(cpp, the_header_compiles_without_a_warning)
{
    const char *dir = temp_dir_make(), *alone = textf("%s/alone.cpp", dir);
    static const char *const compilers[] = {"g++", "clang++"};

    /* The header alone, and included twice; a backend with only the required functions; one that
     * serves without its state. */
    write_text(alone, "#include <rpd/backend.hpp>\n"
                      "#include <rpd/backend.hpp>\n"
                      "struct least { void on_data(rpd::conn conn) { conn.finish(); } };\n"
                      "struct cold {\n"
                      "    static constexpr bool serves_without_state = true;\n"
                      "    static constexpr enum rpd_warmup warmup = RPD_WARMUP_SERVE;\n"
                      "    static void on_data(rpd::conn conn, cold *state)\n"
                      "    { conn.write(state ? \"warm\\n\" : \"cold\\n\"); }\n"
                      "    static void on_busy(rpd::conn conn) { conn.write(\"busy\\n\"); }\n"
                      "};\n"
                      "constexpr auto one = rpd::descriptor<cold>(\"cold\");\n"
                      "static_assert(one.serves_without_state && !one.on_close);\n"
                      "RPD_BACKEND_CLASS(least, least);\n");
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++)
        compile(compilers[i], alone);
    temp_dir_remove(dir);
}
