/* The layers: includes in framework/ name the room and point downward only,
 * public headers stand on nothing but libc, librpd and rpd export the public
 * functions and only those, and a plugin exports its descriptors and nothing
 * else. */
#include "../integration/common.h"

#include <ctype.h>
#include <fts.h>

enum { MODULES_MAX = 300, EDGES_MAX = 4000, INCLUDES_MAX = 100 };

/* The lowest layer first. A room may include itself and the rooms of lower layers, but no room
 * above it or beside it. */
static const struct {
    const char *room;
    int layer;
    bool needs_library; /* may include libevent or jansson */
} rooms[] = {
    {"base", 0, false},   {"guard", 1, false},  {"library", 1, true},   {"observe", 1, false},
    {"config", 2, true},  {"publish", 2, true}, {"client", 2, false},   {"plugin", 3, true},
    {"work", 3, true},    {"clients", 4, true}, {"endpoint", 4, false}, {"service", 5, true},
    {"control", 6, true}, {"keeper", 7, true},  {"daemon", 8, true},    {"rpdctl", 8, true},
};

static const char *const libraries[] = {"event2/", "jansson.h", "library/"};

static bool is_source(const char *name)
{
    const size_t size = strlen(name);

    return size > 2 && name[size - 2] == '.' && (name[size - 1] == 'c' || name[size - 1] == 'h');
}

/* The file names in all #include "..." (quotes) or <...> of a text. */
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

/* A module is x.c and x.h of one room. A file without a header of its own belongs to the module
 * whose header says so. */
struct graph {
    const char *modules[MODULES_MAX]; /* "room/name" */
    size_t module_count;
    struct edge {
        size_t from, to;
    } edges[EDGES_MAX];
    size_t edge_count;
    const char *breaches; /* include errors against the table of rooms, one per line */
};

/* serving.c is the half of service.h that lives on the loop; the other headers are what
 * the files of one module share. */
static const char *const parts_of[][2] = {
    {"service/serving", "service/service"},      {"work/loading_run", "work/loading"},
    {"daemon/running_inside", "daemon/running"}, {"endpoint/listener_inside", "endpoint/listener"},
    {"keeper/keeper_inside", "keeper/keeper"},   {"keeper/generation", "keeper/keeper"},
    {"keeper/renewal", "keeper/keeper"},         {"daemon/reload_keeper", "daemon/reload"},
    {"rpdctl/stage_inside", "rpdctl/kit"}};

static const char *module_of(const char *file)
{
    const char *name = textf("%.*s", (int)(strrchr(file, '.') - file), file);

    for (size_t i = 0; i < sizeof parts_of / sizeof *parts_of; i++)
        if (strcmp(name, parts_of[i][0]) == 0)
            return parts_of[i][1];
    return name;
}

static size_t index_of(struct graph *graph, const char *module)
{
    for (size_t i = 0; i < graph->module_count; i++)
        if (strcmp(graph->modules[i], module) == 0)
            return i;
    cr_assert_lt(graph->module_count, MODULES_MAX);
    graph->modules[graph->module_count] = module;
    return graph->module_count++;
}

/* The table row of the room of a path such as "config/keys.h", or -1. */
static int room_of(const char *path)
{
    const size_t size = strcspn(path, "/");

    for (size_t i = 0; path[size] && i < sizeof rooms / sizeof *rooms; i++)
        if (strlen(rooms[i].room) == size && strncmp(path, rooms[i].room, size) == 0)
            return (int)i;
    return -1;
}

static void add_breach(struct graph *graph, const char *file, const char *why, const char *name)
{
    graph->breaches = textf("%s%s %s %s\n", graph->breaches, file, why, name);
}

static void judge_include(struct graph *graph, const char *file, const char *included)
{
    const int from = room_of(file), to = room_of(included);

    if (from < 0)
        add_breach(graph, file, "is in no room, but includes", included);
    else if (to < 0)
        add_breach(graph, file, "does not name the room of", included);
    else if (to != from && rooms[to].layer >= rooms[from].layer)
        add_breach(graph, file,
                   rooms[to].layer > rooms[from].layer ? "includes upward"
                                                       : "includes its neighbour's",
                   included);
}

