/* The corpus: plugins with one fault each, and the verdict that rpd must reach; and well-behaved
 * plugins, about which rpd must say nothing. Most are one plugin, tests/plugins/corpus.c, which
 * does what the environment names; broken files are made from a good one. Faults that have a row in
 * test_exit_codes.c are repeated here, so that the corpus is complete.
 *
 * Each guard has its controls: the same plugin without its fault, and the same fault without the
 * guard. */
#include "../integration/common.h"

#include <criterion/parameterized.h>

/* One fault. Verdict 0 is a warning; the service still runs. */
struct fault {
    const char *name;
    int code;
    const char *plugin;                      /* from tests/plugins; NULL: prepare makes it */
    const char *constructor, *bind;          /* the acts in its constructor and its bind */
    const char *says[3];                     /* the texts in its line */
    const char *(*prepare)(const char *dir); /* makes the file */
    const char *endpoint;                    /* NULL: a unix path */
    const char *seal;                        /* NULL: the default */
};

/* ---- files ---- */

static const char *copy_of_echo(const char *dir)
{
    const char *path = textf("%s/p.so", dir);

    copy_file(build_path("plugins/echo.so"), path, 0755);
    return path;
}

static const char *with_bytes(const char *dir, off_t at, const void *bytes, size_t size)
{
    const char *path = copy_of_echo(dir);
    const int fd = open(path, O_RDWR | O_CLOEXEC);

    if (pwrite(fd, bytes, size, at) != (ssize_t)size)
        test_die("pwrite: %s", strerror(errno));
    close(fd);
    return path;
}

static const char *with_byte(const char *dir, off_t at, char value)
{
    return with_bytes(dir, at, &value, 1);
}

static const char *of_32_bit(const char *dir)
{
    return with_byte(dir, 4, 1);
}

static const char *of_no_class(const char *dir)
{
    return with_byte(dir, 4, 9);
}

static const char *of_the_other_end(const char *dir)
{
    return with_byte(dir, 5, 2);
}

static const char *of_another_version(const char *dir)
{
    return with_byte(dir, 6, 7);
}

static const char *of_another_machine(const char *dir)
{
    return with_bytes(dir, 18, "\xb7\x00", 2);
}

static const char *of_type_rel(const char *dir)
{
    return with_byte(dir, 16, 1);
}

static const char *of_type_exec(const char *dir)
{
    return with_byte(dir, 16, 2);
}

static const char *of_type_core(const char *dir)
{
    return with_byte(dir, 16, 4);
}

static const char *of_no_type(const char *dir)
{
    return with_byte(dir, 16, 99);
}

static const char *without_segments(const char *dir)
{
    return with_bytes(dir, 56, "\0\0", 2);
}

static const char *no_magic(const char *dir)
{
    return with_byte(dir, 1, 'e');
}

static const char *file_of(const char *dir, const char *text)
{
    const char *path = textf("%s/p.so", dir);

    write_text(path, text);
    chmod(path, 0755);
    return path;
}

static const char *a_text(const char *dir)
{
    return file_of(dir, "#!/bin/sh\nexit 0\n");
}

static const char *empty(const char *dir)
{
    return file_of(dir, "");
}

static const char *a_directory(const char *dir)
{
    const char *path = textf("%s/p.so", dir);

    mkdir(path, 0755);
    return path;
}

static const char *a_fifo(const char *dir)
{
    const char *path = textf("%s/p.so", dir);

    mkfifo(path, 0600);
    return path;
}

static const char *nothing(const char *dir)
{
    return textf("%s/p.so", dir);
}

static const char *echo_of(const char *dir, mode_t mode, uid_t owner)
{
    const char *path = copy_of_echo(dir);

    if (chown(path, owner, (gid_t)-1) != 0 || chmod(path, mode) != 0)
        test_die("%s: %s", path, strerror(errno));
    return path;
}

static const char *world_writable(const char *dir)
{
    return echo_of(dir, 0757, geteuid());
}

static const char *group_writable(const char *dir)
{
    return echo_of(dir, 0775, geteuid());
}

static const char *of_a_stranger(const char *dir)
{
    return echo_of(dir, 0755, 65534);
}

