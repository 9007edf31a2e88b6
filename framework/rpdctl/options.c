/* Options for a plugin under test. See rpdctl/options.h. rpd checks their values;
 * here a text only becomes what the table says that it is. */
#include "rpdctl/options.h"

#include "library/libjansson.h"
#include "rpdctl/descriptor.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_SIZE_MAX = 1 << 20 };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static json_t *read_config(const char *file)
{
    FILE *stream = fopen(file, "re");
    char *text = stream ? malloc(CONFIG_SIZE_MAX) : NULL;
    const size_t size = text ? fread(text, 1, CONFIG_SIZE_MAX, stream) : 0;
    json_t *config = text ? json_loadb(text, size, 0, NULL) : NULL;

    if (stream)
        fclose(stream);
    free(text);
    return config;
}

/* Those of the service that runs a file of this name. */
static int take_config(json_t *options, const char *plugin, const char *file, struct error *error)
{
    json_t *config = read_config(file);
    const json_t *services = json_object_get(config, "services");
    bool found = false;

    for (size_t i = 0; !found && i < json_array_size(services); i++) {
        const json_t *service = json_array_get(services, i);

        if (strcmp(base_name(descriptor_text(service, "plugin")), base_name(plugin)) != 0)
            continue;
        found = true;
        json_object_update(options, json_object_get(service, "options"));
    }
    if (config)
        json_decref(config);
    if (found)
        return 0;
    return error_set(error, EXIT_COMMAND_LINE, "check", file,
                     "it is no configuration with a service of %s; ask rpd -t -c %s",
                     base_name(plugin), file);
}

static const json_t *find_row(const json_t *descriptor, const char *name)
{
    const json_t *table = json_object_get(descriptor, "options");

    for (size_t i = 0; i < json_array_size(table); i++)
        if (strcmp(descriptor_text(json_array_get(table, i), "name"), name) == 0)
            return json_array_get(table, i);
    return NULL;
}

static json_t *list_of(const char *text)
{
    char *copy = strdup(text), *rest = copy;
    json_t *array = json_array();

    while (*text && rest)
        json_array_append_new(array, json_string(strsep(&rest, ",")));
    free(copy);
    return array;
}

/* "64M" is a string, where the row allows it: rpd reads it. */
static json_t *value_of(const json_t *row, const char *text)
{
    const char *type = descriptor_text(row, "type");
    const bool has_unit = json_object_get(row, "unit") != NULL;
    char *end;

    if (json_object_get(row, "list"))
        return list_of(text);
    if (strcmp(type, "integer") == 0) {
        const long long integer = strtoll(text, &end, 10);

        return end != text && !*end ? json_integer(integer) : has_unit ? json_string(text) : NULL;
    }
    if (strcmp(type, "number") == 0) {
        const double number = strtod(text, &end);

        return end != text && !*end ? json_pack("f", number) : has_unit ? json_string(text) : NULL;
    }
    if (strcmp(type, "boolean") == 0)
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0
                   ? json_pack("b", *text == 't')
                   : NULL;
    return json_string(text);
}

/* The daemons of the kit have a configuration elsewhere. */
static json_t *absolute(const json_t *path, const char *directory)
{
    const char *text = json_string_value(path);
    char *whole;
    json_t *result;

    if (!text || !*text || *text == '/' || *text == '$' ||
        asprintf(&whole, "%s/%s", directory, text) < 0)
        return json_incref((json_t *)(uintptr_t)path);
    result = json_string(whole);
    free(whole);
    return result;
}

static void set_absolute(json_t *options, const json_t *row, const char *directory)
{
    const char *name = descriptor_text(row, "name");
    json_t *value = json_object_get(options, name);

    for (size_t i = 0; i < json_array_size(value); i++)
        json_array_set_new(value, i, absolute(json_array_get(value, i), directory));
    if (json_is_string(value))
        json_object_set_new(options, name, absolute(value, directory));
}

/* What is relative is so to the configuration, or to our working directory. */
static void set_all_absolute(json_t *options, const json_t *descriptor, const char *config)
{
    const json_t *table = json_object_get(descriptor, "options");
    char *resolved = config ? realpath(config, NULL) : getcwd(NULL, 0);
    char *slash = config && resolved ? strrchr(resolved, '/') : NULL;

    if (slash)
        *slash = '\0';
    for (size_t i = 0; resolved && i < json_array_size(table); i++)
        if (json_object_get(json_array_get(table, i), "path"))
            set_absolute(options, json_array_get(table, i), resolved);
    free(resolved);
}

static int take_item(json_t *options, const json_t *descriptor, const char *item,
                     struct error *error)
{
    const size_t length = strcspn(item, "=");
    char name[128];
    const json_t *row;
    json_t *value;

    snprintf(name, sizeof name, "%.*s", (int)length, item);
    if (item[length] != '=')
        return error_set(error, EXIT_COMMAND_LINE, "check", item, "expected -o KEY=VALUE");
    row = find_row(descriptor, name);
    if (!row)
        return error_set(error, EXIT_COMMAND_LINE, "check", name,
                         "the plugin has no such option; rpdctl describe lists them");
    value = value_of(row, item + length + 1);
    if (!value)
        return error_set(error, EXIT_COMMAND_LINE, "check", item, "expected %s %s",
                         *descriptor_text(row, "type") == 'i' ? "an" : "a",
                         descriptor_text(row, "type"));
    json_object_set_new(options, name, value);
    return 0;
}

/* Otherwise each check would fail, and say so. */
static int check_required(const json_t *options, const json_t *descriptor, struct error *error)
{
    const json_t *table = json_object_get(descriptor, "options");

    for (size_t i = 0; i < json_array_size(table); i++) {
        const json_t *row = json_array_get(table, i);
        const char *name = descriptor_text(row, "name");

        if (json_object_get(row, "required") && !json_object_get(options, name))
            return error_set(error, EXIT_COMMAND_LINE, "check", name,
                             "the plugin requires this option; give it one: -o %s=VALUE", name);
    }
    return 0;
}

json_t *rpdctl_options(const json_t *descriptor, const char *plugin, const char *config,
                       const char *const *items, size_t count, struct error *error)
{
    json_t *options = json_object();
    int failed = config ? take_config(options, plugin, config, error) : 0;

    if (config)
        set_all_absolute(options, descriptor, config);
    for (size_t i = 0; descriptor && failed == 0 && i < count; i++)
        failed = take_item(options, descriptor, items[i], error);
    set_all_absolute(options, descriptor, NULL);
    if (failed == 0)
        failed = check_required(options, descriptor, error);
    if (failed == 0)
        return options;
    json_decref(options);
    return NULL;
}
