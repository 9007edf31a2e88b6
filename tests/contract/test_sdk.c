/* The installed rpd: it is written to its prefix and nowhere else, and still works after the prefix
 * is moved. Plugins, and programs that use services, can be built against it with CMake and with
 * pkg-config, in C and in C++. */
#include "../integration/common.h"

#include <ctype.h>

/* The installation of one test. */
struct sdk {
    const char *dir;    /* the test's own directory, which holds everything else */
    const char *prefix; /* where rpd is now */
    const char *first;  /* where it was installed */
};

/* ---- running programs ---- */

/* Runs a program that must succeed. Returns its output. */
static const char *run_in(const char *directory, const char *const *env, const char *const *argv)
{
    struct process *p = process_start(
        &(struct process_options){.argv = argv, .env = env, .directory = directory});
    int status = -1;

    for (int patience = 0; patience < 5 && status == -1; patience++) /* a compiler takes a while */
        status = process_wait_exit(p);
    cr_assert_eq(process_code(status), 0, "%s %s in %s: %s%s", argv[0], argv[1], directory,
                 process_stdout(p), process_stderr(p));
    const char *text = textf("%s", process_stdout(p));
    process_free(p);
    return text;
}

static bool has_program(const char *name)
{
    char *path = strdup(getenv("PATH") ? getenv("PATH") : ""), *rest = path;
    bool found = false;

    for (const char *dir; (dir = strsep(&rest, ":")) && !found;)
        found = access(textf("%s/%s", dir, name), X_OK) == 0;
    free(path);
    return found;
}

#define SKIP_WITHOUT(path)                                                                         \
    do {                                                                                           \
        if (access((path), X_OK) != 0 && !has_program(path))                                       \
            cr_skip("%s is not installed", (path));                                                \
    } while (0)

/* ---- an installation ---- */

#define NOTHING_INHERITED                                                                          \
    "DESTDIR", "CMAKE_PREFIX_PATH", "CMAKE_GENERATOR", "CFLAGS", "CXXFLAGS", "LDFLAGS",            \
        "RPD_PLUGIN_PATH", "LD_LIBRARY_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"

static struct sdk install_sdk(void)
{
    struct sdk sdk = {.dir = temp_dir_make()};

    sdk.prefix = sdk.first = textf("%s/first", sdk.dir);
    for (size_t i = 0; i < 2; i++)
        mkdir(textf("%s/%s", sdk.dir, ((const char *[]){"home", "tmp"})[i]), 0700);
    umask(002); /* rpd refuses files that a group can write, so the install must set the modes */
    run_in(textf("%s/home", sdk.dir),
           ARGS(NOTHING_INHERITED, textf("HOME=%s/home", sdk.dir), textf("TMPDIR=%s/tmp", sdk.dir)),
           ARGS(TEST_CMAKE, "--install", build_path("."), "--prefix", sdk.prefix));
    umask(022);
    return sdk;
}

static struct sdk install_and_move_sdk(void)
{
    struct sdk sdk = install_sdk();

    sdk.prefix = textf("%s/another place", sdk.dir);
    cr_assert_eq(rename(sdk.first, sdk.prefix), 0, "%s", strerror(errno));
    return sdk;
}

/* For `$(pkg-config)`, which cannot handle a path with a space. */
static struct sdk install_and_move_plainly(void)
{
    struct sdk sdk = install_sdk();

    sdk.prefix = textf("%s/moved", sdk.dir);
    cr_assert_eq(rename(sdk.first, sdk.prefix), 0, "%s", strerror(errno));
    return sdk;
}

static const char *plugin_dir_of(const struct sdk *sdk)
{
    return textf("%s/" TEST_LIBDIR "/rpd/plugins", sdk->prefix);
}

static const char *samples_of(const struct sdk *sdk)
{
    return textf("%s/share/rpd/samples", sdk->prefix);
}

static struct process *start_installed(const struct sdk *sdk, const char *plugin,
                                       const char *option)
{
    const char *rpd = textf("%s/bin/rpd", sdk->prefix);
    const char *endpoint = textf("unix:%s/x.sock", sdk->dir);
    const struct process_options options = {
        .argv = option ? ARGS(rpd, plugin, "-l", endpoint, "-o", option)
                       : ARGS(rpd, plugin, "-l", endpoint),
        .runtime_dir = textf("%s/run", sdk->dir),
        .directory = sdk->dir,
        .env = ARGS(NOTHING_INHERITED),
        .notify = true};

    return process_start(&options);
}