static void judge_libraries(struct graph *graph, const char *file, const char *text)
{
    const int room = room_of(file);
    const char *names[INCLUDES_MAX];
    size_t count = includes_of(text, '<', names, INCLUDES_MAX);

    if (room < 0 || rooms[room].needs_library)
        return;
    count += includes_of(text, '"', names + count, INCLUDES_MAX - count);
    for (size_t i = 0; i < count; i++)
        for (size_t l = 0; l < sizeof libraries / sizeof *libraries; l++)
            if (strncmp(names[i], libraries[l], strlen(libraries[l])) == 0)
                add_breach(graph, file, "needs a library:", names[i]);
}

static void read_source(struct graph *graph, const char *root, const char *path)
{
    const char *file = textf("%s", path + strlen(root) + 1);
    const char *text = file_read(path);
    const char *names[INCLUDES_MAX];
    const size_t count = includes_of(text, '"', names, INCLUDES_MAX);
    const size_t from = index_of(graph, module_of(file));

    judge_libraries(graph, file, text);
    for (size_t i = 0; i < count; i++) {
        judge_include(graph, file, names[i]);
        const size_t to = index_of(graph, module_of(names[i]));
        if (to == from)
            continue;
        cr_assert_lt(graph->edge_count, EDGES_MAX);
        graph->edges[graph->edge_count++] = (struct edge){from, to};
    }
}

/* All sources below root, except rpdctl's templates, which are texts for users. */
static struct graph *read_graph(const char *root)
{
    char *paths[] = {(char *)(uintptr_t)root, NULL};
    struct graph *graph = calloc(1, sizeof *graph);
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    cr_assert_not_null(tree, "%s", root);
    graph->breaches = "";
    for (FTSENT *entry; (entry = fts_read(tree));) {
        if (entry->fts_info == FTS_D &&
            (strcmp(entry->fts_name, "templates") == 0 || strcmp(entry->fts_name, "install") == 0))
            fts_set(tree, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_F && is_source(entry->fts_name))
            read_source(graph, root, entry->fts_path);
    }
    fts_close(tree);
    return graph;
}

/* Searches depth first. Returns the cycle as "a -> b -> a", or NULL. */
static const char *cycle_from(const struct graph *graph, size_t module, int *colours,
                              const char *path)
{
    colours[module] = 1;
    path = textf("%s%s", path, graph->modules[module]);
    for (size_t i = 0; i < graph->edge_count; i++) {
        if (graph->edges[i].from != module)
            continue;
        const size_t to = graph->edges[i].to;
        if (colours[to] == 1)
            return textf("%s -> %s", path, graph->modules[to]);
        if (colours[to] == 0) {
            const char *cycle = cycle_from(graph, to, colours, textf("%s -> ", path));
            if (cycle)
                return cycle;
        }
    }
    colours[module] = 2;
    return NULL;
}

static const char *find_cycle(const char *root)
{
    struct graph *graph = read_graph(root);
    int colours[MODULES_MAX] = {0};
    const char *cycle = NULL;

    for (size_t i = 0; i < graph->module_count && !cycle; i++)
        if (colours[i] == 0)
            cycle = cycle_from(graph, i, colours, "");
    free(graph);
    return cycle;
}

static const char *breaches_in(const char *root)
{
    struct graph *graph = read_graph(root);
    const char *breaches = graph->breaches;

    free(graph);
    return breaches;
}

Test(layers, no_cycle)
{
    const char *cycle = find_cycle(RPD_SOURCE_DIR "/framework");

    cr_assert_null(cycle, "%s", cycle);
}