/* depth 1: mode and owner of the plugin's directory; 2: of the directory above it. */
static const char *below(const char *dir, mode_t mode, uid_t owner, int depth)
{
    const char *top = textf("%s/sub", dir), *inner = depth == 1 ? top : textf("%s/inner", top);

    mkdir(top, 0755);
    mkdir(inner, 0755);
    const char *path = copy_of_echo(inner);
    if (chown(top, owner, (gid_t)-1) != 0 || chmod(top, mode) != 0)
        test_die("%s: %s", top, strerror(errno));
    return path;
}

static const char *below_an_open_directory(const char *dir)
{
    return below(dir, 0777, geteuid(), 1);
}

static const char *below_a_stranger(const char *dir)
{
    return below(dir, 0755, 65534, 1);
}

static const char *far_below_an_open_directory(const char *dir)
{
    return below(dir, 0777, geteuid(), 2);
}

static const char *far_below_a_stranger(const char *dir)
{
    return below(dir, 0755, 65534, 2);
}

/* ---- the faults ---- */

#define SEALED(what, opens, call, function)                                                        \
    {                                                                                              \
        .name = "bind: " what, .code = 76, .plugin = "corpus", .constructor = (opens),             \
        .bind = (what), .says = {                                                                  \
            "its bind() called " call,                                                             \
            "it may only make sockets"                                                             \
        }                                                                                          \
    }
#define MADE(what, exit_code, text, advice)                                                        \
    {                                                                                              \
        .name = #what, .code = (exit_code), .prepare = (what), .says = { text, advice }            \
    }
#define CHANGES(what, text)                                                                        \
    {                                                                                              \
        .name = "constructor: " what, .code = 0, .plugin = "corpus", .constructor = (what),        \
        .says = {                                                                                  \
            "warning: ",                                                                           \
            "its constructors " text                                                               \
        }                                                                                          \
    }
#define RETURNS(what, text)                                                                        \
    {                                                                                              \
        .name = "bind returns: " what, .code = 76, .plugin = "own_bind", .bind = (what), .says = { \
            "bind: unix:",                                                                         \
            text                                                                                   \
        }                                                                                          \
    }

