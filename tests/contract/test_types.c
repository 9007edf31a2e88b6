/* The types enforce the contract: with gcc and with clang, sources that break it do not compile,
 * even without -Werror; the corrected sources do. It also tests what the public headers promise as
 * files. */
#include "../integration/common.h"

#include <criterion/parameterized.h>

#define PLUGIN_HEAD                                                                                \
    "#include <rpd/backend.h>\n"                                                                   \
    "static void on_data(struct rpd_conn *conn, void *state)\n"                                    \
    "{ (void)state; rpd_conn_consume(conn, rpd_conn_input(conn).size); }\n"
#define BIND_TAIL                                                                                  \
    "RPD_BACKEND_BIND(my_bind);\n"                                                                 \
    "RPD_BACKEND(mine, .summary = \"x\", .on_data = on_data);\n"
#define SERVE_TAIL "RPD_BACKEND(mine, .summary = \"x\", .serve = my_serve, .on_data = on_data);\n"
#define LOAD_TAIL "RPD_BACKEND(mine, .summary = \"x\", .load = my_load, .on_data = on_data);\n"
#define GOOD_BIND                                                                                  \
    "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"                       \
    "{ return rpd_bind_plainly(endpoint); }\n"

enum { GCC, CLANG };

static const struct breach {
    const char *name;
    const char *wrong, *right; /* complete sources */
    const char *diagnostic[2]; /* from gcc, from clang */
} breaches[] = {
    {"bind with a service",
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint,\n"
                 "                                struct rpd_service *service)\n"
                 "{ (void)service; return rpd_bind_plainly(endpoint); }\n" BIND_TAIL,
     PLUGIN_HEAD GOOD_BIND BIND_TAIL,
     {"initialization of", "incompatible function pointer types"}},
    {"bind with a state",
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint,\n"
                 "                                void *state)\n"
                 "{ (void)state; return rpd_bind_plainly(endpoint); }\n" BIND_TAIL,
     PLUGIN_HEAD GOOD_BIND BIND_TAIL,
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"bind of a service",
     PLUGIN_HEAD "static struct rpd_bound my_bind(struct rpd_service *service)\n"
                 "{ (void)service; return rpd_bound_in_use(); }\n" BIND_TAIL,
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ (void)endpoint; return rpd_bound_in_use(); }\n" BIND_TAIL,
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"an option in bind",
     PLUGIN_HEAD
     "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
     "{ return rpd_bound_other(\"%s\", rpd_option_string(endpoint, \"a\")); }\n" BIND_TAIL,
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ return rpd_bound_other(\"%s\", rpd_endpoint_text(endpoint)); }\n" BIND_TAIL,
     {"passing argument 1 of", "incompatible pointer types passing"}},
    {"the state in bind",
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ return rpd_service_state(endpoint) ? rpd_bound_in_use()\n"
                 "                                     : rpd_bind_plainly(endpoint); }\n" BIND_TAIL,
     PLUGIN_HEAD GOOD_BIND BIND_TAIL,
     {"passing argument 1 of", "incompatible pointer types passing"}},
    {"load called from bind",
     PLUGIN_HEAD "static void *my_load(struct rpd_load *load) { return load; }\n"
                 "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ my_load(endpoint); return rpd_bind_plainly(endpoint); }\n" BIND_TAIL,
     PLUGIN_HEAD GOOD_BIND BIND_TAIL,
     {"passing argument 1 of", "incompatible pointer types passing"}},
    {"the inside of an endpoint",
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ return endpoint->backlog ? rpd_bound_in_use()\n"
                 "                           : rpd_bind_plainly(endpoint); }\n" BIND_TAIL,
     PLUGIN_HEAD
     "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
     "{ return rpd_endpoint_backlog(endpoint) ? rpd_bound_in_use()\n"
     "                                        : rpd_bind_plainly(endpoint); }\n" BIND_TAIL,
     {"incomplete typedef|undefined type|incomplete type|invalid use of",
      "incomplete definition of type"}},
    {"a copy of an endpoint",
     PLUGIN_HEAD
     "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
     "{ struct rpd_endpoint mine = *endpoint; return rpd_bind_plainly(&mine); }\n" BIND_TAIL,
     PLUGIN_HEAD GOOD_BIND BIND_TAIL,
     {"incomplete type|storage size", "incomplete type"}},
    {"serve shaped like a bind",
     PLUGIN_HEAD "static struct rpd_bound my_serve(const struct rpd_endpoint *endpoint)\n"
                 "{ return rpd_bind_plainly(endpoint); }\n" SERVE_TAIL,
     PLUGIN_HEAD "static int my_serve(struct rpd_service *service, struct rpd_listener *listener)\n"
                 "{ return rpd_serve_connections(service, listener); }\n" SERVE_TAIL,
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"serve without a listener",
     PLUGIN_HEAD "static int my_serve(struct rpd_service *service)\n"
                 "{ (void)service; return 0; }\n" SERVE_TAIL,
     PLUGIN_HEAD "static int my_serve(struct rpd_service *service, struct rpd_listener *listener)\n"
                 "{ return rpd_serve_connections(service, listener); }\n" SERVE_TAIL,
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"on_data with its parameters swapped",
     "#include <rpd/backend.h>\n"
     "static void on_data(void *state, struct rpd_conn *conn)\n"
     "{ (void)state; (void)conn; }\n"
     "static void wrap(struct rpd_service *service, struct rpd_conn *conn)\n"
     "{ (void)service; (void)conn; }\n"
     "RPD_BACKEND(mine, .summary = \"x\", .on_data = wrap, .on_close = on_data);\n",
     "#include <rpd/backend.h>\n"
     "static void on_data(struct rpd_conn *conn, void *state)\n"
     "{ (void)state; (void)conn; }\n"
     "RPD_BACKEND(mine, .summary = \"x\", .on_data = on_data, .on_close = on_data);\n",
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"load of a service",
     PLUGIN_HEAD
     "static void *my_load(struct rpd_service *service) { return service; }\n" LOAD_TAIL,
     PLUGIN_HEAD "static void *my_load(struct rpd_load *load)\n"
                 "{ return (void *)(uintptr_t)rpd_load_service(load); }\n" LOAD_TAIL,
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"load with a service",
     PLUGIN_HEAD "static void *my_load(struct rpd_load *load, struct rpd_service *service)\n"
                 "{ (void)service; return load; }\n" LOAD_TAIL,
     PLUGIN_HEAD "static void *my_load(struct rpd_load *load) { return load; }\n" LOAD_TAIL,
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"a descriptor from bind",
     PLUGIN_HEAD "static int my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ (void)endpoint; return 3; }\n" BIND_TAIL,
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ (void)endpoint; return rpd_bound_listening(3); }\n" BIND_TAIL,
     {"incompatible pointer type", "incompatible function pointer types"}},
    {"a descriptor returned as the result",
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ (void)endpoint; return 3; }\n" BIND_TAIL,
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ (void)endpoint; return rpd_bound_listening(3); }\n" BIND_TAIL,
     {"incompatible types when returning", "returning 'int' from a function"}},
    {"a function that no header declares",
     PLUGIN_HEAD "static struct rpd_bound my_bind(const struct rpd_endpoint *endpoint)\n"
                 "{ rpd_endpoint_state(endpoint); return rpd_bind_plainly(endpoint); }\n" BIND_TAIL,
     PLUGIN_HEAD GOOD_BIND BIND_TAIL,
     {"implicit declaration", "implicit declaration"}},
};
enum { BREACHES = sizeof breaches / sizeof *breaches };

