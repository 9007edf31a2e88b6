/* The values of a configuration. See config/values.h. */
#include "config/values.h"

#include "base/words.h"
#include "library/libjansson.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_TEXT_MAX = 512 };

struct visit {
    config_value_fn value;
    void *arg;
    const char *service; /* its name */
    const char *listen;  /* its text, within listen[] */
};

/* ---- one value ------------------------------------------------------------------- */

/* Puts the service's name, and the endpoint, into the brackets of the key's path. */
static void path_of(const struct visit *visit, const char *key_path, const char *member,
                    char ret_path[PATH_TEXT_MAX])
{
    static const char service[] = "services[]", listen[] = ".listen[]";
    const char *rest = key_path;
    int used = 0;

    if (visit->service && strncmp(rest, service, sizeof service - 1) == 0) {
        used = snprintf(ret_path, PATH_TEXT_MAX, "services[%s]", visit->service);
        rest += sizeof service - 1;
    }
    if (visit->listen && strncmp(rest, listen, sizeof listen - 1) == 0) {
        used += snprintf(ret_path + used, PATH_TEXT_MAX - (size_t)used, ".listen[%.300s]",
                         visit->listen);
        rest += sizeof listen - 1;
    }
    if (member)
        snprintf(ret_path + used, PATH_TEXT_MAX - (size_t)used, ".options.%.100s", member);
    else
        snprintf(ret_path + used, PATH_TEXT_MAX - (size_t)used, "%s", rest);
}

static void say(const struct visit *visit, const char *key_path, const char *text)
{
    char path[PATH_TEXT_MAX];

    path_of(visit, key_path, NULL, path);
    visit->value(visit->arg, config_key_at(key_path), path, text);
}

static void say_number(const struct visit *visit, const char *key_path, int number)
{
    char digits[16];

    snprintf(digits, sizeof digits, "%d", number);
    say(visit, key_path, digits);
}

static void say_choice(const struct visit *visit, const char *key_path, int choice)
{
    say(visit, key_path, config_key_at(key_path)->choices[choice]);
}

static void say_flag(const struct visit *visit, const char *key_path, bool is_set)
{
    say(visit, key_path, is_set ? "true" : "false");
}

/* ---- the process ------------------------------------------------------------------ */

