/* Makes the effective configuration: the file is read and checked, the command
 * line merged in, and the result turned into plain structs. See config.h. */
#include "config/config.h"

#include "config/check.h"
#include "config/command_line.h"
#include "config/keys.h"
#include "config/rules.h"
#include "config/source.h"
#include "library/libjansson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char command_line[] = "command line";
enum { OPTION_SHOWN_MAX = 256 };

/* The value of a key in its object; NULL: it is not there, and its default is
 * used. Those are read from the table's text as they are: a start without a
 * file, where no object is, should not pay for a JSON parser. */
static const json_t *find(const json_t *object, const char *key_path)
{
    const char *dot = strrchr(key_path, '.');

    return object ? json_object_get(object, dot ? dot + 1 : key_path) : NULL;
}

/* Of text that is known to be a number. */
static int number(const char *digits, int base)
{
    int result = 0;

    for (; *digits >= '0' && *digits < '0' + base; digits++)
        result = result * base + (*digits - '0');
    return result;
}

static int take_integer(const json_t *object, const char *key_path)
{
    const json_t *value = find(object, key_path);

    /* The table's range fits. */
    return value ? (int)json_integer_value(value) : number(config_key_at(key_path)->preset, 10);
}

static int take_choice(const json_t *object, const char *key_path)
{
    const struct config_key *key = config_key_at(key_path);
    const json_t *value = find(object, key_path);
    char preset[32];

    if (value)
        return config_key_choice(key, json_string_value(value));
    /* "bound", without its quotes */
    snprintf(preset, sizeof preset, "%.*s", (int)strlen(key->preset) - 2, key->preset + 1);
    return config_key_choice(key, preset);
}

static mode_t take_mode(const json_t *listen)
{
    static const char key_path[] = "services[].listen[].mode";
    const json_t *value = find(listen, key_path);

    return (mode_t)number(value ? json_string_value(value) : config_key_at(key_path)->preset + 1,
                          8);
}

static void build_process(struct config *config, const json_t *tree)
{
    const json_t *log = find(tree, "log");

    config->workers = take_integer(tree, "workers");
    config->loads = find(tree, "workers") ? config->workers : 0;
    config->job_nice = take_integer(tree, "job_nice");
    config->load_nice = take_integer(tree, "load_nice");
    config->log_level = (enum rpd_log_level)take_choice(log, "log.level");
    config->log_format = (enum log_format)take_choice(log, "log.format");
    config->log_limit = take_integer(log, "log.limit");
    config->notify = (enum config_notify)take_choice(tree, "notify");
    config->endpoint_deadline_ms = take_integer(tree, "endpoint_deadline_ms");
    config->code_deadline_ms = take_integer(tree, "code_deadline_ms");
    config->drain_s = take_integer(tree, "drain_s");
    config->stall_s = take_integer(tree, "stall_s");
    config->trial_s = take_integer(tree, "trial_s");
    config->slow_ms = take_integer(tree, "slow_ms");
    config->keeper = json_is_true(find(tree, "keeper"));
    config->on_crash_loop = (enum config_crash_loop)take_choice(tree, "on_crash_loop");
}

/* A name of a file that is relative to the configuration becomes absolute, in the
 * tree as well: that is what --print-config prints. NULL: no memory. */
static json_t *absolute(const struct config_source *source, const char *name)
{
    char *text;
    json_t *result;

    if (name[0] == '/')
        return json_string_nocheck(name);
    if (asprintf(&text, "%s/%s", source->file.directory, name) < 0)
        return NULL;
    result = json_string_nocheck(text);
    free(text);
    return result;
}

static int build_log_file(struct config *config, const struct config_source *source)
{
    json_t *log = source->tree ? json_object_get(source->tree, "log") : NULL;
    const json_t *file = find(log, "log.file");

    if (!file)
        return 0;
    if (strcmp(json_string_value(file), "none") != 0 &&
        json_object_set_new(log, "file", absolute(source, json_string_value(file))) < 0)
        return -1;
    config->log_file = json_string_value(json_object_get(log, "file"));
    return 0;
}

static bool is_a_word(const char *place)
{
    return strcmp(place, "stderr") == 0 || strcmp(place, "journal") == 0;
}

static int build_log_to(struct config *config, const struct config_source *source)
{
    json_t *log = source->tree ? json_object_get(source->tree, "log") : NULL;
    const json_t *to = log ? json_object_get(log, "to") : NULL;

    if (!to)
        return 0;
    if (!is_a_word(json_string_value(to)) &&
        json_object_set_new(log, "to", absolute(source, json_string_value(to))) < 0)
        return -1;
    config->log_to = json_string_value(json_object_get(log, "to"));
    return 0;
}