static const struct fault faults[] = {
    /* Calls of a sealed bind. */
    SEALED("open", NULL, "openat(\"/etc/hostname\")", "do_open"),
    SEALED("create", NULL, "openat(\"/tmp/rpd-test-corpus\")", "do_create"),
    SEALED("read", "open_file", "read(descriptor ", "do_read"),
    SEALED("pread", "open_file", "pread64(descriptor ", "do_pread"),
    SEALED("write", "open_file", "write(descriptor ", "do_write"),
    SEALED("stat", NULL, "newfstatat(\"/etc/hostname\")", "do_stat"),
    SEALED("access", NULL, "access(\"/etc/hostname\")", "do_access"),
    SEALED("readlink", NULL, "readlink(\"/proc/self/exe\")", "do_readlink"),
    SEALED("map", "open_program", "mmap(descriptor ", "do_map"),
    SEALED("list", "open_directory", "getdents64(descriptor ", "do_list"),
    SEALED("io_uring", NULL, "io_uring_setup()", "do_io_uring"),
    SEALED("fork", NULL, "clone()", "do_fork"),
    SEALED("thread", NULL, "clone3()", NULL),
    SEALED("connect", NULL, "connect(descriptor ", "do_connect"),
    SEALED("send", NULL, "sendto(", "do_send"),
    SEALED("unlink", NULL, "unlink(\"/tmp/rpd-test-corpus-none\")", "do_unlink"),
    SEALED("mkdir", NULL, "mkdir(\"/proc/rpd-test-corpus\")", "do_mkdir"),
    SEALED("rename", NULL, "rename(\"/tmp/rpd-test-corpus-none\")", "do_rename"),
    SEALED("chdir", NULL, "chdir(\"/\")", "do_chdir"),
    SEALED("dlopen", NULL, "openat(\"", "do_dlopen"),
    SEALED("limit", NULL, "prlimit64()", "do_limit"),
    SEALED("kill", NULL, "kill()", "do_kill"),
    SEALED("memfd", NULL, "memfd_create()", "do_memfd"),
    SEALED("prctl", NULL, "prctl()", "do_prctl"),
    SEALED("exec", NULL, "execve(\"/nonexistent\")", "do_exec"),
    SEALED("block_sigsys", NULL, "openat(\"/etc/hostname\")", "do_block_sigsys"),
    SEALED("handle_sigsys", NULL, "rt_sigaction()", "do_handle_sigsys"),

    /* What a bind takes, leaves and returns. */
    {.name = "bind: sleeps",
     .code = 76,
     .plugin = "corpus",
     .bind = "sleep",
     .says = {"has not returned within endpoint_deadline_ms", "must not wait"}},
    {.name = "bind: leaves a pipe",
     .code = 76,
     .plugin = "corpus",
     .bind = "leave_pipe",
     .says = {"left descriptor ", ", pipe:["}},
    {.name = "bind: leaves a socket",
     .code = 76,
     .plugin = "corpus",
     .bind = "leave_socket",
     .says = {"left descriptor ", ", socket:["}},
    {.name = "bind: leaves a file, unsealed",
     .code = 76,
     .plugin = "corpus",
     .bind = "open",
     .says = {"left descriptor ", ", /etc/hostname open"},
     .seal = "off"},
    {.name = "bind: closes what is not its own",
     .code = 76,
     .plugin = "corpus",
     .bind = "close_one",
     .says = {"closed or replaced descriptor ", "close only what"}},
    {.name = "bind: replaces what is not its own",
     .code = 76,
     .plugin = "corpus",
     .bind = "replace_one",
     .says = {"closed or replaced descriptor ", "close only what"}},
    {.name = "bind returns: what was open before",
     .code = 76,
     .plugin = "corpus",
     .constructor = "listen_early",
     .bind = "inherited",
     .endpoint = "tcp:127.0.0.1:0",
     .says = {"its bind() returned descriptor ", "which was open before"}},
    {.name = "bind: umask",
     .code = 0,
     .plugin = "corpus",
     .bind = "umask",
     .says = {"its bind() changed the umask; put back", ""}},
    {.name = "bind: handler",
     .code = 0,
     .plugin = "corpus",
     .bind = "handle_sigterm",
     .says = {"its bind() changed the handler of SIGTERM; put back", ""}},
    RETURNS("udp", "not a stream socket"),
    RETURNS("not_listening", "does not listen"),
    RETURNS("elsewhere", "bound elsewhere"),
    RETURNS("a_file", "not a socket"),
    RETURNS("no_descriptor", "descriptor -1"),
    RETURNS("zero", "unknown outcome"),
    RETURNS("garbage", "unknown outcome"),

    /* Constructors. */
    {.name = "constructor: sleeps",
     .code = 76,
     .plugin = "misbehave",
     .constructor = "hang",
     .says = {"has not finished loading within code_deadline_ms", "must not wait"}},
    {.name = "constructor: exits",
     .code = 70,
     .plugin = "misbehave",
     .constructor = "exit",
     .says = {"called exit()", "return an error"}},
    CHANGES("chdir", "changed the working directory; put back"),
    CHANGES("umask", "changed the umask; put back"),
    CHANGES("mask_signals", "changed the signal mask; put back"),
    CHANGES("handle_sigterm", "changed the handler of SIGTERM; put back"),
    CHANGES("handle_sigsegv",
            "changed the handler of SIGSEGV (stays for faults in its own code); put back"),
    CHANGES("handle_sigsys", "changed the handler of SIGSYS; put back"),
    CHANGES("limit", "changed RLIMIT_NOFILE; put back"),
    CHANGES("locale", "changed the locale; put back"),
    CHANGES("thread_locale", "changed the locale; put back"),
    CHANGES("start_thread", "started 1 thread; start them in load()"),

    /* Plugins that are not what they must be. */
    {.name = "older ABI", .code = 65, .plugin = "abi_old", .says = {"got ABI 0", "rebuild"}},
    {.name = "newer ABI", .code = 65, .plugin = "abi_new", .says = {"got ABI 2", "rebuild"}},
    {.name = "no note", .code = 65, .plugin = "no_note", .says = {"no rpd note", "RPD_BACKEND()"}},
    {.name = "no descriptor",
     .code = 65,
     .plugin = "no_descriptor",
     .says = {"rpd_backend_v1", "stripped?"}},
    {.name = "short struct",
     .code = 65,
     .plugin = "short_struct",
     .says = {"at least", "rebuild it"}},
    {.name = "two names",
     .code = 65,
     .plugin = "two_names",
     .says = {"name different backends", "rebuild it"}},
    {.name = "missing callback",
     .code = 65,
     .plugin = "no_on_data",
     .says = {"neither on_data nor serve", "give it one"}},
    {.name = "missing bind",
     .code = 65,
     .plugin = "bind_without_bind",
     .says = {"promises a bind", "RPD_BACKEND_BIND()"}},
    {.name = "undefined symbol",
     .code = 65,
     .plugin = "undefined_symbol",
     .says = {"rpd_test_function_that_nobody_has", "link it"}},
    MADE(of_32_bit, 65, "a 32-bit ELF file, and this rpd is 64-bit", "build it"),
    MADE(of_no_class, 65, "class 9 is neither", "build it again"),
    MADE(of_the_other_end, 65, "wrong byte order", "build it"),
    MADE(of_another_version, 65, "unknown ELF version 7", "build it again"),
    MADE(of_another_machine, 65, "built for another machine: it is for aarch64", "build it"),
    MADE(of_type_rel, 65, "an object file that was not linked", "link it with -shared"),
    MADE(of_type_exec, 65, "an executable, not a shared object", "link it with -shared"),
    MADE(of_type_core, 65, "a core dump, not a shared object", "name a plugin's .so"),
    MADE(of_no_type, 65, "unknown ELF type 99", "build it again"),
    MADE(without_segments, 65, "no program headers", "build it again"),
    MADE(no_magic, 65, "not an ELF file", "name a plugin's .so"),
    MADE(a_text, 65, "it looks like a script", "name a plugin's .so"),
    MADE(empty, 65, "an empty file", "build or copy it again"),
    MADE(a_directory, 65, "not a regular file", "name the plugin's .so"),
    MADE(a_fifo, 65, "not a regular file", "name the plugin's .so"),
    MADE(nothing, 66, "there is no ", "No such file"),

    /* Plugins that others could have changed. */
    MADE(world_writable, 77, "mode 0757", "chmod go-w"),
    MADE(group_writable, 77, "mode 0775", "chmod go-w"),
    MADE(of_a_stranger, 77, "belongs to user 65534", "chown"),
    MADE(below_an_open_directory, 77, "/sub: ", "chmod o-w"),
    MADE(below_a_stranger, 77, "/sub: ", "chown"),
    MADE(far_below_an_open_directory, 77, "/sub: ", "chmod o-w"),
    MADE(far_below_a_stranger, 77, "/sub: ", "chown"),
};
enum { FAULTS = sizeof faults / sizeof *faults };

