/* One service's way to its endpoints and back. See service.h for the order;
 * what it does on the loop is in serving.c. */
#include "service/service.h"

#include "base/words.h"
#include "guard/foreign.h"
#include "guard/outcome.h"
#include "guard/watchdog.h"
#include "plugin/surroundings.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- inspect ---------------------------------------------------------------- */

/* Both name the same plugin, from the same place. */
static bool is_asked_alike(const struct config_service *a, const struct config_service *b)
{
    const char *base_a = a->plugin_base ? a->plugin_base : "";
    const char *base_b = b->plugin_base ? b->plugin_base : "";

    return strcmp(a->plugin, b->plugin) == 0 && strcmp(base_a, base_b) == 0;
}

int service_inspect(struct rpd_service *service, const struct plugin_search *search,
                    const struct rpd_service *before, struct error *error)
{
    const struct plugin_search here = {.base = service->config->plugin_base, .dirs = search->dirs};

    state_page_init(&service->state_page);
    metrics_page_init(&service->metrics);
    service->metrics_fd = -1;
    if (service->role == SERVICE_OF_KEEPER && metrics_page_keep(&service->metrics) < 0)
        return error_set(error, EXIT_SYSTEM, "inspect", "services", "out of memory");
    state_claims_init(&service->state_claims);
    service->plugin.fd = -1;
    service->name_claim.dirfd = service->name_claim.lock.fd = -1;
    if ((!before || !is_asked_alike(service->config, before->config) ||
         plugin_inspect_as(&service->plugin, &before->plugin) < 0) &&
        plugin_inspect(&service->plugin, service->config->plugin, &here, error) < 0)
        return -1;
    snprintf(service->name, sizeof service->name, "%s",
             service->config->name ? service->config->name : service->plugin.note.backend);
    return 0;
}

/* ---- resolve and claim -------------------------------------------------------- */

/* A socket there must not stand where records and locks will. */
static int refuse_runtime_file(const struct rpd_endpoint *endpoint, const char *runtime_dir,
                               struct error *error)
{
    static const char *const taken[] = {".json",    ".lock",    ".state",
                                        ".metrics", ".history", ".control"};
    const char *dot = strrchr(endpoint->name, '.');

    if (endpoint->kind != ENDPOINT_PATH || !dot || strcmp(endpoint->directory, runtime_dir) != 0)
        return 0;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(dot, taken[i]) == 0)
            return error_set(error, EXIT_CONFIG, "config",
                             endpoint->origin ? endpoint->origin : "listen",
                             "endpoint %s: names that end in %s are rpd's own in that directory; "
                             "use another",
                             endpoint->text, taken[i]);
    return 0;
}

static struct attachment *add_attachment(struct rpd_service *service)
{
    struct attachment *attachment = &service->attachments[service->attachment_count++];
    struct rpd_listener *listener = &attachment->listener;

    attachment->service = service;
    attachment->number = (unsigned)service->attachment_count - 1;
    listener->fd = listener->claim.dirfd = listener->claim.lock.fd = -1;
    listener->keepalive_s = service->config->limits.keepalive_s;
    return attachment;
}

static void add_second(struct rpd_service *service, const struct rpd_endpoint *first,
                       const struct config_listen *listen)
{
    struct rpd_endpoint endpoint;
    struct attachment *second;

    if (!endpoint_second(first, listen, &endpoint))
        return;
    second = add_attachment(service);
    second->is_second = true;
    second->listener.endpoint = endpoint;
    snprintf(second->listener.text, sizeof second->listener.text, "%s", endpoint.text);
}

struct attachment *service_attachment(struct rpd_service *service, unsigned number)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        if (service->attachments[i].number == number)
            return &service->attachments[i];
    return NULL;
}

static int resolve_one(struct rpd_service *service, const struct config_listen *listen,
                       const char *runtime_dir, struct error *error)
{
    struct rpd_listener *listener = &add_attachment(service)->listener;

    if (endpoint_resolve(&listener->endpoint, listen, runtime_dir, error) < 0)
        return -1;
    snprintf(listener->text, sizeof listener->text, "%s", listener->endpoint.text);
    add_second(service, &listener->endpoint, listen);
    return refuse_runtime_file(&listener->endpoint, runtime_dir, error);
}