/* Runs samples/out_of_tree's plugin, as built, in the installed rpd. */
static void check_lines_plugin(const struct sdk *sdk, const char *plugin)
{
    const char *text = textf("%s/text", sdk->dir);

    write_text(text, "first\nsecond\nthird\n");
    struct process *rpd = start_installed(sdk, plugin, textf("file=%s", text));
    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/x.sock", sdk->dir), "2"), "second", rpd);
    assert_text(ask_once(textf("unix:%s/x.sock", sdk->dir), "4"), "no such line", rpd);
    assert_stops(rpd);
    process_free(rpd);
}

/* ---- what an installation writes ---- */

/* Each file below the directory, with its size and time. skip: names at the top, or "build*". */
static void list_files(FILE *out, const char *dir, bool is_top, const char *const *skip)
{
    DIR *stream = opendir(dir);

    cr_assert_not_null(stream, "%s", dir);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *path = textf("%s/%s", dir, entry->d_name);
        struct stat status;
        bool skipped = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        for (size_t i = 0; is_top && skip[i]; i++)
            skipped = skipped || strncmp(entry->d_name, skip[i], strlen(skip[i])) == 0;
        if (skipped || lstat(path, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode))
            list_files(out, path, false, skip);
        else
            fprintf(out, "%s %lld %lld.%09ld\n", path, (long long)status.st_size,
                    (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    }
    closedir(stream);
}

/* The lines of one text that the other does not have. The order of a directory does not change
 * while nothing in it changes. */
static const char *new_lines(const char *before, const char *after)
{
    const char *result = "";

    if (strcmp(before, after) == 0)
        return result;
    for (const char *line = after; *line; line += strcspn(line, "\n") + 1) {
        const char *whole = textf("%.*s\n", (int)strcspn(line, "\n"), line);
        if (!strstr(before, whole))
            result = textf("%s%s", result, whole);
    }
    return result;
}

/* Of the source tree and of the build tree. */
static char *list_all(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    list_files(out, RPD_SOURCE_DIR, true, ARGS("build", ".git"));
    list_files(out, build_path("."), true, ARGS("Testing")); /* ctest writes there */
    fclose(out);
    return text;
}

Test(sdk, an_installation_writes_below_its_prefix_alone)
{
    SKIP_WITHOUT(TEST_CMAKE);
    char *before = list_all();
    const struct sdk sdk = install_sdk();
    char *after = list_all();

    cr_assert_geq(lines_with(before, "/framework/"), 50, "%s", before);
    cr_expect_str_empty(new_lines(before, after), "written outside: %s", new_lines(before, after));
    cr_expect_str_empty(new_lines(after, before), "gone: %s", new_lines(after, before));
    assert_empty(textf("%s/home", sdk.dir));
    assert_empty(textf("%s/tmp", sdk.dir));
    cr_expect_eq(access(textf("%s/bin/rpd", sdk.prefix), X_OK), 0);
    free(before);
    free(after);
    /* Each rule's destination is below the prefix. */
    run_in(sdk.dir, ARGS(NOTHING_INHERITED),
           ARGS(TEST_CMAKE, "-DCMAKE_ERROR_ON_ABSOLUTE_INSTALL_DESTINATION=ON",
                textf("-DCMAKE_INSTALL_PREFIX=%s/second", sdk.dir), "-P",
                build_path("cmake_install.cmake")));
}

/* ---- an installation that is moved ---- */

/* Whether a text contains this absolute path, and not only as the end of a relative one. */
static bool has_path(const char *text, size_t size, const char *path)
{
    for (const char *at = text; (at = memmem(at, size - (size_t)(at - text), path, strlen(path)));
         at++)
        if (at == text || at[-1] == '\0' ||
            (!isalnum((unsigned char)at[-1]) && !strchr("/._-}~", at[-1])))
            return true;
    return false;
}

/* Fails for each file below that contains the path, or that others can write. Programs may name the
 * build directory, for debuggers. */
static void check_is_nowhere(const char *dir, const char *wrong, bool also_in_elf)
{
    DIR *stream = opendir(dir);

    cr_assert_not_null(stream, "%s", dir);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *path = textf("%s/%s", dir, entry->d_name);
        struct stat status;
        if (entry->d_name[0] == '.' || lstat(path, &status) != 0 || S_ISLNK(status.st_mode))
            continue;
        cr_expect_eq(status.st_mode & (S_IWGRP | S_IWOTH), 0, "%s: others can write it", path);
        if (S_ISDIR(status.st_mode)) {
            check_is_nowhere(path, wrong, also_in_elf);
            continue;
        }
        char *content = malloc((size_t)status.st_size + 1);
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(read_exactly(fd, content, (size_t)status.st_size), status.st_size, "%s", path);
        close(fd);
        const bool is_elf = status.st_size > 4 && memcmp(content, "\177ELF", 4) == 0;
        cr_expect((is_elf && !also_in_elf) || !has_path(content, (size_t)status.st_size, wrong),
                  "%s names %s", path, wrong);
        free(content);
    }
    closedir(stream);
}