/* ---- running ---- */

static const char *plugin_path(const struct fault *fault, const char *dir)
{
    return fault->prepare ? fault->prepare(dir) : test_plugin(fault->plugin);
}

static const char *endpoint_of(const struct fault *fault, const char *dir)
{
    return fault->endpoint ? fault->endpoint : textf("unix:%s/x.sock", dir);
}

static struct process *start_plugin(const char *dir, const char *plugin, const char *endpoint,
                                    const char *seal, const char *constructor, const char *bind)
{
    const char *config = textf("%s/c.json", dir), *env[4] = {"LC_ALL=C.UTF-8"};
    const bool is_late = (bind && strcmp(bind, "sleep") == 0) ||
                         (constructor && strcmp(constructor, "hang") == 0);
    size_t count = 1;

    if (constructor)
        env[count++] = textf("TEST_CONSTRUCTOR=%s", constructor);
    if (bind)
        env[count++] = textf("TEST_BIND=%s", bind);
    write_text(config, textf("{%s\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\"],"
                             "\"seal\":\"%s\"}]}",
                             is_late ? "\"endpoint_deadline_ms\":50,\"code_deadline_ms\":50," : "",
                             plugin, endpoint, seal ? seal : "enforce"));
    return process_start(&(struct process_options){.argv = ARGS("rpd", "-c", config),
                                                   .env = env,
                                                   .runtime_dir = textf("%s/run", dir),
                                                   .directory = dir,
                                                   .notify = true});
}

/* The plugin serves like any other, and stops. */
static void assert_serves(struct process *rpd, const char *endpoint)
{
    assert_bound(rpd);
    if (strncmp(endpoint, "tcp:", 4) == 0) {
        assert_line(rpd, ": bound ");
        endpoint = process_endpoint(rpd, "tcp:");
    }
    assert_text(ask_once(endpoint, "x"), "x", rpd);
    assert_stops(rpd);
}

