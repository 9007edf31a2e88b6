/* Checks and merges the command line. See config/command_line.h. */
#include "config/command_line.h"

#include "config/keys.h"
#include "library/libjansson.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(struct error_list *errors, const char *object, const char *why)
{
    return error_list_add(errors, EXIT_COMMAND_LINE, "command line", object, "%s; see rpd --help",
                          why);
}

/* How many bytes a character has, by its first; 0: no character starts so. */
static size_t character_size(unsigned char first)
{
    return first < 0x80   ? 1
           : first < 0xc2 ? 0
           : first < 0xe0 ? 2
           : first < 0xf0 ? 3
           : first < 0xf5 ? 4
                          : 0;
}

/* All of it goes into records and logs, which are JSON: what jansson takes. */
static bool is_utf8(const char *text)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};

    while (*text) {
        const size_t size = character_size((unsigned char)*text);
        unsigned code = (unsigned char)*text++ & (0xffu >> (size + (size > 1)));

        for (size_t i = 1; i < size; i++, text++) {
            if (((unsigned char)*text & 0xc0) != 0x80)
                return false;
            code = code << 6 | ((unsigned char)*text & 0x3f);
        }
        if (size == 0 || code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
    }
    return true;
}

static void check_text(const char *option, const char *text, struct error_list *errors)
{
    char object[300];

    snprintf(object, sizeof object, "%s%.250s", option, text);
    if (*text == '\0')
        refuse(errors, object, "is empty");
    else if (!is_utf8(text))
        refuse(errors, object, "is not UTF-8");
}

/* Where the key ends, or NULL. */
static const char *key_end(const char *option)
{
    const char *equals = strchr(option, '=');

    return equals && equals > option ? equals : NULL;
}

static bool has_same_key(const char *one, const char *other)
{
    size_t length = (size_t)(key_end(one) - one) + 1;

    return strncmp(one, other, length) == 0;
}

/* As in a file, a key given twice is a mistake, not a choice. */
static void check_option(const struct config_request *request, size_t at, struct error_list *errors)
{
    const char *option = request->options[at];
    char object[300];

    snprintf(object, sizeof object, "-o %.250s", option);
    if (!key_end(option)) {
        refuse(errors, object, "expected KEY=VALUE");
        return;
    }
    if (!is_utf8(option))
        refuse(errors, object, "is not UTF-8");
    for (size_t i = 0; i < at; i++) {
        if (key_end(request->options[i]) && has_same_key(request->options[i], option)) {
            refuse(errors, object, "this option is given twice");
            return;
        }
    }
}

static void check_name(const char *name, struct error_list *errors)
{
    char object[300];
    char why[160];

    if (config_name_is_valid(name))
        return;
    snprintf(object, sizeof object, "-n %.250s", name);
    snprintf(why, sizeof why, "expected %s", config_name_expected);
    refuse(errors, object, why);
}

static void check_needs_plugin(const struct config_request *request, struct error_list *errors)
{
    const char *why = "is about a plugin of the command line, and none is named";

    if (request->listen_count)
        refuse(errors, "-l", why);
    if (request->name)
        refuse(errors, "-n", why);
    if (request->option_count)
        refuse(errors, "-o", why);
    if (!request->file && errors->count == 0)
        refuse(errors, "rpd", "name a plugin or a configuration");
}

int config_command_line_check(const struct config_request *request, struct error_list *errors)
{
    if (!request->plugin)
        check_needs_plugin(request, errors);
    else
        check_text("plugin ", request->plugin, errors);
    if (request->name)
        check_name(request->name, errors);
    for (size_t i = 0; i < request->listen_count; i++)
        check_text("-l ", request->listen[i], errors);
    for (size_t i = 0; i < request->option_count; i++)
        check_option(request, i, errors);
    return errors->count ? -1 : 0;
}

