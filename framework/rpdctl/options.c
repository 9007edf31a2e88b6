/* Options for a plugin under test. See rpdctl/options.h. rpd checks their values;
 * here a text only becomes what the table says that it is. */
#include "rpdctl/options.h"

#include "library/libjansson.h"
#include "rpdctl/descriptor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const char *type_of(const json_t *descriptor, const char *name)
{
    const json_t *table = json_object_get(descriptor, "options");

    for (size_t i = 0; i < json_array_size(table); i++)
        if (strcmp(descriptor_text(json_array_get(table, i), "name"), name) == 0)
            return descriptor_text(json_array_get(table, i), "type");
    return NULL;
}

static json_t *value_of(const char *type, const char *text)
{
    char *end;

    if (strcmp(type, "integer") == 0) {
        const long long integer = strtoll(text, &end, 10);

        return end != text && !*end ? json_integer(integer) : NULL;
    }
    if (strcmp(type, "number") == 0) {
        const double number = strtod(text, &end);

        return end != text && !*end ? json_pack("f", number) : NULL;
    }
    if (strcmp(type, "boolean") == 0)
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0
                   ? json_pack("b", *text == 't')
                   : NULL;
    return json_string(text);
}

static int take_item(json_t *options, const json_t *descriptor, const char *item,
                     struct error *error)
{
    const size_t length = strcspn(item, "=");
    char name[128];
    const char *type;
    json_t *value;

    snprintf(name, sizeof name, "%.*s", (int)length, item);
    if (item[length] != '=')
        return error_set(error, EXIT_COMMAND_LINE, "check", item, "expected -o KEY=VALUE");
    type = type_of(descriptor, name);
    if (!type)
        return error_set(error, EXIT_COMMAND_LINE, "check", name,
                         "the plugin has no such option; rpdctl describe lists them");
    value = value_of(type, item + length + 1);
    if (!value)
        return error_set(error, EXIT_COMMAND_LINE, "check", item, "expected %s %s",
                         *type == 'i' ? "an" : "a", type);
    json_object_set_new(options, name, value);
    return 0;
}

json_t *rpdctl_options(const json_t *descriptor, const char *plugin, const char *config,
                       const char *const *items, size_t count, struct error *error)
{
    json_t *options = json_object();
    int failed = config ? take_config(options, plugin, config, error) : 0;

    for (size_t i = 0; descriptor && failed == 0 && i < count; i++)
        failed = take_item(options, descriptor, items[i], error);
    if (failed == 0)
        return options;
    json_decref(options);
    return NULL;
}