Test(layers, rooms_include_downward_only)
{
    struct graph *graph = read_graph(RPD_SOURCE_DIR "/framework");

    cr_assert_gt(graph->module_count, 100, "the graph is empty");
    cr_assert_gt(graph->edge_count, 300, "the graph is empty");
    cr_assert_str_empty(graph->breaches, "%s", graph->breaches);
    free(graph);
}

/* Each folder of framework/ is a room of the table, and vice versa. */
Test(layers, the_table_has_each_room)
{
    DIR *stream = opendir(RPD_SOURCE_DIR "/framework");
    size_t count = 0;

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            strcmp(entry->d_name, "install") == 0)
            continue;
        cr_expect_geq(room_of(textf("%s/", entry->d_name)), 0, "%s is not in the table",
                      entry->d_name);
        count++;
    }
    closedir(stream);
    cr_expect_eq(count, sizeof rooms / sizeof *rooms);
}

static void plant(const char *root, const char *file, const char *text)
{
    const char *path = textf("%s/%s", root, file);

    mkdir(textf("%.*s", (int)(strrchr(path, '/') - path), path), 0700);
    write_text(path, text);
}

Test(layers, the_checker_finds_a_cycle)
{
    const char *root = temp_dir_make();

    plant(root, "base/a.c", "#include \"base/a.h\"\n#include \"base/b.h\"\n");
    plant(root, "base/a.h", "#include <stdio.h>\n");
    plant(root, "base/b.h", "  #  include \"base/c.h\"\n");
    plant(root, "base/c.h", "int c;\n");
    plant(root, "service/serving.c", "#include \"service/service.h\"\n");
    cr_assert_null(find_cycle(root), "%s", find_cycle(root));
    plant(root, "base/c.c", "#include \"base/c.h\"\n#include \"base/a.h\"\n");
    cr_assert_not_null(find_cycle(root));
    plant(root, "base/c.c", "// #include \"base/a.h\"\n");
    cr_assert_null(find_cycle(root), "%s", find_cycle(root));
    /* Through the header of a part: the part and its whole are one module. */
    plant(root, "service/service.h", "#include \"service/d.h\"\n");
    plant(root, "service/d.c", "#include \"service/serving.h\"\n");
    cr_assert_not_null(find_cycle(root));
}

/* One include is planted in each direction: from each room to each other room, without a room, and
 * to a library from a room that must not use it. */
Test(layers, the_checker_finds_each_breach)
{
    const char *root = temp_dir_make();

    plant(root, "service/good.c",
          "#include \"service/good.h\"\n#include \"base/log.h\"\n"
          "#include <event2/event.h>\n");
    cr_assert_str_empty(breaches_in(root), "%s", breaches_in(root));
    for (size_t from = 0; from < sizeof rooms / sizeof *rooms; from++)
        for (size_t to = 0; to < sizeof rooms / sizeof *rooms; to++) {
            const char *file = textf("%s/planted.c", rooms[from].room);
            plant(root, file, textf("#include \"%s/x.h\"\n", rooms[to].room));
            const bool allowed = to == from || rooms[to].layer < rooms[from].layer;
            const bool of_library = strcmp(rooms[to].room, "library") == 0 &&
                                    !rooms[from].needs_library;
            cr_expect_eq(breaches_in(root)[0] == '\0', allowed && !of_library, "%s -> %s: %s",
                         rooms[from].room, rooms[to].room, breaches_in(root));
            unlink(textf("%s/%s", root, file));
        }
    plant(root, "base/planted.c", "#include \"log.h\"\n");
    cr_expect_not_null(strstr(breaches_in(root), "does not name the room"), "%s",
                       breaches_in(root));
    plant(root, "base/planted.c", "#include <event2/event.h>\n");
    cr_expect_not_null(strstr(breaches_in(root), "needs a library"), "%s", breaches_in(root));
    plant(root, "base/planted.c", "\n");
    plant(root, "attic/planted.c", "#include \"base/log.h\"\n");
    cr_expect_not_null(strstr(breaches_in(root), "is in no room"), "%s", breaches_in(root));
}