static void visit_plugin_dirs(const struct visit *visit, const struct config *config)
{
    char all[PATH_MAX] = "";
    size_t used = 0;

    for (const char **dir = config->plugin_dirs; *dir && used < sizeof all; dir++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", used ? ":" : "", *dir);
    say(visit, "plugin_dirs[]", all);
}

static void visit_process(const struct visit *visit, const struct config *config)
{
    say_number(visit, "workers", config->workers);
    say_number(visit, "job_nice", config->job_nice);
    say_number(visit, "load_nice", config->load_nice);
    visit_plugin_dirs(visit, config);
    say_choice(visit, "log.level", (int)config->log_level);
    say_choice(visit, "log.format", (int)config->log_format);
    say_number(visit, "log.limit", config->log_limit);
    say(visit, "log.file", config->log_file);
    say(visit, "log.to", config->log_to);
    say_choice(visit, "notify", (int)config->notify);
    say_number(visit, "endpoint_deadline_ms", config->endpoint_deadline_ms);
    say_number(visit, "code_deadline_ms", config->code_deadline_ms);
    say_number(visit, "drain_s", config->drain_s);
    say_number(visit, "stall_s", config->stall_s);
    say_number(visit, "slow_ms", config->slow_ms);
    say_number(visit, "trial_s", config->trial_s);
    say_flag(visit, "keeper", config->keeper);
    say_choice(visit, "on_crash_loop", (int)config->on_crash_loop);
}

/* ---- a service ----------------------------------------------------------------------- */

static void visit_limits(const struct visit *visit, const struct config_limits *limits)
{
    say_number(visit, "services[].limits.clients", limits->clients);
    say_number(visit, "services[].limits.clients_per_peer", limits->clients_per_peer);
    say_number(visit, "services[].limits.first_byte_s", limits->first_byte_s);
    say_number(visit, "services[].limits.request_s", limits->request_s);
    say_number(visit, "services[].limits.idle_s", limits->idle_s);
    say_number(visit, "services[].limits.write_stall_s", limits->write_stall_s);
    say_number(visit, "services[].limits.progress_bytes_per_s", limits->progress_bytes_per_s);
    say_number(visit, "services[].limits.keepalive_s", limits->keepalive_s);
    say_number(visit, "services[].limits.output_bytes", limits->output_bytes);
    say_number(visit, "services[].limits.input_bytes", limits->input_bytes);
    say_number(visit, "services[].limits.buffer_bytes", limits->buffer_bytes);
    say_number(visit, "services[].limits.buffer_bytes_per_peer", limits->buffer_bytes_per_peer);
}

static void visit_listen(struct visit *visit, const struct config_listen *listen)
{
    char mode[16];

    visit->listen = listen->endpoint;
    say(visit, "services[].listen[]", listen->endpoint);
    say_number(visit, "services[].listen[].backlog", listen->backlog);
    snprintf(mode, sizeof mode, "%04o", (unsigned)listen->mode);
    if (config_is_unix_path(listen->endpoint)) {
        say(visit, "services[].listen[].mode", mode);
        say(visit, "services[].listen[].group", listen->group);
    }
    say_flag(visit, "services[].listen[].freebind", listen->freebind);
    visit->listen = NULL;
}

static void visit_listens(struct visit *visit, const struct config_service *service)
{
    char text[128];
    const struct config_listen preset = {.endpoint = text, .backlog = 4096, .mode = 0600};

    snprintf(text, sizeof text, "unix:%.64s.sock", visit->service);
    if (service->listen_count == 0)
        visit_listen(visit, &preset);
    for (size_t i = 0; i < service->listen_count; i++)
        visit_listen(visit, &service->listen[i]);
}

static char *list_text(const json_t *array)
{
    const size_t count = json_array_size(array);
    size_t size = 1, used = 0;
    char *text;

    for (size_t i = 0; i < count; i++)
        size += strlen(json_string_value(json_array_get(array, i))) + 1;
    text = calloc(1, size);
    for (size_t i = 0; text && i < count; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "," : "",
                                 json_string_value(json_array_get(array, i)));
    return text;
}

char *config_option_text(const struct config_option *option)
{
    const json_t *value = option->value;
    char digits[64];

    if (!value)
        return strdup(option->text);
    if (json_is_string(value))
        return strdup(json_string_value(value));
    if (json_is_array(value))
        return list_text(value);
    if (json_is_boolean(value))
        return strdup(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
    else
        snprintf(digits, sizeof digits, "%.17g", json_number_value(value));
    return strdup(digits);
}

static void visit_options(const struct visit *visit, const struct config_service *service)
{
    for (size_t i = 0; i < service->option_count; i++) {
        char *text = config_option_text(&service->options[i]);
        char path[PATH_TEXT_MAX];

        path_of(visit, "services[]", service->options[i].name, path);
        visit->value(visit->arg, config_key_at("services[].options.*"), path, text);
        free(text);
    }
}

/* A relative path is that of the file that it leads to. */
static void visit_plugin(const struct visit *visit, const struct config_service *service)
{
    const bool is_relative = service->plugin[0] != '/' && strchr(service->plugin, '/');
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s%s%s", is_relative ? service->plugin_base : "",
             is_relative ? "/" : "", service->plugin);
    say(visit, "services[].plugin", path);
}

static void visit_service(struct visit *visit, const struct config_service *service)
{
    say(visit, "services[]", visit->service);
    visit_plugin(visit, service);
    visit_listens(visit, service);
    say(visit, "services[].warmup",
        service->warmup == WARMUP_OF_BACKEND ? NULL : words_of_warmup[service->warmup]);
    say_choice(visit, "services[].on_load_failure", (int)service->on_load_failure);
    say_choice(visit, "services[].seal", (int)service->seal);
    if (service->log_level == LOG_LEVEL_OF_PROCESS)
        say(visit, "services[].log_level", NULL);
    else
        say_choice(visit, "services[].log_level", service->log_level);
    say_number(visit, "services[].no_progress_s", service->no_progress_s);
    if (service->idle_exit_s == IDLE_EXIT_OF_BACKEND)
        say(visit, "services[].idle_exit_s", NULL);
    else
        say_number(visit, "services[].idle_exit_s", service->idle_exit_s);
    visit_limits(visit, &service->limits);
    visit_options(visit, service);
}

void config_values(const struct config *config, const char *const *names, config_value_fn value,
                   void *arg)
{
    struct visit visit = {.value = value, .arg = arg};

    visit_process(&visit, config);
    for (size_t i = 0; i < config->service_count; i++) {
        visit.service = names[i];
        visit_service(&visit, &config->services[i]);
    }
}
