/* The layers: includes in framework/ point one way, public headers stand on
 * nothing but libc, librpd and rpd export the public functions and only those,
 * and a plugin exports its descriptors and nothing else. */
#include "../integration/common.h"

#include <ctype.h>

enum { NODES_MAX = 200, EDGES_MAX = 4000 };

/* A node is a module: x.c and x.h are one, and a file without a header of its
 * own belongs to the module whose header says so. */
struct graph {
    const char *nodes[NODES_MAX];
    size_t node_count;
    struct edge {
        size_t from, to;
    } edges[EDGES_MAX];
    size_t edge_count;
};

/* serving.c is the half of service.h that lives on the loop; loading_run.h is what
 * the halves of loading.h share. */
static const char *const parts_of[][2] = {{"serving", "service"}, {"loading_run", "loading"}};

static const char *module_of(const char *file)
{
    const char *name = textf("%.*s", (int)(strrchr(file, '.') - file), file);

    for (size_t i = 0; i < sizeof parts_of / sizeof *parts_of; i++)
        if (strcmp(name, parts_of[i][0]) == 0)
            return parts_of[i][1];
    return name;
}

static size_t node_of(struct graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i], name) == 0)
            return i;
    cr_assert_lt(graph->node_count, NODES_MAX);
    graph->nodes[graph->node_count] = name;
    return graph->node_count++;
}

/* The file names of all #include "..." (quotes) or <...> of a text. */
static size_t includes_of(const char *text, char opening, const char **ret_names, size_t room)
{
    size_t count = 0;

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        while (*line == '\n')
            line++;
        const char *at = line + strspn(line, " \t");
        if (*at != '#')
            continue;
        at += 1 + strspn(at + 1, " \t");
        if (strncmp(at, "include", 7) != 0)
            continue;
        at += 7 + strspn(at + 7, " \t");
        if (*at != opening)
            continue;
        cr_assert_lt(count, room);
        ret_names[count++] = textf("%.*s", (int)strcspn(at + 1, "\">"), at + 1);
    }
    return count;
}

static bool is_source(const char *name)
{
    const size_t size = strlen(name);

    return size > 2 && name[size - 2] == '.' && (name[size - 1] == 'c' || name[size - 1] == 'h');
}

static struct graph *read_graph(const char *dir)
{
    struct graph *graph = calloc(1, sizeof *graph);
    DIR *stream = opendir(dir);

    cr_assert_not_null(stream, "%s", dir);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *names[100];
        if (!is_source(entry->d_name))
            continue;
        const size_t from = node_of(graph, module_of(textf("%s", entry->d_name)));
        const size_t count = includes_of(file_read(textf("%s/%s", dir, entry->d_name)), '"', names,
                                         100);
        for (size_t i = 0; i < count; i++) {
            const size_t to = node_of(graph, module_of(names[i]));
            if (to == from)
                continue;
            cr_assert_lt(graph->edge_count, EDGES_MAX);
            graph->edges[graph->edge_count++] = (struct edge){from, to};
        }
    }
    closedir(stream);
    return graph;
}

/* Depth first; the cycle as "a -> b -> a", or NULL. */
static const char *cycle_from(const struct graph *graph, size_t node, int *colours,
                              const char *path)
{
    colours[node] = 1;
    path = textf("%s%s", path, graph->nodes[node]);
    for (size_t i = 0; i < graph->edge_count; i++) {
        if (graph->edges[i].from != node)
            continue;
        const size_t to = graph->edges[i].to;
        if (colours[to] == 1)
            return textf("%s -> %s", path, graph->nodes[to]);
        if (colours[to] == 0) {
            const char *cycle = cycle_from(graph, to, colours, textf("%s -> ", path));
            if (cycle)
                return cycle;
        }
    }
    colours[node] = 2;
    return NULL;
}

static const char *find_cycle(const char *dir)
{
    struct graph *graph = read_graph(dir);
    int colours[NODES_MAX] = {0};
    const char *cycle = NULL;

    for (size_t i = 0; i < graph->node_count && !cycle; i++)
        if (colours[i] == 0)
            cycle = cycle_from(graph, i, colours, "");
    free(graph);
    return cycle;
}

Test(layers, no_cycle)
{
    const char *cycle = find_cycle(RPD_SOURCE_DIR "/framework");

    cr_assert_null(cycle, "%s", cycle);
}