static const char *const headers[] = {"backend.h", "base.h",    "body.h",  "conn.h", "endpoint.h",
                                      "job.h",     "client.h",  "load.h",  "main.h", "metrics.h",
                                      "option.h",  "service.h", "state.h", "frame.h"};
enum { HEADERS = sizeof headers / sizeof *headers };

/* ---- helpers ---- */

static bool has_program(const char *name)
{
    struct process *p = process_start(&(struct process_options){.argv = ARGS(name, "--version")});
    const bool found = process_code(process_wait_exit(p)) == 0;

    process_free(p);
    return found;
}

/* Compiles a source for its diagnostics only. Returns the exit code. */
static int compile(const char *compiler, const char *const *flags, const char *file,
                   const char **ret_diagnostics)
{
    const char *argv[24] = {compiler, "-fsyntax-only", "-I", RPD_SOURCE_DIR "/include"};
    size_t count = 4;

    while (*flags)
        argv[count++] = *flags++;
    argv[count++] = file;
    argv[count] = NULL;
    struct process *p = process_start(
        &(struct process_options){.argv = argv, .env = ARGS("LC_ALL=C", "TERM=dumb")});
    const int code = process_code(process_wait_exit(p));
    *ret_diagnostics = textf("%s", process_stderr(p));
    process_free(p);
    return code;
}