/* No line of rpd blames the plugin for anything. */
static void assert_silent(struct process *rpd)
{
    static const char *const blames[] = {"warning",     "bind()",      "its constructors",
                                         "rpd: bind: ", "rpd: code: ", "rpd: inspect: "};

    for (size_t i = 0; i < sizeof blames / sizeof *blames; i++)
        cr_expect_eq(lines_with(process_stderr(rpd), blames[i]), 0, "%s", process_stderr(rpd));
}

static bool has_line(const char *text, const char *const says[3])
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        const char *one = textf("%.*s", (int)strcspn(line, "\n"), line);

        if (strstr(one, says[0]) && strstr(one, says[1]) && (!says[2] || strstr(one, says[2])))
            return true;
        if (!line[strcspn(line, "\n")])
            break;
    }
    return false;
}

/* Sanitizers change what can be observed: they catch signals, have threads of their own, and do not
 * let a constructor exit. */
static bool is_beyond_sanitizers(const struct fault *fault)
{
    static const char *const acts[] = {"exit", "handle_sigsegv", "thread"};
    bool found = false;

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        found = found || (fault->constructor && strcmp(fault->constructor, acts[i]) == 0) ||
                (fault->bind && strcmp(fault->bind, acts[i]) == 0);
    return (found && is_sanitized()) ||
           (fault->bind && strstr("block_sigsys handle_sigsys fork", fault->bind) &&
            strstr(build_path(""), "tsan"));
}

ParameterizedTestParameters(corpus, fault)
{
    static size_t at[FAULTS];

    for (size_t i = 0; i < FAULTS; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, FAULTS);
}

ParameterizedTest(size_t *at, corpus, fault)
{
    const struct fault *fault = &faults[*at];
    const char *dir = temp_dir_make(), *endpoint = endpoint_of(fault, dir);

    if (is_beyond_sanitizers(fault))
        cr_skip("a sanitizer does this itself");
    if (geteuid() != 0 && fault->code == 77 && strstr(fault->name, "stranger"))
        cr_skip("needs root, to give files away");
    struct process *rpd = start_plugin(dir, plugin_path(fault, dir), endpoint, fault->seal,
                                       fault->constructor, fault->bind);
    if (fault->code == 0) {
        assert_serves(rpd, endpoint);
    } else {
        assert_ends(rpd, fault->code);
        cr_expect(!strstr(process_stderr(rpd), ": bound "), "%s", process_stderr(rpd));
        cr_expect_eq(access(textf("%s/x.sock", dir), F_OK), -1, "%s: a socket is left",
                     fault->name);
    }
    cr_expect(has_line(process_stderr(rpd), fault->says),
              "%s: no \"%s\", \"%s\" and \"%s\" in:\n%s", fault->name, fault->says[0],
              fault->says[1], fault->says[2] ? fault->says[2] : "", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- changes that rpd promises to undo ---- */

/* The properties in /proc that a constructor could have changed. */
static const char *seen_of(const struct process *rpd)
{
    static const char *const lines[] = {"\nUmask:", "\nSigBlk:", "\nSigIgn:", "\nSigCgt:"};
    const int pid = (int)process_pid(rpd);
    const char *status = file_read(textf("/proc/%d/status", pid));
    const char *limits = file_read(textf("/proc/%d/limits", pid));
    const char *seen = limits ? limits : "";
    char directory[PATH_MAX];
    const ssize_t size = readlink(textf("/proc/%d/cwd", pid), directory, sizeof directory);

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *line = status ? strstr(status, lines[i]) : NULL;

        cr_assert_not_null(line);
        seen = textf("%s%.*s\n", seen, (int)strcspn(line + 1, "\n"), line + 1);
    }
    return textf("%scwd: %.*s\n", seen, (int)(size > 0 ? size : 0), directory);
}

static const char *seen_after(const char *dir, const char *constructor)
{
    const char *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = start_plugin(dir, test_plugin("corpus"), endpoint, NULL, constructor,
                                       NULL);

    cr_assert_eq(process_wait_line(rpd, ": ready "), 0, "%s", process_stderr(rpd));
    const char *seen = seen_of(rpd);
    assert_serves(rpd, endpoint);
    process_free(rpd);
    return seen;
}

Test(corpus, what_constructors_change_is_put_back)
{
    static const char *const changes[] = {"umask",          "chdir",          "mask_signals",
                                          "handle_sigterm", "handle_sigsegv", "limit"};
    const char *dir = temp_dir_make(), *usual = seen_after(dir, NULL);

    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *seen = seen_after(dir, changes[i]);

        cr_expect_str_eq(seen, usual, "%s:\n%s\ninstead of:\n%s", changes[i], seen, usual);
    }
    temp_dir_remove(dir);
}