int service_adopt(struct rpd_service *service, struct adoption *adoption, bool by_name,
                  struct error *error)
{
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct rpd_listener *listener = &service->attachments[i].listener;
        int adopted;

        if (listener->state != LISTENER_NEW)
            continue;
        adopted = adoption_take(adoption, &listener->endpoint, by_name ? service->name : NULL);
        if (adopted >= 0 && listener_adopt(listener, adopted, error) < 0)
            return -1;
    }
    return 0;
}

void service_drop_seconds(struct rpd_service *service)
{
    size_t kept = 0;

    for (size_t i = 0; i < service->attachment_count; i++) {
        struct attachment *attachment = &service->attachments[i];

        if (attachment->is_second && attachment->listener.state == LISTENER_NEW &&
            attachment[-1].listener.way == LISTENER_ADOPTED)
            continue;
        service->attachments[kept++] = *attachment;
    }
    service->attachment_count = kept;
}

int service_resolve(struct rpd_service *service, const char *runtime_dir, struct error *error)
{
    const struct config_service *config = service->config;
    const size_t count = config->listen_count > 0 ? config->listen_count : 1;
    size_t room = count;
    char text[sizeof service->name + 16];
    const struct config_listen preset = {
        .endpoint = text, .backlog = 4096, .mode = 0600, .origin = NULL};

    snprintf(text, sizeof text, "unix:%s.sock", service->name);
    for (size_t i = 0; i < config->listen_count; i++)
        room += endpoint_is_two(&config->listen[i]);
    service->attachments = calloc(room, sizeof *service->attachments);
    if (!service->attachments)
        return error_set(error, EXIT_SYSTEM, "config", service->name, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (resolve_one(service, config->listen_count > 0 ? &config->listen[i] : &preset,
                        runtime_dir, error) < 0)
            return -1;
    return 0;
}

void service_identity(const struct rpd_service *service, char ret_text[LOCK_HOLDER_MAX])
{
    /* The pid that others know is the keeper's. */
    const pid_t pid = service->role == SERVICE_OF_RUNNER ? getppid() : getpid();

    snprintf(ret_text, LOCK_HOLDER_MAX, "pid %d (service %s)", (int)pid, service->name);
}

int service_prepare_claims(struct rpd_service *service, const char *runtime_dir, int runtime_dirfd,
                           struct error *error)
{
    char identity[LOCK_HOLDER_MAX];

    service_identity(service, identity);
    claim_prepare_name(&service->name_claim, runtime_dir, runtime_dirfd, service->name, identity);
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct rpd_listener *listener = &service->attachments[i].listener;

        if (listener_needs_claim(listener) &&
            claim_prepare_path(&listener->claim, listener->endpoint.directory,
                               listener->endpoint.name, listener->endpoint.text, identity,
                               error) < 0)
            return -1;
    }
    return 0;
}

size_t service_list_claims(struct rpd_service *service, struct claim **ret_claims)
{
    size_t count = 0;

    ret_claims[count++] = &service->name_claim;
    for (size_t i = 0; i < service->attachment_count; i++)
        if (listener_needs_claim(&service->attachments[i].listener))
            ret_claims[count++] = &service->attachments[i].listener.claim;
    return count;
}

void service_unclaim(struct rpd_service *service)
{
    state_claims_release(&service->state_claims);
    claim_release(&service->name_claim);
    for (size_t i = 0; i < service->attachment_count; i++)
        claim_release(&service->attachments[i].listener.claim);
}

/* ---- code -------------------------------------------------------------------------- */

static void warn_of_borrowing(const struct rpd_service *service)
{
    const struct plugin *plugin = &service->plugin;

    if (plugin->borrowed)
        log_line(RPD_LOG_WARNING, service->name,
                 "%s: it calls %s and is not linked with it; rpd's own was lent to it, and to all "
                 "plugins after it: link it",
                 plugin->path, plugin->borrowed);
}