Test(sdk, it_can_be_moved)
{
    SKIP_WITHOUT(TEST_CMAKE);
    const struct sdk sdk = install_and_move_sdk();

    check_is_nowhere(sdk.prefix, sdk.first, true);
    check_is_nowhere(sdk.prefix, RPD_SOURCE_DIR, false);
    check_is_nowhere(sdk.prefix, RPD_BUILD_DIR, false);
    const char *rpd_file = textf("%s/bin/rpd", sdk.prefix);
    const char *headers = run_in(sdk.dir, NULL, ARGS("readelf", "-d", rpd_file));
    cr_expect(!strstr(headers, "RPATH") && !strstr(headers, "RUNPATH"), "%s", headers);
    cr_expect(strstr(headers, "[librpd.so.0]"), "%s", headers);

    struct process *rpd = start_installed(&sdk, "echo.so", NULL); /* from the installed directory */
    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/x.sock", sdk.dir), "hello"), "hello", rpd);
    const char *record = file_read(textf("%s/run/echo.json", sdk.dir));
    cr_assert_not_null(record);
    cr_expect(strstr(record, textf("\"%s/echo.so\"", plugin_dir_of(&sdk))), "%s", record);
    const char *maps = file_read(textf("/proc/%d/maps", (int)process_pid(rpd)));
    cr_expect(!strstr(maps, RPD_BUILD_DIR "/"), "%s", maps);
    assert_stops(rpd);
}

Test(sdk, the_headers_are_all_there)
{
    SKIP_WITHOUT(TEST_CMAKE);
    const struct sdk sdk = install_sdk();
    DIR *stream = opendir(RPD_SOURCE_DIR "/include/rpd");

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] == '.')
            continue;
        const char *text = file_read(textf("%s/include/rpd/%s", sdk.prefix, entry->d_name));
        cr_assert_not_null(text, "%s is not installed", entry->d_name);
        cr_expect_str_eq(text, file_read(textf(RPD_SOURCE_DIR "/include/rpd/%s", entry->d_name)));
    }
    closedir(stream);
}

/* ---- plugins outside the tree ---- */

static const char *copy_samples(const struct sdk *sdk)
{
    const char *copy = textf("%s/mine", sdk->dir);

    run_in(sdk->dir, NULL, ARGS("cp", "-r", samples_of(sdk), copy));
    return copy;
}

/* Built as its README says, but with the compiler that rpd was built with. */
static void build_by_cmake(const struct sdk *sdk, const char *project, const char *compiler)
{
    const char *const env[] = {NOTHING_INHERITED, NULL};

    run_in(project, env,
           ARGS(TEST_CMAKE, "-S", ".", "-B", "build", "-G", TEST_GENERATOR, compiler,
                textf("-DCMAKE_PREFIX_PATH=%s", sdk->prefix)));
    run_in(project, env, ARGS(TEST_CMAKE, "--build", "build"));
}

/* compiler OPTION... -o result source $(pkg-config --cflags --libs package) */
static void compile_by_pkg_config(const struct sdk *sdk, const char *const *compiler,
                                  const char *package, const char *source, const char *result)
{
    const char *argv[32];
    size_t count = 0;
    const char *flags = run_in(
        sdk->dir,
        ARGS(NOTHING_INHERITED, textf("PKG_CONFIG_PATH=%s/" TEST_LIBDIR "/pkgconfig", sdk->prefix)),
        ARGS(TEST_PKG_CONFIG, "--cflags", "--libs", package));

    while (compiler[count]) {
        argv[count] = compiler[count];
        count++;
    }
    argv[count++] = "-o";
    argv[count++] = result;
    argv[count++] = source;
    for (const char *at = flags + strspn(flags, " \n"); *at; at += strspn(at, " \n")) {
        const size_t size = strcspn(at, " \n");
        cr_assert_lt(count, 31);
        argv[count++] = textf("%.*s", (int)size, at);
        at += size;
    }
    argv[count] = NULL;
    run_in(sdk->dir, ARGS(NOTHING_INHERITED), argv);
}