Test(corpus, is_large_enough)
{
    cr_assert_geq(FAULTS, 40);
}

/* The file is cut at 20 places. */
Test(corpus, truncated)
{
    struct stat status;

    cr_assert_eq(stat(build_path("plugins/echo.so"), &status), 0);
    for (int i = 0; i < 20; i++) {
        static const off_t early[] = {1, 4, 5, 15, 17, 20, 63, 64, 65, 120};
        const off_t size = i < 10 ? early[i] : 121 + (status.st_size / 2 - 121) * (i - 10) / 10;
        const char *dir = temp_dir_make(), *path = copy_of_echo(dir);

        cr_assert_eq(truncate(path, size), 0);
        struct process *rpd = start_plugin(dir, path, textf("unix:%s/x.sock", dir), NULL, NULL,
                                           NULL);
        assert_ends(rpd, 65);
        cr_expect(strstr(process_stderr(rpd), textf("rpd: inspect: %s: ", path)), "at %ld: %s",
                  (long)size, process_stderr(rpd));
        process_free(rpd);
        temp_dir_remove(dir);
    }
}

/* ---- controls ---- */

/* The same calls without the guard succeed: so it is the seal that refuses them. */
static void check_guard(const char *seal, const char *says)
{
    for (size_t i = 0; i < FAULTS; i++) {
        const struct fault *fault = &faults[i];
        const char *dir = temp_dir_make(), *endpoint = endpoint_of(fault, dir);

        /* These do damage, or leave a descriptor open, if they are allowed. */
        if (!fault->bind || !fault->says[1] ||
            strcmp(fault->says[1], "it may only make sockets") != 0 ||
            strstr("open create chdir limit block_sigsys handle_sigsys", fault->bind) ||
            is_beyond_sanitizers(fault))
            continue;
        struct process *rpd = start_plugin(dir, plugin_path(fault, dir), endpoint, seal,
                                           fault->constructor, fault->bind);
        assert_serves(rpd, endpoint);
        if (says)
            cr_expect_eq(lines_with(process_stderr(rpd), says), 1, "%s: %s", fault->name,
                         process_stderr(rpd));
        else
            assert_silent(rpd);
        process_free(rpd);
        temp_dir_remove(dir);
    }
}

Test(corpus, unsealed)
{
    check_guard("off", NULL);
}

Test(corpus, only_logged)
{
    check_guard("log", "it should only make sockets");
}

/* If breaches are only logged, a bind may change SIGSYS. */
Test(corpus, signals_where_only_logged)
{
    static const char *const says[3] = {"warning: ", "called rt_sigaction()"};
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = start_plugin(dir, test_plugin("corpus"), endpoint, "log", NULL,
                                       "handle_sigsys");

    assert_serves(rpd, endpoint);
    cr_expect(has_line(process_stderr(rpd), says), "%s", process_stderr(rpd));
}

/* The good file from which the broken ones are made, in each directory that the faults use. */
Test(corpus, unbroken_files)
{
    for (int depth = 0; depth <= 2; depth++) {
        const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
        const char *path = depth == 0 ? copy_of_echo(dir) : below(dir, 0755, geteuid(), depth);
        struct process *rpd = start_plugin(dir, path, endpoint, NULL, NULL, NULL);

        assert_serves(rpd, endpoint);
        assert_silent(rpd);
    }
}

/* The first service's constructor replaces the second's file, which has already been checked: the
 * new file must not run. The control leaves the file alone. */
static struct process *start_with_victim(const char *dir, const char *act)
{
    const char *config = textf("%s/c.json", dir), *victim = textf("%s/victim.so", dir);
    const char *other = textf("%s/other.so", dir);