int service_load_code(struct rpd_service *service, struct surroundings *surroundings,
                      const struct rpd_service *before, struct error *error)
{
    const bool runs_code = !before || !plugin_is_same(&service->plugin, &before->plugin);
    int loaded;

    watchdog_describe(WATCHDOG_START, EXIT_CONTRACT, "code", service->plugin.path,
                      "its code has not finished loading within code_deadline_ms; its constructors "
                      "must not wait for anything");
    foreign_enter(service_owner(service), NULL);
    loaded = plugin_load(&service->plugin, runs_code ? NULL : &before->plugin, error);
    foreign_leave();
    if (runs_code)
        surroundings_put_back(surroundings, service->name, service->plugin.path, "constructors");
    warn_of_borrowing(service);
    service->takes_options = service->plugin.backend.on_options != NULL;
    if (loaded == 0 &&
        metrics_page_make(&service->metrics, service->name, service->plugin.backend.metrics) < 0)
        return error_set(error, EXIT_SYSTEM, "code", service->name, "out of memory; free some");
    return loaded;
}

int service_check_options(struct rpd_service *service, const struct config *config,
                          struct error **ret_errors, size_t *ret_count)
{
    const struct option_tables tables = {service->plugin.backend.options,
                                         service->plugin.backend.option_details};

    return options_make(&service->options, &tables, service->plugin.path, config, service->config,
                        ret_errors, ret_count);
}

/* A failure that the backend can tolerate does not count. */
int service_claim_state(struct rpd_service *service, struct surroundings *surroundings,
                        struct error *error)
{
    int (*const claim)(struct rpd_service * service) = service->plugin.backend.claim;
    struct error failure;
    bool is_known;
    int claimed;

    if (!claim)
        return 0;
    watchdog_describe(WATCHDOG_START, EXIT_CONTRACT, "claim", service->plugin.path,
                      "its claim() has not returned within code_deadline_ms; it must load nothing");
    foreign_enter(service_owner(service), (foreign_code)claim);
    claimed = claim(service);
    foreign_leave();
    surroundings_put_back(surroundings, service->name, service->plugin.path, "claim()");
    is_known = state_claims_failure(&service->state_claims, &failure);
    if (claimed == 0)
        return 0;
    if (is_known)
        *error = failure;
    else
        error_set(error, EXIT_CONTRACT, "claim", service->plugin.path,
                  "its claim() returned %d, and rpd_claim_state() has not failed; return 0",
                  claimed);
    return -1;
}

int service_check_policies(const struct rpd_service *service, const struct config_service *config,
                           struct error *error)
{
    const struct rpd_backend *backend = &service->plugin.backend;
    const bool degraded = config->on_load_failure == LOAD_FAILURE_DEGRADED;

    if (!backend->load || backend->serves_without_state ||
        (service->warmup != RPD_WARMUP_SERVE && !degraded))
        return 0;
    return error_set(error, EXIT_CONFIG, "config", config->origin,
                     "service %s: %s \"%s\" needs a backend that can serve without its state, "
                     "and %s cannot; use another",
                     service->name, degraded ? "on_load_failure" : "warmup",
                     degraded ? "degraded" : word_of_warmup(service->warmup), service->plugin.path);
}

int service_settle_warmup(struct rpd_service *service, struct error *error)
{
    const struct rpd_backend *backend = &service->plugin.backend;
    const struct config_service *config = service->config;

    service->warmup = config->warmup == WARMUP_OF_BACKEND ? backend->warmup
                                                          : (enum rpd_warmup)config->warmup;
    if (!backend->load)
        return 0;
    if (service_check_policies(service, config, error) < 0)
        return -1;
    if (service->warmup == RPD_WARMUP_REFUSE && !backend->on_busy)
        log_line(RPD_LOG_WARNING, service->name,
                 "warmup \"refuse\": its backend has no busy answer; clients are closed without "
                 "one");
    return 0;
}