static void build_by_pkg_config(const struct sdk *sdk, const char *compiler, const char *source,
                                const char *result)
{
    compile_by_pkg_config(sdk, ARGS(compiler, "-shared", "-fPIC"), "rpd", source, result);
}

Test(sdk, cmake_builds_a_plugin)
{
    SKIP_WITHOUT(TEST_CMAKE);
    const struct sdk sdk = install_and_move_sdk();
    const char *project = textf("%s/out_of_tree", copy_samples(&sdk));

    build_by_cmake(&sdk, project, "-DCMAKE_C_COMPILER=" TEST_CC);
    check_lines_plugin(&sdk, textf("%s/build/lines.so", project));
    const char *symbols = run_in(project, NULL,
                                 ARGS("nm", "-D", "--defined-only", "build/lines.so"));
    cr_expect_eq(lines_with(symbols, ""), 1, "it exports more than its descriptor:\n%s", symbols);

    run_in(project, ARGS(NOTHING_INHERITED), ARGS(TEST_CMAKE, "--install", "build"));
    check_lines_plugin(&sdk, "lines.so"); /* from rpd's own plugin directory */
}

Test(sdk, pkg_config_builds_a_plugin)
{
    SKIP_WITHOUT(TEST_CMAKE);
    SKIP_WITHOUT(TEST_PKG_CONFIG);
    const struct sdk sdk = install_and_move_plainly();
    const char *project = textf("%s/out_of_tree", copy_samples(&sdk));

    build_by_pkg_config(&sdk, TEST_CC, textf("%s/lines.c", project), textf("%s/lines.so", project));
    check_lines_plugin(&sdk, textf("%s/lines.so", project));
}

Test(sdk, pkg_config_knows_where_things_are)
{
    SKIP_WITHOUT(TEST_CMAKE);
    SKIP_WITHOUT(TEST_PKG_CONFIG);
    const struct sdk sdk = install_and_move_plainly();
    static const char *const variables[] = {"plugindir", "samplesdir"};
    const char *const env[] = {textf("PKG_CONFIG_PATH=%s/" TEST_LIBDIR "/pkgconfig", sdk.prefix),
                               NULL};
    const char *const wanted[] = {plugin_dir_of(&sdk), samples_of(&sdk)};

    for (size_t i = 0; i < 2; i++) {
        char found[PATH_MAX];
        const char *path = run_in(
            sdk.dir, env, ARGS(TEST_PKG_CONFIG, textf("--variable=%s", variables[i]), "rpd"));
        cr_assert_not_null(realpath(textf("%.*s", (int)strcspn(path, "\n"), path), found), "%s",
                           path);
        cr_expect_str_eq(found, wanted[i]);
    }
    const char *version = run_in(sdk.dir, NULL, ARGS(textf("%s/bin/rpd", sdk.prefix), "--version"));
    const char *known = run_in(sdk.dir, env, ARGS(TEST_PKG_CONFIG, "--modversion", "rpd"));
    cr_expect(strstr(version, textf("%.*s", (int)strcspn(known, "\n"), known)), "%s, %s", version,
              known);
}

/* ---- in C++ ---- */

static const char CPP_SOURCE[] =
    "#include <rpd/backend.h>\n"
    "#include <memory>\n"
    "#include <string>\n"
    "static const rpd_option options[] = {\n"
    "    RPD_OPTION_STRING(\"greeting\", \"hello\", \"what to say\"), RPD_OPTIONS_END};\n"
    "static void *load(rpd_load *load) {\n"
    "    return new std::string(rpd_option_string(rpd_load_service(load), \"greeting\"));\n"
    "}\n"
    "static void unload(void *state) { delete static_cast<std::string *>(state); }\n"
    "static void on_data(rpd_conn *conn, void *state) {\n"
    "    const auto *greeting = static_cast<const std::string *>(state);\n"
    "    for (rpd_span line; rpd_conn_read_line(conn, &line);) {\n"
    "        const auto answer = *greeting + \", \" + std::string(line.data, line.size) + "
    "\"\\n\";\n"
    "        rpd_conn_write(conn, answer.data(), answer.size());\n"
    "    }\n"
    "}\n"
    "RPD_BACKEND(cpp, .summary = \"Greets in C++\", .options = options, .load = load,\n"
    "            .unload = unload, .on_data = on_data);\n";