Test(layers, the_checker_finds_a_cycle)
{
    const char *dir = temp_dir_make();
    struct graph *graph = read_graph(RPD_SOURCE_DIR "/framework");

    cr_assert_gt(graph->node_count, 30, "the graph is empty");
    cr_assert_gt(graph->edge_count, 60, "the graph is empty");
    free(graph);
    write_text(textf("%s/a.c", dir), "#include \"a.h\"\n#include \"b.h\"\n");
    write_text(textf("%s/a.h", dir), "#include <stdio.h>\n");
    write_text(textf("%s/b.h", dir), "  #  include \"c.h\"\n");
    write_text(textf("%s/c.h", dir), "int c;\n");
    write_text(textf("%s/serving.c", dir), "#include \"service.h\"\n");
    cr_assert_null(find_cycle(dir), "%s", find_cycle(dir));
    write_text(textf("%s/c.c", dir), "#include \"c.h\"\n#include \"a.h\"\n");
    cr_assert_not_null(find_cycle(dir));
    write_text(textf("%s/c.c", dir), "// #include \"a.h\"\n");
    cr_assert_null(find_cycle(dir), "%s", find_cycle(dir));
    /* Over the header of a part: one node with its whole. */
    write_text(textf("%s/service.h", dir), "#include \"d.h\"\n");
    write_text(textf("%s/d.c", dir), "#include \"serving.h\"\n");
    cr_assert_not_null(find_cycle(dir));
}

Test(layers, the_daemon_is_on_top)
{
    DIR *stream = opendir(RPD_SOURCE_DIR "/framework");

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *names[100];
        if (!is_source(entry->d_name))
            continue;
        const size_t count = includes_of(
            file_read(textf(RPD_SOURCE_DIR "/framework/%s", entry->d_name)), '"', names, 100);
        for (size_t i = 0; i < count; i++)
            cr_expect(strcmp(names[i], "daemon.h") != 0 ||
                          strcmp(entry->d_name, "rpd_main.c") == 0 ||
                          strcmp(entry->d_name, "daemon.c") == 0,
                      "%s includes daemon.h", entry->d_name);
    }
    closedir(stream);
}

/* The loop's side only: nobody below it may need the library. */
Test(layers, the_ground_needs_no_library)
{
    static const char *const ground[] = {"error.c", "log.c",      "residue.c", "lock.c",
                                         "claim.c", "endpoint.c", "bound.c",   "directory.c"};

    for (size_t g = 0; g < sizeof ground / sizeof *ground; g++) {
        const char *names[100];
        const char *text = file_read(textf(RPD_SOURCE_DIR "/framework/%s", ground[g]));
        cr_assert_not_null(text, "%s", ground[g]);
        const size_t count = includes_of(text, '<', names, 100);
        for (size_t i = 0; i < count; i++)
            cr_expect(strncmp(names[i], "event2/", 7) != 0 && strcmp(names[i], "jansson.h") != 0,
                      "%s includes %s", ground[g], names[i]);
    }
}

Test(layers, public_headers_stand_on_libc)
{
    static const char *const allowed[] = {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
                                          "sys/socket.h"};
    DIR *stream = opendir(RPD_SOURCE_DIR "/include/rpd");

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        const char *names[100];
        if (!is_source(entry->d_name))
            continue;
        const char *text = file_read(textf(RPD_SOURCE_DIR "/include/rpd/%s", entry->d_name));
        cr_expect_eq(includes_of(text, '"', names, 100), 0, "%s includes by quotes", entry->d_name);
        const size_t count = includes_of(text, '<', names, 100);
        for (size_t i = 0; i < count; i++) {
            bool good = strncmp(names[i], "rpd/", 4) == 0;
            for (size_t a = 0; a < sizeof allowed / sizeof *allowed; a++)
                good = good || strcmp(names[i], allowed[a]) == 0;
            cr_expect(good, "%s includes <%s>", entry->d_name, names[i]);
        }
    }
    closedir(stream);
}

/* ---- what the binaries export ---- */

static const char *symbols_of(const char *file)
{
    struct process *nm = process_start(&(struct process_options){
        .argv = ARGS("nm", "-D", "--defined-only", "-P", file), .env = ARGS("LC_ALL=C")});
    const int code = process_code(process_wait_exit(nm));

    cr_assert_eq(code, 0, "nm %s: %s", file, process_stderr(nm));
    const char *text = textf("\n%s", process_stdout(nm));
    process_free(nm);
    return text;
}

static bool exports(const char *symbols, const char *name)
{
    const char *found = strstr(symbols, textf("\n%s ", name));

    return found || strstr(symbols, textf("\n%s@", name));
}