static int build_plugin_dirs(struct config *config, const struct config_source *source)
{
    json_t *dirs = source->tree ? json_object_get(source->tree, "plugin_dirs") : NULL;
    size_t index;
    json_t *dir;

    config->plugin_dirs = calloc((dirs ? json_array_size(dirs) : 0) + 1,
                                 sizeof *config->plugin_dirs);
    if (!config->plugin_dirs)
        return -1;
    if (!dirs)
        return 0;
    json_array_foreach(dirs, index, dir) {
        if (json_array_set_new(dirs, index, absolute(source, json_string_value(dir))) < 0)
            return -1;
        config->plugin_dirs[index] = json_string_value(json_array_get(dirs, index));
    }
    return 0;
}

/* place: of the file's service; unused where it is not from the file. */
static char *service_origin(const struct config_source *source, size_t index,
                            const struct json_place *place)
{
    if (source->has_command && source->command_is_new && index == source->command_index)
        return strdup(command_line);
    return config_file_origin(&source->file, place);
}

/* object: what else is said of it; NULL: nothing. */
static int build_listen(struct config_listen *listen, const char *endpoint, const json_t *object)
{
    const json_t *group = find(object, "group");

    listen->endpoint = endpoint;
    listen->backlog = take_integer(object, "services[].listen[].backlog");
    listen->mode = take_mode(object);
    listen->group = group ? json_string_value(group) : NULL;
    listen->freebind = json_is_true(find(object, "freebind"));
    return listen->endpoint && listen->origin ? 0 : -1;
}

/* An element that is only an endpoint's text becomes an object as well, so
 * that there is one form from here on. */
static json_t *as_object(json_t *array, size_t index)
{
    json_t *element = json_array_get(array, index);

    if (json_is_object(element))
        return element;
    if (json_array_set_new(array, index, json_pack("{s:O}", "endpoint", element)) < 0)
        return NULL;
    return json_array_get(array, index);
}

/* The command line's need no JSON. */
static int build_given_listens(struct config_service *service, const struct config_request *request)
{
    service->listen = calloc(request->listen_count + 1, sizeof *service->listen);
    if (!service->listen)
        return -1;
    while (service->listen_count < request->listen_count) {
        const char *endpoint = request->listen[service->listen_count];
        struct config_listen *listen = &service->listen[service->listen_count++];

        listen->origin = strdup(command_line);
        if (build_listen(listen, endpoint, NULL) < 0)
            return -1;
    }
    return 0;
}

static int build_listens(struct config_service *service, const struct config_source *source,
                         json_t *object, struct json_place place)
{
    json_t *array = json_object_get(object, "listen");
    struct json_place key;

    service->listen = calloc(json_array_size(array) + 1, sizeof *service->listen);
    if (!service->listen)
        return -1;
    if (array && json_place_member(&place, "listen", &key, &place))
        json_place_first(&place);
    while (service->listen_count < json_array_size(array)) {
        const json_t *one = as_object(array, service->listen_count);
        struct config_listen *listen = &service->listen[service->listen_count++];

        listen->origin = config_file_origin(&source->file, &place);
        if (build_listen(listen, json_string_value(json_object_get(one, "endpoint")), one) < 0)
            return -1;
        json_place_next(&place);
    }
    return 0;
}

static bool is_given(const struct config_request *request, const char *name)
{
    const size_t length = strlen(name);

    for (size_t i = 0; request && i < request->option_count; i++)
        if (strncmp(request->options[i], name, length) == 0 && request->options[i][length] == '=')
            return true;
    return false;
}

/* take_name: NULL, there was no memory for it. */
static struct config_option *add_option(struct config_service *service, char *take_name)
{
    struct config_option *option = &service->options[service->option_count];

    if (take_name) {
        option->name = take_name;
        service->option_count++;
    }
    return take_name ? option : NULL;
}

static int build_given_options(struct config_service *service, const struct config_request *request)
{
    for (size_t i = 0; i < request->option_count; i++) {
        const size_t length = strcspn(request->options[i], "=");
        struct config_option *option;

        if (config_key_is_users(request->options[i]))
            continue;
        option = add_option(service, strndup(request->options[i], length));
        if (!option)
            return -1;
        option->text = request->options[i] + length + 1;
    }
    return 0;
}

/* options: the file's; NULL: none. request: what the command line adds, or puts in their place;
 * NULL: nothing. */