static void check_cpp_plugin(const struct sdk *sdk, const char *plugin)
{
    struct process *rpd = start_installed(sdk, plugin, "greeting=good morning");

    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/x.sock", sdk->dir), "Ada"), "good morning, Ada", rpd);
    assert_stops(rpd);
    process_free(rpd);
}

Test(sdk, plugins_in_cpp)
{
    SKIP_WITHOUT(TEST_CMAKE);
    SKIP_WITHOUT(TEST_PKG_CONFIG);
    SKIP_WITHOUT("c++");
    const struct sdk sdk = install_and_move_plainly();

    write_text(textf("%s/cpp.cpp", sdk.dir), CPP_SOURCE);
    write_text(textf("%s/CMakeLists.txt", sdk.dir), "cmake_minimum_required(VERSION 3.25)\n"
                                                    "project(cpp LANGUAGES CXX)\n"
                                                    "find_package(rpd 0.1 REQUIRED)\n"
                                                    "rpd_add_plugin(cpp cpp.cpp)\n");
    build_by_cmake(&sdk, sdk.dir, "-DCMAKE_CXX_COMPILER=c++");
    check_cpp_plugin(&sdk, textf("%s/build/cpp.so", sdk.dir));
    build_by_pkg_config(&sdk, "c++", textf("%s/cpp.cpp", sdk.dir), textf("%s/cpp.so", sdk.dir));
    check_cpp_plugin(&sdk, textf("%s/cpp.so", sdk.dir));
}

/* ---- programs that use a service ---- */

/* In C and in C++. */
static const char TOOL_SOURCE[] =
    "#include <rpd/client.h>\n"
    "#include <stdio.h>\n"
    "int main(int argc, char **argv) {\n"
    "    struct rpd_client_error error;\n"
    "    if (argc != 2 || rpd_ensure(argv[1], \"echo\", &error) < 0) {\n"
    "        fprintf(stderr, \"%s\\n\", argc == 2 ? error.text : \"usage\");\n"
    "        return 1;\n"
    "    }\n"
    "    puts(\"it runs\");\n"
    "    return 0;\n"
    "}\n";

/* A program that is not instrumented cannot be linked with a library that is. */
#define SKIP_IF_SANITIZED()                                                                        \
    do {                                                                                           \
        if (is_sanitized())                                                                        \
            cr_skip("the library is instrumented");                                                \
    } while (0)

/* The environment of a user who has installed rpd into a directory of their own. */
static const char *const *user_environment(const struct sdk *sdk)
{
    static const char *env[16];
    const char *const fixed[] = {NOTHING_INHERITED,
                                 "RPDCTL",
                                 textf("PATH=%s/bin:%s", sdk->prefix, getenv("PATH")),
                                 textf("LD_LIBRARY_PATH=%s/" TEST_LIBDIR, sdk->prefix),
                                 textf("RPD_RUNTIME_DIR=%s/run", sdk->dir),
                                 textf("XDG_STATE_HOME=%s/state", sdk->dir)};

    memcpy(env, fixed, sizeof fixed);
    return env;
}

/* The tool starts the service, finds it the second time, and needs none of rpd's other libraries.
 * If the test fails, the service ends by itself. */
static void check_tool(const struct sdk *sdk, const char *tool)
{
    const char *config = textf("%s/tool.json", sdk->dir);
    const char *const *env = user_environment(sdk);
    const char *rpdctl = textf("%s/bin/rpdctl", sdk->prefix);

    write_text(config,
               textf("{\"services\":[{\"plugin\":\"echo.so\",\"idle_exit_s\":60,\"listen\":["
                     "\"unix:%s/x.sock\"]}]}",
                     sdk->dir));
    cr_assert_str_eq(run_in(sdk->dir, env, ARGS(tool, config)), "it runs\n");
    const char *record = file_read(textf("%s/run/echo.json", sdk->dir));
    cr_assert_not_null(record);
    cr_assert_str_eq(run_in(sdk->dir, env, ARGS(tool, config)), "it runs\n");
    cr_expect_str_eq(file_read(textf("%s/run/echo.json", sdk->dir)), record, "another daemon");
    run_in(sdk->dir, env, ARGS(rpdctl, "stop", "echo"));
    const char *needed = run_in(sdk->dir, NULL, ARGS("readelf", "-d", tool));
    cr_expect(strstr(needed, "[librpd-client.so.0]"), "%s", needed);
    cr_expect(!strstr(needed, "[librpd.so.0]"), "%s", needed);
}