/* ---- publish ------------------------------------------------------------------------ */

int service_publish_state(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                          const struct state_page_identity *common, struct error *error)
{
    struct state_page_identity identity = *common;

    identity.service = service->name;
    identity.warmup = service->warmup;
    return state_page_create(&service->state_page, runtime_dirfd, runtime_dir, &identity, error);
}

int service_publish_metrics(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                            const struct state_page_identity *common, struct error *error)
{
    struct whole_file old = {0};
    int published, taken;

    if (service->role == SERVICE_OF_KEEPER) {
        if (service->metrics_fd < 0)
            return 0; /* its runner has no memory for it */
        taken = metrics_page_take_over(&service->metrics, service->name, service->metrics_fd, &old);
        service_take_metrics(service, -1);
        if (taken < 0)
            return error_set(error, EXIT_SYSTEM, "publish", service->name,
                             "cannot make the page of metrics: %s; free memory", strerror(errno));
    }
    metrics_page_show_kept(&service->metrics);
    published = metrics_page_publish(&service->metrics, runtime_dirfd, runtime_dir, common->boot_id,
                                     common->start_time, error);
    whole_file_remove(&old);
    return published;
}

void service_take_metrics(struct rpd_service *service, int take_fd)
{
    if (service->metrics_fd >= 0)
        close(service->metrics_fd);
    service->metrics_fd = take_fd;
}

int service_publish_record(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                           const struct record_content *common, struct error *error)
{
    struct record_content content = *common;
    const char **endpoints = calloc(service->attachment_count, sizeof *endpoints);
    int written;

    if (!endpoints)
        return error_set(error, EXIT_SYSTEM, "publish", service->name, "out of memory");
    for (size_t i = 0; i < service->attachment_count; i++)
        endpoints[i] = service->attachments[i].listener.text;
    content.service = service->name;
    content.plugin = service->plugin.path;
    content.endpoints = endpoints;
    content.endpoint_count = service->attachment_count;
    written = record_write(&service->record, runtime_dirfd, runtime_dir, &content, error);
    free(endpoints);
    return written;
}

/* The kernel's value; 0 if it reports none. */
static int somaxconn(void)
{
    char text[16] = "";
    int fd = open("/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        close(fd);
    }
    return (int)strtol(text, NULL, 10);
}

void service_warn_of_backlogs(const struct rpd_service *service)
{
    const int most = somaxconn();

    for (size_t i = 0; i < service->attachment_count; i++) {
        const struct rpd_listener *listener = &service->attachments[i].listener;

        if (most > 0 && listener->way == LISTENER_OWNED && listener->endpoint.backlog > most)
            log_line(RPD_LOG_WARNING, service->name,
                     "%s: a backlog of %d is more than the kernel gives: it is %d; raise "
                     "net.core.somaxconn, or lower \"backlog\"",
                     listener->text, listener->endpoint.backlog, most);
    }
}

void service_clear_remains(const struct rpd_service *service, int runtime_dirfd)
{
    static const char *const suffixes[] = {"state", "next.state", "metrics", "json"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char name[NAME_MAX + 1];

        snprintf(name, sizeof name, "%s.%s", service->name, suffixes[i]);
        unlinkat(runtime_dirfd, name, 0);
    }
}

void service_sweep(const struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        listener_sweep(&service->attachments[i].listener);
    record_sweep(&service->record);
    state_page_sweep(&service->state_page);
    metrics_page_sweep(&service->metrics);
}

void service_unpublish(struct rpd_service *service)
{
    record_remove(&service->record);
    metrics_page_remove(&service->metrics);
    state_page_remove(&service->state_page);
}

void service_finish(struct rpd_service *service)
{
    metrics_page_finish(&service->metrics);
    service_take_metrics(service, -1);
    options_finish(&service->options);
    service_finish_changed_options(service);
    plugin_finish(&service->plugin);
    free(service->attachments);
    service->attachments = NULL;
    service->attachment_count = 0;
}
