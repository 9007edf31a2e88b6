/* Digests of configurations. See config/digest.h.
 *
 * FNV-1a over each key with its value, both with their NUL. It distinguishes
 * configurations that differ by accident, but not against an attacker. */
#include "config/digest.h"

#include "config/keys.h"
#include "config/values.h"
#include "library/libjansson.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(uint64_t *digest, const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;

    do {
        *digest ^= *byte;
        *digest *= UINT64_C(0x100000001b3);
    } while (*byte++);
}

/* NULL is not the empty text: that has one NUL more. */
static void add_text(uint64_t *digest, const char *key, const char *value)
{
    add(digest, key);
    add(digest, value ? "text" : "none");
    if (value)
        add(digest, value);
}

static void add_number(uint64_t *digest, const char *key, int value)
{
    char digits[16];

    snprintf(digits, sizeof digits, "%d", value);
    add_text(digest, key, digits);
}

static void add_listen(uint64_t *digest, const struct config_listen *listen)
{
    add_text(digest, "endpoint", listen->endpoint);
    add_number(digest, "backlog", listen->backlog);
    if (config_is_unix_path(listen->endpoint))
        add_number(digest, "mode", (int)listen->mode);
    add_text(digest, "group", listen->group);
    if (listen->freebind)
        add_text(digest, "freebind", "true");
}

static void add_limits(uint64_t *digest, const struct config_limits *limits)
{
    add_number(digest, "clients", limits->clients);
    add_number(digest, "clients_per_peer", limits->clients_per_peer);
    add_number(digest, "first_byte_s", limits->first_byte_s);
    add_number(digest, "request_s", limits->request_s);
    add_number(digest, "idle_s", limits->idle_s);
    add_number(digest, "write_stall_s", limits->write_stall_s);
    add_number(digest, "keepalive_s", limits->keepalive_s);
    add_number(digest, "output_bytes", limits->output_bytes);
    add_number(digest, "input_bytes", limits->input_bytes);
    add_number(digest, "buffer_bytes", limits->buffer_bytes);
    add_number(digest, "buffer_bytes_per_peer", limits->buffer_bytes_per_peer);
    add_number(digest, "progress_bytes_per_s", limits->progress_bytes_per_s);
}

/* The text that -o would have for it: which of them it was makes no difference. */
static void add_option(uint64_t *digest, const struct config_option *option)
{
    char *text = config_option_text(option);

    add_text(digest, option->name, text);
    free(text);
}

static uint64_t basis(void)
{
    return UINT64_C(0xcbf29ce484222325);
}

/* A sum does not depend on the order. */
static void add_options(uint64_t *digest, const struct config_service *service)
{
    uint64_t sum = 0;
    char digits[32];

    for (size_t i = 0; i < service->option_count; i++) {
        uint64_t one = basis();

        add_option(&one, &service->options[i]);
        sum += one;
    }
    snprintf(digits, sizeof digits, "%016" PRIx64, sum);
    add_text(digest, "options", digits);
}

/* A relative path is that of the file that it leads to: ensure hands an absolute one on. */
static void add_plugin(uint64_t *digest, const struct config_service *service)
{
    const bool is_relative = service->plugin[0] != '/' && strchr(service->plugin, '/');
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s%s%s", is_relative ? service->plugin_base : "",
             is_relative ? "/" : "", service->plugin);
    add_text(digest, "plugin", path);
}

static void add_service(uint64_t *digest, const struct config_service *service)
{
    add_text(digest, "name", service->name);
    add_plugin(digest, service);
    for (size_t i = 0; i < service->listen_count; i++)
        add_listen(digest, &service->listen[i]);
    add_number(digest, "log_level", service->log_level);
    add_number(digest, "warmup", service->warmup);
    add_number(digest, "on_load_failure", (int)service->on_load_failure);
    add_number(digest, "seal", (int)service->seal);
    add_number(digest, "no_progress_s", service->no_progress_s);
    add_number(digest, "idle_exit_s", service->idle_exit_s);
    add_limits(digest, &service->limits);
    add_options(digest, service);
}

static void add_process(uint64_t *digest, const struct config *config)
{
    add_number(digest, "workers", config->workers);
    add_number(digest, "job_nice", config->job_nice);
    add_number(digest, "load_nice", config->load_nice);
    for (const char **dir = config->plugin_dirs; *dir; dir++)
        add_text(digest, "plugin_dir", *dir);
    add_number(digest, "log.level", (int)config->log_level);
    add_number(digest, "log.format", (int)config->log_format);
    add_number(digest, "log.limit", config->log_limit);
    add_text(digest, "log.file", config->log_file);
    add_text(digest, "log.to", config->log_to);
    add_number(digest, "notify", (int)config->notify);
    add_number(digest, "endpoint_deadline_ms", config->endpoint_deadline_ms);
    add_number(digest, "code_deadline_ms", config->code_deadline_ms);
    add_number(digest, "drain_s", config->drain_s);
    add_number(digest, "stall_s", config->stall_s);
    add_number(digest, "trial_s", config->trial_s);
    add_number(digest, "slow_ms", config->slow_ms);
    if (config->keeper)
        add_text(digest, "keeper", "true");
    add_number(digest, "on_crash_loop", (int)config->on_crash_loop);
}

void config_digest(const struct config *config, char ret_text[CONFIG_DIGEST_SIZE])
{
    uint64_t digest = basis();

    add_process(&digest, config);
    for (size_t i = 0; i < config->service_count; i++) {
        add(&digest, "service");
        add_service(&digest, &config->services[i]);
    }
    snprintf(ret_text, CONFIG_DIGEST_SIZE, "%016" PRIx64, digest);
}