static void check_client_needs_libc_alone(const struct sdk *sdk)
{
    const char *library = textf("%s/" TEST_LIBDIR "/librpd-client.so.0", sdk->prefix);
    const char *needed = run_in(sdk->dir, NULL, ARGS("readelf", "-d", library));

    cr_expect_eq(lines_with(needed, "(NEEDED)"), 1, "%s", needed);
    cr_expect(strstr(needed, "[libc.so.6]"), "%s", needed);
}

Test(sdk, cmake_builds_a_tool)
{
    SKIP_WITHOUT(TEST_CMAKE);
    SKIP_IF_SANITIZED();
    const struct sdk sdk = install_and_move_sdk();
    const char *project = textf("%s/project", sdk.dir);

    mkdir(project, 0700);
    write_text(textf("%s/tool.c", project), TOOL_SOURCE);
    write_text(textf("%s/CMakeLists.txt", project), "cmake_minimum_required(VERSION 3.25)\n"
                                                    "project(tool LANGUAGES C)\n"
                                                    "find_package(rpd 0.1 REQUIRED)\n"
                                                    "add_executable(tool tool.c)\n"
                                                    "target_link_libraries(tool rpd::client)\n");
    build_by_cmake(&sdk, project, "-DCMAKE_C_COMPILER=" TEST_CC);
    check_tool(&sdk, textf("%s/build/tool", project));
    check_client_needs_libc_alone(&sdk);
}

Test(sdk, pkg_config_builds_a_tool)
{
    SKIP_WITHOUT(TEST_CMAKE);
    SKIP_WITHOUT(TEST_PKG_CONFIG);
    SKIP_IF_SANITIZED();
    const struct sdk sdk = install_and_move_plainly();
    const char *source = textf("%s/tool.c", sdk.dir), *tool = textf("%s/tool", sdk.dir);

    write_text(source, TOOL_SOURCE);
    compile_by_pkg_config(&sdk, ARGS(TEST_CC, "-std=c11", "-Wall", "-Wextra", "-Werror"),
                          "rpd-client", source, tool);
    check_tool(&sdk, tool);
    if (!has_program("c++"))
        return;
    compile_by_pkg_config(&sdk, ARGS("c++", "-x", "c++", "-Wall", "-Wextra", "-Werror"),
                          "rpd-client", source, textf("%s++", tool));
    check_tool(&sdk, textf("%s++", tool));
}

/* ---- the other samples ---- */

Test(sdk, installed_samples_build_and_run)
{
    SKIP_WITHOUT(TEST_CMAKE);
    SKIP_WITHOUT(TEST_PKG_CONFIG);
    static const char *const names[] = {"hello", "slow_start", "index"};
    const struct sdk sdk = install_and_move_plainly();
    const char *copy = copy_samples(&sdk);

    for (size_t i = 0; i < 3; i++)
        build_by_pkg_config(&sdk, TEST_CC, textf("%s/%s.c", copy, names[i]),
                            textf("%s/%s.so", copy, names[i]));
    for (size_t i = 0; i < 2; i++)
        run_in(copy, ARGS(textf("RPD_RUNTIME_DIR=%s/run", sdk.dir)),
               ARGS(textf("%s/bin/rpd", sdk.prefix), "-t", "-c",
                    ((const char *[]){"rpd.json", "client.json"})[i]));
    check_is_nowhere(samples_of(&sdk), "../build", true);
}

Test(sdk, the_sample_of_a_client_builds_and_runs)
{
    SKIP_WITHOUT(TEST_CMAKE);
    SKIP_WITHOUT(TEST_PKG_CONFIG);
    SKIP_IF_SANITIZED();
    const struct sdk sdk = install_and_move_plainly();
    const char *copy = copy_samples(&sdk);
    const char *const *env = user_environment(&sdk);

    build_by_pkg_config(&sdk, TEST_CC, textf("%s/index.c", copy), textf("%s/index.so", copy));
    compile_by_pkg_config(&sdk, ARGS(TEST_CC, "-Wall", "-Wextra", "-Werror"), "rpd-client",
                          textf("%s/client.c", copy), textf("%s/client", copy));
    const char *answer = run_in(copy, env, ARGS("./client", "client.json", "sh"));
    run_in(copy, env, ARGS(textf("%s/bin/rpdctl", sdk.prefix), "stop", "index"));
    cr_expect(strncmp(answer, "sh", 2) == 0 && lines_with(answer, "") == 1, "%s", answer);
}
