/* Rules between keys. See config/rules.h. */
#include "config/rules.h"

#include "config/keys.h"
#include "library/libjansson.h"

struct rules {
    const struct config_file *file;
    struct error_list *errors;
    json_t *names; /* of services: name -> index of the first that has it */
};

/* Keys that mean something only for some kinds of endpoints. */
static void check_listen(const struct rules *rules, const json_t *listen,
                         const struct json_path *path)
{
    const struct config_key *row = config_key_at("services[].listen[]");
    const char *endpoint = json_string_value(json_object_get(listen, "endpoint"));
    char quoted[80];

    if (!endpoint)
        return;
    for (size_t i = 0; i < config_key_count; i++) {
        const char *name = config_key_name_below(&config_keys[i], row);
        struct json_path key = {path, name, 0};

        if (name && !config_key_is_of(&config_keys[i], endpoint) && json_object_get(listen, name))
            config_file_mistake(
                rules->file, rules->errors, &key, JSON_KEY, "only %s has a %s, not %s",
                config_keys[i].of == OF_TCP ? "a TCP endpoint" : "an endpoint with a unix path",
                name, json_quote(endpoint, quoted, sizeof quoted));
    }
}

static void check_name(struct rules *rules, const char *name, size_t index,
                       const struct json_path *path)
{
    struct json_path key = {path, "name", 0};
    const json_t *first = json_object_get(rules->names, name);

    if (first)
        config_file_mistake(rules->file, rules->errors, &key, JSON_VALUE,
                            "\"%s\" is the name of $.services[%" JSON_INTEGER_FORMAT
                            "] already; give it another",
                            name, json_integer_value(first));
    else if (json_object_set_new(rules->names, name, json_integer((json_int_t)index)) < 0)
        error_list_out_of_memory(rules->errors);
}

static void check_service(struct rules *rules, const json_t *service, size_t index,
                          const struct json_path *services_path)
{
    const struct json_path path = {services_path, NULL, index};
    const struct json_path listen_path = {&path, "listen", 0};
    const char *name = json_string_value(json_object_get(service, "name"));
    const json_t *listen = json_object_get(service, "listen");
    const json_t *element;
    size_t at;

    if (name && config_name_is_valid(name))
        check_name(rules, name, index, &path);
    json_array_foreach(listen, at, element) {
        struct json_path element_path = {&listen_path, NULL, at};

        check_listen(rules, element, &element_path);
    }
}

void config_rules(const struct config_file *file, bool needs_service, struct error_list *errors)
{
    const struct json_path document = {NULL, NULL, 0};
    const struct json_path path = {&document, "services", 0};
    const json_t *services = json_object_get(file->tree, "services");
    struct rules rules = {file, errors, json_object()};
    const json_t *service;
    size_t index;

    if (!rules.names)
        error_list_out_of_memory(errors);
    if (needs_service && json_is_object(file->tree) &&
        (!services || (json_is_array(services) && json_array_size(services) == 0)))
        config_file_mistake(file, errors, &path, JSON_KEY,
                            "no service; name one here, or a plugin on the command line");
    json_array_foreach(services, index, service)
        check_service(&rules, service, index, &path);
    json_decref(rules.names);
}