/* The names that headers declare with RPD_API: what stands before the "(". client.h is
 * librpd-client's, the others are librpd's. */
static size_t declared_names(bool of_client, const char **ret_names, size_t room)
{
    DIR *stream = opendir(RPD_SOURCE_DIR "/include/rpd");
    size_t count = 0;

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (!is_source(entry->d_name) || (strcmp(entry->d_name, "client.h") == 0) != of_client)
            continue;
        const char *text = file_read(textf(RPD_SOURCE_DIR "/include/rpd/%s", entry->d_name));
        for (const char *at = text; (at = strstr(at, "\nRPD_API ")); at++) {
            const char *end = strchr(at, '(');
            const char *begin = end;
            while (isalnum((unsigned char)begin[-1]) || begin[-1] == '_')
                begin--;
            cr_assert_lt(count, room);
            ret_names[count++] = textf("%.*s", (int)(end - begin), begin);
        }
    }
    closedir(stream);
    return count;
}

Test(layers, librpd_exports_the_public_functions)
{
    const char *names[300];
    const size_t count = declared_names(false, names, 300);
    const char *symbols = symbols_of(build_path("librpd.so"));

    cr_assert_gt(count, 40, "%zu functions were found in the headers", count);
    for (size_t i = 0; i < count; i++)
        cr_expect(exports(symbols, names[i]), "%s is declared but not exported", names[i]);
}

/* Whoever connects takes nothing else into their program. */
Test(layers, librpd_client_stands_on_libc)
{
    const char *names[10];
    const size_t count = declared_names(true, names, 10);
    const char *symbols = symbols_of(build_path("librpd-client.so"));
    struct process *readelf = process_start(&(struct process_options){
        .argv = ARGS("readelf", "-d", build_path("librpd-client.so")), .env = ARGS("LC_ALL=C")});

    cr_assert_eq(process_code(process_wait_exit(readelf)), 0);
    cr_expect_eq(count, 2);
    cr_expect_eq(lines_with(symbols, "rpd_"), count, "%s", symbols);
    for (size_t i = 0; i < count; i++)
        cr_expect(exports(symbols, names[i]), "%s is declared but not exported", names[i]);
    if (!is_sanitized())
        cr_expect_eq(lines_with(process_stdout(readelf), "(NEEDED)"), 1, "%s",
                     process_stdout(readelf));
    process_free(readelf);
}

/* rpd carries librpd's soname: what it exports, plugins find. */
Test(layers, librpd_and_rpd_export_nothing_else)
{
    static const char *const files[] = {"librpd.so.0", "rpd"};
    const char *names[300];
    const size_t count = declared_names(false, names, 300);

    for (size_t f = 0; f < 2; f++) {
        const char *symbols = symbols_of(build_path(files[f]));
        if (strcmp(files[f], "rpd") == 0 && is_sanitized())
            continue; /* the runtime of the sanitizer is in it */
        cr_expect_geq(lines_with(symbols, "rpd_"), count);
        for (const char *line = symbols + 1; *line; line += strcspn(line, "\n") + 1) {
            const char *name = textf("%.*s", (int)strcspn(line, " @"), line);
            bool declared = strcmp(name, "RPD_1") == 0; /* the version itself */
            for (size_t i = 0; i < count; i++)
                declared = declared || strcmp(names[i], name) == 0;
            cr_expect(declared, "%s exports %s, which no public header declares", files[f], name);
        }
    }
}

Test(layers, plugins_export_their_descriptors)
{
    static const char *const plugins[] = {
        "plugins/echo.so",           "samples/hello.so", "samples/index.so",
        "samples/slow_start.so",     "samples/web.so",   "tests/plugins/own_bind.so",
        "tests/plugins/misbehave.so"};

    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++) {
        if (access(build_path(plugins[i]), F_OK) != 0)
            continue; /* web: libmicrohttpd may be missing */
        const char *symbols = symbols_of(build_path(plugins[i]));
        cr_expect(exports(symbols, "rpd_backend_v1"), "%s: %s", plugins[i], symbols);
        for (const char *line = symbols + 1; *line; line += strcspn(line, "\n") + 1) {
            const char *name = textf("%.*s", (int)strcspn(line, " @"), line);
            cr_expect(strcmp(name, "rpd_backend_v1") == 0 ||
                          strcmp(name, "rpd_backend_bind_v1") == 0 ||
                          (is_sanitized() && name[0] == '_'),
                      "%s exports %s", plugins[i], name);
        }
    }
}