    copy_file(test_plugin("misbehave"), victim, 0755);
    copy_file(test_plugin("misbehave"), other, 0755);
    write_text(config, textf("{\"services\":[{\"name\":\"a\",\"plugin\":\"%s\",\"listen\":"
                             "[\"unix:%s/a.sock\"]},{\"name\":\"b\",\"plugin\":\"%s\",\"listen\":"
                             "[\"unix:%s/b.sock\"]}]}",
                             test_plugin("corpus"), dir, victim, dir));
    return process_start(&(struct process_options){.argv = ARGS("rpd", "-c", config),
                                                   .env = ARGS(textf("TEST_CONSTRUCTOR=%s", act),
                                                               textf("TEST_VICTIM=%s", victim),
                                                               textf("TEST_OTHER=%s", other)),
                                                   .runtime_dir = textf("%s/run", dir),
                                                   .notify = true});
}

Test(corpus, swapped_between_check_and_load)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_victim(dir, "swap_victim");
    const char *const says[3] = {textf("rpd: code: %s/victim.so: ", dir),
                                 "replaced after it had been checked; start again"};

    assert_ends(rpd, 77);
    cr_expect(has_line(process_stderr(rpd), says), "%s", process_stderr(rpd));
}

Test(corpus, not_swapped)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_with_victim(dir, "use_clock");

    assert_serves(rpd, textf("unix:%s/b.sock", dir));
    assert_silent(rpd);
}

/* ---- the well-behaved ---- */

Test(corpus, well_behaved_binds)
{
    static const char *const binds[] = {
        NULL,         "options",         "use_memory",      "use_text",
        "use_random", "use_descriptors", "use_signal_mask", "use_clock"};
    static const char *const seals[] = {"enforce", "log", "off"};

    for (size_t b = 0; b < sizeof binds / sizeof *binds; b++) {
        for (size_t s = 0; s < sizeof seals / sizeof *seals; s++) {
            const char *dir = temp_dir_make();
            const char *const endpoints[] = {textf("unix:%s/x.sock", dir), "tcp:127.0.0.1:0",
                                             "tcp:[::1]:0",
                                             textf("unix:@rpd-test-corpus-%d", getpid())};
            for (size_t e = 0; e < sizeof endpoints / sizeof *endpoints; e++) {
                struct process *rpd = start_plugin(dir, test_plugin("corpus"), endpoints[e],
                                                   seals[s], NULL, binds[b]);
                assert_serves(rpd, endpoints[e]);
                assert_silent(rpd);
                process_free(rpd);
            }
            temp_dir_remove(dir);
        }
    }
}

Test(corpus, well_behaved_plugins)
{
    static const char *const plugins[] = {"plugins/echo.so",
                                          "samples/hello.so",
                                          "samples/index.so",
                                          "samples/slow_start.so",
                                          "samples/web.so",
                                          "tests/plugins/own_bind.so",
                                          "tests/plugins/misbehave.so",
                                          "tests/plugins/parts.so"};

    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++) {
        if (access(build_path(plugins[i]), F_OK) != 0)
            continue; /* web: libmicrohttpd may not be installed */
        const char *dir = temp_dir_make();
        struct process *rpd = RPD_START(textf("%s/run", dir), build_path(plugins[i]), "-l",
                                        textf("unix:%s/x.sock", dir));
        assert_bound(rpd);
        const int fd = connect_to(textf("unix:%s/x.sock", dir));
        cr_expect_geq(fd, 0, "%s", plugins[i]);
        close(fd);
        process_stop(rpd);
        assert_silent(rpd);
        process_free(rpd);
        temp_dir_remove(dir);
    }
}

/* The seal ends with its thread. */
Test(corpus, the_process_is_not_sealed)
{
    static const char *const seals[] = {"enforce", "log"};

    for (size_t s = 0; s < 2; s++) {
        const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
        struct process *rpd = start_plugin(dir, test_plugin("corpus"), endpoint, seals[s], NULL,
                                           NULL);
        assert_bound(rpd);
        const char *tasks = textf("/proc/%d/task", (int)process_pid(rpd));
        DIR *stream = opendir(tasks);
        size_t count = 0;
        for (const struct dirent *entry; stream && (entry = readdir(stream));) {
            if (entry->d_name[0] == '.')
                continue;
            const char *status = file_read(textf("%s/%s/status", tasks, entry->d_name));
            cr_expect(status && strstr(status, "\nSeccomp:\t0\n") &&
                          strstr(status, "\nNoNewPrivs:\t0\n"),
                      "%s", status);
            count++;
        }
        closedir(stream);
        cr_expect_gt(count, 0);
        assert_serves(rpd, endpoint);
    }
}