static int compile_text(const char *compiler, const char *const *flags, const char *source,
                        const char **ret_diagnostics)
{
    const char *dir = temp_dir_make();
    const char *file = textf("%s/plugin.c", dir);

    write_text(file, source);
    const int code = compile(compiler, flags, file, ret_diagnostics);
    temp_dir_remove(dir);
    return code;
}

/* alternatives: texts separated by "|". */
static bool has_one_of(const char *text, const char *alternatives)
{
    while (*alternatives) {
        const size_t size = strcspn(alternatives, "|");
        if (strstr(text, textf("%.*s", (int)size, alternatives)))
            return true;
        alternatives += size + (alternatives[size] == '|');
    }
    return false;
}

static void check_breach(size_t at, const char *compiler, int kind)
{
    const struct breach *breach = &breaches[at];
    const char *diagnostics;
    int code = compile_text(compiler, ARGS("-std=gnu11"), breach->wrong, &diagnostics);

    cr_expect_neq(code, 0, "%s compiles with %s", breach->name, compiler);
    cr_expect(strstr(diagnostics, "error:"), "%s, %s:\n%s", breach->name, compiler, diagnostics);
    cr_expect(has_one_of(diagnostics, breach->diagnostic[kind]), "%s, %s: no \"%s\" in:\n%s",
              breach->name, compiler, breach->diagnostic[kind], diagnostics);
    code = compile_text(compiler, ARGS("-std=gnu11", "-Wall", "-Wextra", "-Werror"), breach->right,
                        &diagnostics);
    cr_expect_eq(code, 0, "the control of \"%s\" with %s:\n%s", breach->name, compiler,
                 diagnostics);
}

/* ---- tests ---- */

ParameterizedTestParameters(types, breach_with_gcc)
{
    static size_t rows[BREACHES];

    for (size_t i = 0; i < BREACHES; i++)
        rows[i] = i;
    return cr_make_param_array(size_t, rows, BREACHES);
}

ParameterizedTest(size_t *row, types, breach_with_gcc)
{
    if (!has_program("gcc"))
        cr_skip("gcc is not installed");
    check_breach(*row, "gcc", GCC);
}

ParameterizedTestParameters(types, breach_with_clang)
{
    static size_t rows[BREACHES];

    for (size_t i = 0; i < BREACHES; i++)
        rows[i] = i;
    return cr_make_param_array(size_t, rows, BREACHES);
}

ParameterizedTest(size_t *row, types, breach_with_clang)
{
    if (!has_program("clang"))
        cr_skip("clang is not installed");
    check_breach(*row, "clang", CLANG);
}

Test(types, each_header_compiles_alone)
{
    static const struct {
        const char *compiler, *language, *standard;
    } ways[] = {{"gcc", "c", "-std=c11"},
                {"clang", "c", "-std=c11"},
                {"g++", "c++", "-std=c++17"},
                {"clang++", "c++", "-std=c++17"}};

    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        if (!has_program(ways[w].compiler))
            continue;
        for (size_t h = 0; h < HEADERS; h++) {
            const char *diagnostics;
            const char *source = textf("#include <rpd/%s>\n#include <rpd/%s>\n"
                                       "extern int not_empty;\n",
                                       headers[h], headers[h]);
            const int code = compile_text(ways[w].compiler,
                                          ARGS("-x", ways[w].language, ways[w].standard, "-Wall",
                                               "-Wextra", "-Wpedantic", "-Werror"),
                                          source, &diagnostics);
            cr_expect_eq(code, 0, "%s %s:\n%s", ways[w].compiler, headers[h], diagnostics);
        }
    }
}