static int build_options(struct config_service *service, json_t *options,
                         const struct config_request *request)
{
    const size_t room = (options ? json_object_size(options) : 0) +
                        (request ? request->option_count : 0);

    service->options = calloc(room + 1, sizeof *service->options);
    if (!service->options)
        return -1;
    for (void *at = options ? json_object_iter(options) : NULL; at;
         at = json_object_iter_next(options, at)) {
        const char *name = json_object_iter_key(at);
        struct config_option *option;

        if (config_key_is_users(name) || is_given(request, name))
            continue;
        option = add_option(service, strdup(name));
        if (!option)
            return -1;
        option->value = json_object_iter_value(at);
    }
    return request ? build_given_options(service, request) : 0;
}

static struct config_limits build_limits(const json_t *limits)
{
    return (struct config_limits){
        .clients = take_integer(limits, "services[].limits.clients"),
        .clients_per_peer = take_integer(limits, "services[].limits.clients_per_peer"),
        .first_byte_s = take_integer(limits, "services[].limits.first_byte_s"),
        .request_s = take_integer(limits, "services[].limits.request_s"),
        .idle_s = take_integer(limits, "services[].limits.idle_s"),
        .write_stall_s = take_integer(limits, "services[].limits.write_stall_s"),
        .keepalive_s = take_integer(limits, "services[].limits.keepalive_s"),
        .output_bytes = take_integer(limits, "services[].limits.output_bytes"),
        .input_bytes = take_integer(limits, "services[].limits.input_bytes"),
        .buffer_bytes = take_integer(limits, "services[].limits.buffer_bytes"),
        .buffer_bytes_per_peer = take_integer(limits, "services[].limits.buffer_bytes_per_peer"),
        .progress_bytes_per_s = take_integer(limits, "services[].limits.progress_bytes_per_s"),
    };
}

/* What a service does while it loads, and when that fails or no client comes. */
static void build_phases(struct config_service *service, const json_t *object)
{
    service->log_level = find(object, "services[].log_level")
                             ? take_choice(object, "services[].log_level")
                             : LOG_LEVEL_OF_PROCESS;
    service->warmup = find(object, "services[].warmup") ? take_choice(object, "services[].warmup")
                                                        : WARMUP_OF_BACKEND;
    service->on_load_failure = (enum config_load_failure)take_choice(object,
                                                                     "services[].on_load_failure");
    service->seal = (enum config_seal)take_choice(object, "services[].seal");
    service->no_progress_s = take_integer(object, "services[].no_progress_s");
    service->idle_exit_s = find(object, "services[].idle_exit_s")
                               ? take_integer(object, "services[].idle_exit_s")
                               : IDLE_EXIT_OF_BACKEND;
    service->limits = build_limits(find(object, "services[].limits"));
}

static const char *text_of(const json_t *object, const char *key, const char *given)
{
    return object ? json_string_value(json_object_get(object, key)) : given;
}

/* object: of the tree; NULL: the command line alone makes the service, without JSON. request: what
 * the command line says of it; NULL: nothing. */
static int build_service(struct config_service *service, const struct config_source *source,
                         const struct config_request *request, json_t *object, size_t index,
                         const struct json_place *place)
{
    service->name = text_of(object, "name", request ? request->name : NULL);
    service->plugin = text_of(object, "plugin", request ? request->plugin : NULL);
    build_phases(service, object);
    service->plugin_base = strdup(request ? source->working_directory : source->file.directory);
    service->origin = service_origin(source, index, place);
    if (!service->plugin_base || !service->origin)
        return -1;
    if ((config_source_is_command(source, index, "listen", NULL)
             ? build_given_listens(service, request)
             : build_listens(service, source, object, *place)) < 0)
        return -1;
    return build_options(service, object ? json_object_get(object, "options") : NULL, request);
}

static int build_services(struct config *config, const struct config_source *source,
                          const struct config_request *request)
{
    json_t *services = source->tree ? json_object_get(source->tree, "services") : NULL;
    const size_t count = services ? json_array_size(services) : 1;
    struct json_place place = {NULL, NULL, 0, 0};
    struct json_place key;

    config->services = calloc(count, sizeof *config->services);
    if (!config->services)
        return -1;
    if (source->file.text)
        json_place_start(&place, source->file.text, source->file.size);
    if (json_place_member(&place, "services", &key, &place))
        json_place_first(&place);
    for (size_t i = 0; i < count; i++) {
        const bool is_command = source->has_command && i == source->command_index;

        config->service_count++;
        if (build_service(&config->services[i], source, is_command ? request : NULL,
                          services ? json_array_get(services, i) : NULL, i, &place) < 0)
            return -1;
        json_place_next(&place);
    }
    return 0;
}

static int build(struct config *config, const struct config_request *request,
                 struct error_list *errors)
{
    const struct config_source *source = config->source;