Test(layers, the_daemon_is_on_top)
{
    struct graph *graph = read_graph(RPD_SOURCE_DIR "/framework");

    for (size_t i = 0; i < graph->edge_count; i++) {
        const char *from = graph->modules[graph->edges[i].from];
        if (strcmp(graph->modules[graph->edges[i].to], "daemon/daemon") == 0)
            cr_expect_str_eq(from, "daemon/rpd_main");
    }
    free(graph);
}

/* Code that runs before libevent and jansson are loaded must not use them. */
Test(layers, the_start_needs_no_library)
{
    static const char *const sources[] = {"guard/residue.c", "endpoint/claim.c",
                                          "endpoint/endpoint.c", "endpoint/bound.c"};

    for (size_t s = 0; s < sizeof sources / sizeof *sources; s++) {
        const char *names[INCLUDES_MAX];
        const char *text = file_read(textf(RPD_SOURCE_DIR "/framework/%s", sources[s]));
        cr_assert_not_null(text, "%s", sources[s]);
        const size_t count = includes_of(text, '<', names, INCLUDES_MAX);
        for (size_t i = 0; i < count; i++)
            cr_expect(strncmp(names[i], "event2/", 7) != 0 && strcmp(names[i], "jansson.h") != 0,
                      "%s includes %s", sources[s], names[i]);
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

/* The names that headers declare with RPD_API: the word before the "(". client.h belongs to
 * librpd-client, the others to librpd. */
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

/* A program that uses librpd-client needs no other library of rpd. */
Test(layers, librpd_client_stands_on_libc)
{
    const char *names[10];
    const size_t count = declared_names(true, names, 10);
    const char *symbols = symbols_of(build_path("librpd-client.so"));
    struct process *readelf = process_start(&(struct process_options){
        .argv = ARGS("readelf", "-d", build_path("librpd-client.so")), .env = ARGS("LC_ALL=C")});

    cr_assert_eq(process_code(process_wait_exit(readelf)), 0);
    cr_expect_eq(count, 6);
    cr_expect_eq(lines_with(symbols, "rpd_"), count, "%s", symbols);
    for (size_t i = 0; i < count; i++)
        cr_expect(exports(symbols, names[i]), "%s is declared but not exported", names[i]);
    if (!is_sanitized())
        cr_expect_eq(lines_with(process_stdout(readelf), "(NEEDED)"), 1, "%s",
                     process_stdout(readelf));
    process_free(readelf);
}

/* rpd carries librpd's soname: plugins find the functions that rpd exports. */
Test(layers, librpd_and_rpd_export_nothing_else)
{
    static const char *const files[] = {"librpd.so.0", "rpd"};
    const char *names[300];
    const size_t count = declared_names(false, names, 300);

    for (size_t f = 0; f < 2; f++) {
        const char *symbols = symbols_of(build_path(files[f]));
        if (strcmp(files[f], "rpd") == 0 && is_sanitized())
            continue; /* a sanitized program contains the runtime of the sanitizer */
        cr_expect_geq(lines_with(symbols, "rpd_"), count);
        for (const char *line = symbols + 1; *line; line += strcspn(line, "\n") + 1) {
            const char *name = textf("%.*s", (int)strcspn(line, " @"), line);
            bool declared = strcmp(name, "RPD_1") == 0; /* the version node itself */
            for (size_t i = 0; i < count; i++)
                declared = declared || strcmp(names[i], name) == 0;
            cr_expect(declared, "%s exports %s, which no public header declares", files[f], name);
        }
    }
}

Test(layers, plugins_export_their_descriptors)
{
    static const char *const plugins[] = {
        "plugins/echo.so",           "plugins/dashboard.so",      "samples/hello.so",
        "samples/index.so",          "samples/slow_start.so",     "samples/web.so",
        "tests/plugins/own_bind.so", "tests/plugins/misbehave.so"};

    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++) {
        if (access(build_path(plugins[i]), F_OK) != 0)
            continue; /* web: libmicrohttpd may not be installed */
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