Test(types, list_of_headers_is_complete)
{
    const char *dir = RPD_SOURCE_DIR "/include/rpd";
    size_t count = 0;
    DIR *stream = opendir(dir);

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));)
        /* backend.hpp is C++ only: see tests/integration/test_cpp.c. */
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, "backend.hpp") != 0;
    closedir(stream);
    cr_assert_eq(count, HEADERS, "%zu files in %s; add them to this test", count, dir);
}

Test(types, plugin_in_cpp_compiles)
{
    static const char source[] =
        "#include <rpd/backend.h>\n"
        "static const rpd_option options[] = {\n"
        "    RPD_OPTION_STRING(\"a\", \"b\", \"c\"), RPD_OPTION_INTEGER(\"d\", 1, 0, 9, \"e\"),\n"
        "    RPD_OPTION_NUMBER(\"f\", 1.5, 0, 9, \"g\"), RPD_OPTION_BOOLEAN(\"h\", true, \"i\"),\n"
        "    RPD_OPTIONS_END };\n"
        "static rpd_bound my_bind(const rpd_endpoint *endpoint)\n"
        "{ return rpd_bind_plainly(endpoint); }\n"
        "static void *load(rpd_load *) { return new int(1); }\n"
        "static void unload(void *state) { delete static_cast<int *>(state); }\n"
        "static void on_data(rpd_conn *conn, void *)\n"
        "{ rpd_span line; while (rpd_conn_read_line(conn, &line)) rpd_conn_printf(conn, \"x\\n\"); "
        "}\n"
        "RPD_BACKEND_BIND(my_bind);\n"
        "RPD_BACKEND(mine, .summary = \"x\", .options = options, .load = load, .unload = unload,\n"
        "            .on_data = on_data);\n";
    static const char wrong[] =
        "#include <rpd/backend.h>\n"
        "static rpd_bound my_bind(rpd_service *) { return rpd_bound_in_use(); }\n"
        "RPD_BACKEND_BIND(my_bind);\n";
    static const char *const compilers[] = {"g++", "clang++"};

    for (size_t i = 0; i < 2; i++) {
        const char *diagnostics;
        if (!has_program(compilers[i]))
            continue;
        /* -Wpedantic would complain that designated initializers are a C++20 feature. */
        cr_expect_eq(compile_text(compilers[i],
                                  ARGS("-x", "c++", "-std=c++17", "-Wall",
                                       "-Wno-missing-field-initializers"),
                                  source, &diagnostics),
                     0, "%s:\n%s", compilers[i], diagnostics);
        cr_expect_eq(compile_text(compilers[i], ARGS("-x", "c++", "-std=c++20", "-Wall"), source,
                                  &diagnostics),
                     0, "%s:\n%s", compilers[i], diagnostics);
        cr_expect_neq(
            compile_text(compilers[i], ARGS("-x", "c++", "-std=c++17"), wrong, &diagnostics), 0,
            "%s compiles a bind of a service", compilers[i]);
    }
}

Test(types, public_headers_need_no_library)
{
    for (size_t h = 0; h < HEADERS; h++) {
        const char *text = file_read(textf(RPD_SOURCE_DIR "/include/rpd/%s", headers[h]));
        cr_assert_not_null(text);
        for (const char *at = text; (at = strstr(at, "#include")); at++) {
            if (at > text && at[-1] != '\n')
                continue; /* in a comment */
            const char *line = textf("%.*s", (int)strcspn(at, "\n"), at);
            cr_expect(!strstr(line, "event2") && !strstr(line, "jansson"), "%s: %s", headers[h],
                      line);
        }
    }
}

Test(types, samples_are_as_short_as_promised)
{
    static const struct {
        const char *name;
        size_t lines;
    } samples[] = {{"hello", 30}, {"index", 61}};

    for (size_t i = 0; i < 2; i++) {
        const char *text = file_read(textf(RPD_SOURCE_DIR "/samples/%s.c", samples[i].name));
        cr_assert_not_null(text);
        const size_t lines = lines_with(text, "");
        cr_expect_leq(lines, samples[i].lines, "%s.c has %zu lines", samples[i].name, lines);
    }
}