static json_t *listen_array(const struct config_request *request)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < request->listen_count; i++) {
        if (json_array_append_new(array, json_pack("{s:s}", "endpoint", request->listen[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *options_object(const struct config_request *request)
{
    json_t *object = json_object();

    for (size_t i = 0; object && i < request->option_count; i++) {
        const char *end = key_end(request->options[i]);
        char *key = strndup(request->options[i], (size_t)(end - request->options[i]));
        int failed = !key || json_object_set_new(object, key, json_string(end + 1)) < 0;

        free(key);
        if (failed) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* The file's options stay, but for those of the same key. */
static int merge_options(json_t *service, json_t *given)
{
    json_t *options = json_object_get(service, "options");

    if (!options) {
        options = json_object();
        if (json_object_set_new(service, "options", options) < 0)
            return -1;
    }
    return json_object_update(options, given);
}

static json_t *services_array(json_t *tree)
{
    json_t *services = json_object_get(tree, "services");

    if (services)
        return services;
    services = json_array();
    return json_object_set_new(tree, "services", services) < 0 ? NULL : services;
}

/* A service that has no name in the file is named after its backend, which is
 * not known before the plugin is looked at: daemon.c judges such a clash. The
 * same goes for a plugin of the command line without -n. */
static json_t *find_service(json_t *services, const char *name, size_t *ret_index)
{
    for (*ret_index = 0; *ret_index < json_array_size(services); ++*ret_index) {
        json_t *service = json_array_get(services, *ret_index);
        const char *known = json_string_value(json_object_get(service, "name"));

        if (name && known && strcmp(name, known) == 0)
            return service;
    }
    return NULL;
}

static json_t *add_service(json_t *services, const char *name)
{
    json_t *service = json_object();

    if (json_array_append_new(services, service) < 0)
        return NULL;
    if (name && json_object_set_new(service, "name", json_string(name)) < 0)
        return NULL;
    return service;
}

static int fill_service(struct config_source *source, json_t *service,
                        const struct config_request *request)
{
    if (json_object_set_new(service, "plugin", json_string(request->plugin)) < 0)
        return -1;
    source->listen_is_given = request->listen_count > 0;
    if (source->listen_is_given &&
        json_object_set_new(service, "listen", listen_array(request)) < 0)
        return -1;
    if (request->option_count == 0)
        return 0;
    source->text_options = options_object(request);
    return source->text_options ? merge_options(service, source->text_options) : -1;
}

int config_command_line_begin(struct config_source *source, const struct config_request *request,
                              struct error_list *errors)
{
    if (!request->plugin)
        return 0;
    source->has_command = source->command_is_new = true;
    source->working_directory = request->base ? strdup(request->base) : getcwd(NULL, 0);
    if (!source->working_directory && request->plugin[0] == '/')
        source->working_directory = strdup("/"); /* a deleted one is no obstacle then */
    if (source->working_directory)
        return 0;
    return error_list_add(errors, EXIT_SYSTEM, "config", "working directory", "%s",
                          strerror(errno));
}

int config_command_line_merge(struct config_source *source, const struct config_request *request,
                              struct error_list *errors)
{
    json_t *services;
    json_t *service;

    if (!request->plugin)
        return 0;
    services = services_array(source->tree);
    if (!services)
        return error_list_out_of_memory(errors);
    service = find_service(services, request->name, &source->command_index);
    source->command_is_new = !service;
    if (!service)
        service = add_service(services, request->name);
    if (!service || fill_service(source, service, request) < 0)
        return error_list_out_of_memory(errors);
    return 0;
}

bool config_source_is_command(const struct config_source *source, size_t service,
                              const char *member, const char *option)
{
    if (!source->has_command || service != source->command_index)
        return false;
    if (source->command_is_new || strcmp(member, "plugin") == 0)
        return true;
    if (strcmp(member, "listen") == 0)
        return source->listen_is_given;
    return option && json_object_get(source->text_options, option);
}