    build_process(config, source->tree);
    if (source->file.path && !(config->path = strdup(source->file.path)))
        return error_list_out_of_memory(errors);
    if (build_log_file(config, source) < 0 || build_log_to(config, source) < 0 ||
        build_plugin_dirs(config, source) < 0 || build_services(config, source, request) < 0)
        return error_list_out_of_memory(errors);
    return 0;
}

static int read_file(struct config_source *source, const struct config_request *request,
                     struct error_list *errors)
{
    struct error error;

    if (libjansson_load(&error) < 0)
        return error_list_push(errors, &error);
    if (!request->file) {
        source->tree = json_object();
        return source->tree ? 0 : error_list_out_of_memory(errors);
    }
    if (config_file_read(&source->file, request->file, request->copy_fd, errors) < 0)
        return -1;
    config_check(&source->file, errors);
    config_rules(&source->file, !request->plugin, errors);
    source->tree = json_incref(source->file.tree);
    return errors->count ? -1 : 0;
}

static int load(struct config *config, const struct config_request *request,
                struct error_list *errors)
{
    config->source = calloc(1, sizeof *config->source);
    if (!config->source)
        return error_list_out_of_memory(errors);
    if (config_command_line_check(request, errors) < 0 ||
        config_command_line_begin(config->source, request, errors) < 0)
        return -1;
    /* A service of the command line alone is made without JSON. */
    if ((request->file || request->is_printed) &&
        (read_file(config->source, request, errors) < 0 ||
         config_command_line_merge(config->source, request, errors) < 0))
        return -1;
    return build(config, request, errors);
}

int config_load(struct config *config, const struct config_request *request,
                struct error **ret_errors, size_t *ret_count)
{
    struct error_list errors = {NULL, 0, 0};
    int result;

    memset(config, 0, sizeof *config);
    result = load(config, request, &errors);
    if (result < 0)
        config_finish(config);
    error_list_give(&errors, "config", request->file ? request->file : command_line, ret_errors,
                    ret_count);
    return result;
}

static void finish_service(struct config_service *service)
{
    for (size_t i = 0; i < service->listen_count; i++)
        free(service->listen[i].origin);
    for (size_t i = 0; i < service->option_count; i++)
        free(service->options[i].name);
    free(service->listen);
    free(service->options);
    free(service->plugin_base);
    free(service->origin);
}

static void finish_source(struct config_source *source)
{
    if (!source)
        return;
    json_decref(source->tree);
    json_decref(source->text_options);
    config_file_finish(&source->file);
    free(source->working_directory);
    free(source);
}

void config_finish(struct config *config)
{
    for (size_t i = 0; i < config->service_count; i++)
        finish_service(&config->services[i]);
    free(config->services);
    free(config->plugin_dirs);
    free(config->path);
    finish_source(config->source);
    memset(config, 0, sizeof *config);
}

static int add_option_mistake(const struct config *config, const struct config_service *service,
                              const char *name, bool is_text, enum json_part part, const char *what,
                              struct error_list *errors)
{
    const struct json_path document = {NULL, NULL, 0};
    const struct json_path services = {&document, "services", 0};
    const struct json_path element = {&services, NULL, (size_t)(service - config->services)};
    const struct json_path options = {&element, "options", 0};
    const struct json_path path = {&options, name, 0};
    char object[OPTION_SHOWN_MAX];

    if (!is_text)
        return config_file_mistake(&config->source->file, errors, &path, part, "%s", what);
    snprintf(object, sizeof object, "command line: -o %s", name);
    return error_list_add(errors, EXIT_CONFIG, "config", object, "%s", what);
}

int config_option_mistake(const struct config *config, const struct config_service *service,
                          const struct config_option *option, enum json_part part, const char *what,
                          struct error_list *errors)
{
    return add_option_mistake(config, service, option->name, option->text != NULL, part, what,
                              errors);
}

static bool is_of_file(const struct config *config, const struct config_service *service)
{
    const struct config_source *source = config->source;
    const size_t index = (size_t)(service - config->services);

    return source->file.path &&
           !(source->has_command && source->command_is_new && source->command_index == index);
}

int config_option_missing(const struct config *config, const struct config_service *service,
                          const char *name, const char *what, struct error_list *errors)
{
    return add_option_mistake(config, service, name, !is_of_file(config, service), JSON_KEY, what,
                              errors);
}

const char *config_option_base(const struct config *config, const struct config_service *service,
                               const struct config_option *option)
{
    if (option ? !option->text : is_of_file(config, service))
        return config->source->file.directory;
    return config->source->working_directory;
}

int config_copy(const struct config *config)
{
    return config->source->file.text ? config_file_copy(&config->source->file) : 0;
}

bool config_is_seen_by_others(const struct config *config)
{
    return config->source->file.is_seen_by_others;
}
