/* Ordinary tools around a daemon: it starts, answers and stops as it does without them. Each is a
 * smoke test, and is skipped if the tool is not installed, or if the build is sanitized and cannot
 * run under it. */
#include "rpdctl_run.h"

static bool is_there(const char *program)
{
    return access(textf("/usr/bin/%s", program), X_OK) == 0;
}

#define NEEDS(condition, what)                                                                     \
    if (is_sanitized() || !(condition))                                                            \
    cr_skip("needs %s, and a plain build", what)

/* Under a tool a daemon is slow, and its deadlines are not tested. */
static const char *config_in(const char *dir, const char *plugin)
{
    const char *config = textf("%s/c.json", dir);

    setenv("RPD_TEST_DEADLINE_S", "100", 0);
    write_text(config, textf("{\"endpoint_deadline_ms\":20000,\"code_deadline_ms\":60000,"
                             "\"services\":[{\"name\":\"tool\",\"plugin\":\"%s\","
                             "\"listen\":[\"unix:%s/s\"]}]}",
                             plugin, dir));
    return config;
}

/* tool... rpd -c CONFIG: the daemon answers, and ends properly when it is told to. The signal goes
 * to the daemon's own pid, because a tool does not forward it. */
static struct process *serves_within(const char *dir, const char *const *tool, const char *plugin,
                                     const char *const *env)
{
    const char *argv[32];
    size_t count = 0;

    while (tool[count]) {
        argv[count] = tool[count];
        count++;
    }
    argv[count++] = build_path("rpd");
    argv[count++] = "-c";
    argv[count++] = config_in(dir, plugin);
    argv[count] = NULL;
    struct process *rpd = process_start(
        &(struct process_options){.argv = argv, .env = env, .runtime_dir = textf("%s/run", dir)});
    assert_line(rpd, "tool: ready");
    const int fd = client(textf("unix:%s/s", dir));
    assert_text(ask(fd, "Ada"), "hello, Ada", rpd);
    cr_assert_eq(kill(peer_pid(fd), SIGTERM), 0);
    close(fd);
    assert_ends(rpd, 0);
    cr_assert_eq(lines_with(process_stderr(rpd), "tool: stopped"), 1, "%s", process_stderr(rpd));
    return rpd;
}

static void serves_plainly_within(const char *const *tool, const char *const *env)
{
    const char *dir = temp_dir_make();

    process_free(serves_within(dir, tool, build_path("samples/hello.so"), env));
    temp_dir_remove(dir);
}

/* The tool's SIGALRM ticks arrive late: a pending one once ended rpd. So this runs often. */
Test(tools, valgrind_memcheck)
{
    NEEDS(is_there("valgrind"), "valgrind");
    for (int i = 0; i < 4; i++)
        serves_plainly_within(ARGS("valgrind", "-q", "--error-exitcode=99", "--leak-check=full"),
                              NULL);
}

/* The tool does not know C11's atomics, and reports them as races. */
Test(tools, valgrind_helgrind)
{
    NEEDS(is_there("valgrind"), "valgrind");
    serves_plainly_within(ARGS("valgrind", "-q", "--tool=helgrind"), NULL);
}

Test(tools, strace)
{
    const char *dir = temp_dir_make(), *trace = textf("%s/trace", dir);

    NEEDS(is_there("strace"), "strace");
    process_free(serves_within(dir, ARGS("strace", "-f", "-o", trace),
                               build_path("samples/hello.so"), NULL));
    cr_assert_not_null(strstr(file_read(trace), "exited with 0"));
    temp_dir_remove(dir);
}

/* The tool keeps SIGTERM to itself unless it is told to forward it. */
Test(tools, gdb)
{
    NEEDS(is_there("gdb"), "gdb");
    serves_plainly_within(ARGS("gdb", "-nx", "-q", "-batch", "-return-child-result", "-ex",
                               "handle SIGTERM SIGALRM nostop noprint pass", "-ex", "run",
                               "--args"),
                          NULL);
}

Test(tools, perf_record)
{
    const char *dir = temp_dir_make(), *data = textf("%s/data", dir);

    NEEDS(is_there("perf"), "perf");
    if (run_in(dir, ARGS("perf", "record", "-o", textf("%s/try", dir), "true"), NULL).code != 0)
        cr_skip("perf may not record here");
    process_free(serves_within(dir, ARGS("perf", "record", "-o", data, "--"),
                               build_path("samples/hello.so"), NULL));
    cr_assert_eq(access(data, R_OK), 0);
    temp_dir_remove(dir);
}

/* The name that ldconfig lists; NULL: not installed. */
static const char *library(const char *soname)
{
    const struct outcome known = run_in(NULL, ARGS("/sbin/ldconfig", "-p"), NULL);
    const char *line = strstr(known.out, soname), *path = line ? strstr(line, "=> ") : NULL;

    return path ? textf("%.*s", (int)strcspn(path + 3, "\n"), path + 3) : NULL;
}

Test(tools, a_preloaded_malloc)
{
    const char *jemalloc = library("libjemalloc.so.2");

    NEEDS(jemalloc, "libjemalloc2");
    serves_plainly_within(ARGS("env"), ARGS(textf("LD_PRELOAD=%s", jemalloc)));
}

/* A plugin built with AddressSanitizer, in an rpd without it: the run-time library must be loaded
 * first, by LD_PRELOAD. Otherwise it ends the process, and check says so. */
Test(tools, a_plugin_with_address_sanitizer)
{
    const char *dir = temp_dir_make(), *plugin = textf("%s/hello.so", dir);

    NEEDS(is_there("gcc"), "gcc");
    const struct outcome built = run_in(dir,
                                        ARGS("gcc", "-fsanitize=address", "-shared", "-fPIC",
                                             "-fvisibility=hidden", "-I" RPD_SOURCE_DIR "/include",
                                             "-o", plugin, RPD_SOURCE_DIR "/samples/hello.c",
                                             build_path("librpd.so")),
                                        NULL);
    assert_code(built, 0);
    chmod(plugin, 0755);
    const char *path = run_in(dir, ARGS("gcc", "-print-file-name=libasan.so"), NULL).out;
    process_free(serves_within(dir, ARGS("env"), plugin,
                               ARGS(textf("LD_PRELOAD=%.*s", (int)strcspn(path, "\n"), path),
                                    "ASAN_OPTIONS=detect_leaks=0")));
    const struct outcome bare = RPDCTL("describe", plugin);
    assert_code(bare, 1);
    assert_has(bare.err, "it ended the process while it was loaded (exit code 1)");
    temp_dir_remove(dir);
}

/* Much static TLS: a thread's stack must hold it, too. */
Test(tools, a_surplus_of_static_tls)
{
    NEEDS(true, "");
    serves_plainly_within(ARGS("env"),
                          ARGS("GLIBC_TUNABLES=glibc.rtld.optional_static_tls=200000"));
}
