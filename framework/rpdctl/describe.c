/* rpdctl describe: what a plugin declares about itself, as a table or as JSON. */
#include "library/libjansson.h"
#include "rpdctl/command_line.h"
#include "rpdctl/descriptor.h"
#include "rpdctl/option_view.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: rpdctl describe PLUGIN.so [--json | --schema]\n"
    "\n"
    "Prints what the plugin says of itself: name, version, what it does until its\n"
    "state is loaded, and its options with type, default, range and meaning. Its\n"
    "code is loaded for that, in a process of its own. A name without a slash is\n"
    "looked up as rpd does; a file of the working directory is ./PLUGIN.so.\n"
    "\n"
    "      --json    print JSON\n"
    "      --schema  print a JSON Schema of the options, for editors\n"
    "\n"
    "Exit codes: 0 done, 1 it is no plugin, or crashes, 64 bad command line.\n";

static const char *or_none(const char *value)
{
    return *value ? value : "-";
}

enum { TABLE, JSON, SCHEMA }; /* how it is printed */

/* What the plugin can do before its state is loaded. */
static const char *cold_path(const json_t *plugin)
{
    if (!descriptor_has(plugin, "load"))
        return "it has none";
    return json_is_true(json_object_get(plugin, "serves_without_state"))
               ? "it can serve without it"
               : "it cannot serve without it";
}

/* "a, b and 3 more" */
static void print_list(const json_t *names, const char *after)
{
    enum { SHOWN = 6 };
    const size_t count = json_object_size(names);
    size_t at = 0;

    for (void *name = json_object_iter((json_t *)(uintptr_t)names); name && at < SHOWN;
         name = json_object_iter_next((json_t *)(uintptr_t)names, name), at++) {
        const char *object = json_string_value(json_object_iter_value(name));

        printf("%s%s%s%s%s", at > 0 ? ", " : "", json_object_iter_key(name), object ? " (" : "",
               object ? object : "", object ? ")" : "");
    }
    if (count > at)
        printf(" and %zu more", count - at);
    printf("%s\n", after);
}

/* Prints only the names that the author should look at. */
static void print_names(const json_t *plugin)
{
    const json_t *taken = json_object_get(plugin, "taken_names");
    const json_t *shared = json_object_get(plugin, "shared_names");
    const char *borrowed = descriptor_text(plugin, "borrowed_library");

    if (json_object_size(taken) > 0) {
        fputs("names:     others' are used instead of its own: ", stdout);
        print_list(taken, "; make them hidden, or link with -Wl,-Bsymbolic");
    }
    if (json_object_size(shared) > 0) {
        fputs("shared:    one for all plugins that have it: ", stdout);
        print_list(shared, "; compile with -fno-gnu-unique");
    }
    if (*borrowed)
        printf("lacks:     it calls %s and is not linked with it; link it\n", borrowed);
}

static void print_idle_exit(const json_t *plugin)
{
    const json_int_t seconds = json_integer_value(json_object_get(plugin, "idle_exit_s"));

    if (seconds > 0)
        printf("idle:      it exits %lld s after the last client, unless idle_exit_s is set\n",
               (long long)seconds);
}

static void print_table(const json_t *plugin)
{
    const json_t *callbacks = json_object_get(plugin, "callbacks");

    printf("name:      %s\nsummary:   %s\nversion:   %s\nABI:       %lld\nfile:      %s\n",
           descriptor_text(plugin, "name"), or_none(descriptor_text(plugin, "summary")),
           or_none(descriptor_text(plugin, "version")),
           (long long)json_integer_value(json_object_get(plugin, "abi")),
           descriptor_text(plugin, "file"));
    printf("bind:      %s\nstate:     %s\nwarm-up:   %s\nprobe:     %s\ncallbacks:",
           json_is_true(json_object_get(plugin, "own_bind")) ? "its own" : "by rpd",
           cold_path(plugin), descriptor_text(plugin, "warmup"),
           json_is_object(json_object_get(plugin, "probe")) ? "yes" : "none");
    for (size_t i = 0; i < json_array_size(callbacks); i++)
        printf(" %s", json_string_value(json_array_get(callbacks, i)));
    putchar('\n');
    print_idle_exit(plugin);
    print_names(plugin);
    option_view_print(json_object_get(plugin, "options"));
}

static int describe(const char *name, int form)
{
    struct error error;
    json_t *plugin = NULL;

    if (libjansson_load(&error) == 0)
        plugin = descriptor_read(name, &error);
    if (!plugin) {
        rpdctl_say("%s", error.text);
        return RPDCTL_NO;
    }
    if (form == TABLE) {
        print_table(plugin);
    } else {
        json_t *schema = form == SCHEMA ? option_view_schema(plugin) : json_incref(plugin);

        json_dumpf(schema, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(schema);
    }
    json_decref(plugin);
    return 0;
}

static int take_form(void *arg, int option, char **argv)
{
    int *form = arg;

    (void)argv;
    *form = option;
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, JSON},
                                            {"schema", no_argument, NULL, SCHEMA},
                                            {NULL, 0, NULL, 0}};
    int form = TABLE;
    const char *plugin;
    int code = rpdctl_take_options(argc, argv, ":", options, take_form, &form);

    if (!code)
        code = rpdctl_take_plugin(argc, argv, &plugin);
    return code ? code : describe(plugin, form);
}

const struct rpdctl_command rpdctl_describe = {
    .name = "describe",
    .summary = "what a plugin is, and its options",
    .help = help,
    .run = run,
};
