/* rpdctl doctor: a configuration, and what it asks of the machine. */
#include "config/config.h"
#include "config/digest.h"
#include "endpoint/endpoint.h"
#include "observe/instance.h"
#include "plugin/plugin.h"
#include "rpdctl/doctor/doctor.h"
#include "rpdctl/program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ---------------------------------------------------------------------------------
 */

/* Each line of rpd's is a mistake. */
static void find_lines(struct doctor *doctor, const char *subject, char *text)
{
    static const char head[] = "rpd: ";
    char *save;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (strncmp(line, head, sizeof head - 1) == 0)
            doctor_find_error(doctor, strstr(line, "warning: ") ? DOCTOR_WARN : DOCTOR_FAIL,
                              subject, "configuration", line + sizeof head - 1);
}

/* As rpd itself checks it, plugins and options too: rpd -t. True: it can be started. */
static bool is_right(struct doctor *doctor, const char *subject, const char *file)
{
    char rpd[PATH_MAX];
    const char *const argv[] = {rpd, "-t", "-c", file, NULL};
    struct error error;
    char *text;
    int code;

    if (rpdctl_beside("rpd", rpd, &error) < 0) {
        doctor_find_error(doctor, DOCTOR_FAIL, subject, "configuration", error.text);
        return false;
    }
    text = doctor_run(argv, true, &code);
    if (text)
        find_lines(doctor, subject, text);
    if (!text || code < 0)
        doctor_find(doctor, DOCTOR_FAIL, subject, "configuration", "run it yourself",
                    "%s -t -c %s cannot be run, or does not end", rpd, file);
    free(text);
    return code == 0;
}

static int load(struct config *config, const char *file)
{
    const struct config_request request = {.file = file};
    struct error *errors = NULL;
    size_t count = 0;
    const int loaded = config_load(config, &request, &errors, &count);

    free(errors);
    return loaded;
}

bool doctor_config_differs(struct doctor *doctor, const char *subject, const char *file,
                           const char *digest)
{
    char now[CONFIG_DIGEST_SIZE];
    struct config config;

    if (!is_right(doctor, subject, file) || load(&config, file) < 0)
        return false;
    config_digest(&config, now);
    config_finish(&config);
    return digest && strcmp(now, digest) != 0;
}

/* ---- endpoints --------------------------------------------------------------------------------
 */

/* Fields are separated by blanks and count from 0. "": the line has fewer. */
static const char *field(const char *line, int number)
{
    line += strspn(line, " ");
    while (number-- > 0) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    return line;
}

/* Whether a socket of this path listens: the kernel has it by the name that was bound. */
static bool path_listens(const char *path)
{
    char line[512];
    FILE *list = fopen("/proc/net/unix", "re");
    bool listens = false;

    while (list && fgets(line, sizeof line, list)) {
        const char *name = strrchr(line, ' ');
        const unsigned long flags = strtoul(field(line, 3), NULL, 16);

        line[strcspn(line, "\n")] = '\0';
        listens |= name && strcmp(name + 1, path) == 0 && (flags & 0x10000);
    }
    if (list)
        fclose(list);
    return listens;
}

static bool port_listens_in(const char *file, unsigned port)
{
    enum { LISTEN_STATE = 0x0a };
    char line[512];
    FILE *list = fopen(file, "re");
    bool listens = false;

    while (list && fgets(line, sizeof line, list)) {
        const char *local_port = strchr(field(line, 1), ':');

        if (local_port && strtoul(local_port + 1, NULL, 16) == port)
            listens |= strtoul(field(line, 3), NULL, 16) == LISTEN_STATE;
    }
    if (list)
        fclose(list);
    return listens;
}

static void look_at_path(struct doctor *doctor, const char *service,
                         const struct rpd_endpoint *endpoint)
{
    char path[PATH_MAX];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", endpoint->directory, endpoint->name);
    if (access(endpoint->directory, W_OK | X_OK) < 0 &&
        strcmp(endpoint->directory, doctor->runtime_dir) != 0)
        doctor_find(doctor, DOCTOR_FAIL, service, "endpoint",
                    errno == ENOENT ? "make it" : "let its user write there", "%s: %s: %s",
                    endpoint->text, endpoint->directory, strerror(errno));
    else if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        doctor_find(doctor, DOCTOR_FAIL, service, "endpoint", "move it away, or listen elsewhere",
                    "%s: what stands there is no socket", endpoint->text);
    else if (path_listens(path))
        doctor_find(doctor, DOCTOR_FAIL, service, "endpoint", "stop that, or listen elsewhere",
                    "%s: another program listens there", endpoint->text);
}

static void look_at_port(struct doctor *doctor, const char *service,
                         const struct rpd_endpoint *endpoint)
{
    const bool is_6 = endpoint->address.ss_family == AF_INET6;
    const unsigned port = ntohs(
        is_6 ? ((const struct sockaddr_in6 *)(const void *)&endpoint->address)->sin6_port
             : ((const struct sockaddr_in *)(const void *)&endpoint->address)->sin_port);

    if (port > 0 && port_listens_in(is_6 ? "/proc/net/tcp6" : "/proc/net/tcp", port))
        doctor_find(doctor, DOCTOR_FAIL, service, "endpoint", "stop that, or use another port",
                    "%s: another program listens on this port", endpoint->text);
}

static void look_at_backlog(struct doctor *doctor, const char *service,
                            const struct rpd_endpoint *endpoint)
{
    char text[32] = "";
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    const long most = file && fgets(text, sizeof text, file) ? strtol(text, NULL, 10) : 0;

    if (file)
        fclose(file);
    if (most > 0 && endpoint->backlog > most)
        doctor_find(doctor, DOCTOR_WARN, service, "backlog",
                    "sysctl net.core.somaxconn, or a lower one",
                    "%s: %d are asked for, and the kernel queues %ld clients at most",
                    endpoint->text, endpoint->backlog, most);
}

static void look_at_endpoint(struct doctor *doctor, const char *service,
                             const struct config_listen *listen, bool runs)
{
    struct rpd_endpoint endpoint;
    struct error error;

    if (endpoint_resolve(&endpoint, listen, doctor->runtime_dir, &error) < 0) {
        doctor_find_error(doctor, DOCTOR_FAIL, service, "endpoint", error.text);
        return;
    }
    look_at_backlog(doctor, service, &endpoint);
    if (runs) /* then it is its own */
        return;
    if (endpoint.kind == ENDPOINT_PATH)
        look_at_path(doctor, service, &endpoint);
    if (endpoint.kind == ENDPOINT_TCP)
        look_at_port(doctor, service, &endpoint);
}

/* ---- services ---------------------------------------------------------------------------------
 */

static void look_at_limits(struct doctor *doctor, const char *service,
                           const struct config_service *config)
{
    struct rlimit limit = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    if ((rlim_t)config->limits.clients > limit.rlim_max)
        doctor_find(
            doctor, DOCTOR_WARN, service, "limits", "raise the hard limit, or lower limits.clients",
            "limits.clients is %d, and a process started from here may open %llu descriptors",
            config->limits.clients, (unsigned long long)limit.rlim_max);
}

static void look_whence(struct doctor *doctor, const char *name, const char *path,
                        const struct instance *instance)
{
    const char *from = instance->record.config;
    struct stat here, there;

    if (instance->verdict == STATE_DEAD || !instance->has_record)
        return;
    if (!from || stat(from, &there) < 0 || stat(path, &here) < 0 || here.st_ino != there.st_ino ||
        here.st_dev != there.st_dev)
        doctor_find(doctor, DOCTOR_WARN, name, "origin",
                    "rpdctl ensure would end with 75: stop that one", "it runs from %s",
                    from ? from : "a command line");
}

static void look_at_configured(struct doctor *doctor, const struct config *config, const char *name,
                               const struct config_service *service)
{
    struct instance instance;

    instance_look(doctor->runtime_dirfd, name, &instance);
    look_at_limits(doctor, name, service);
    for (size_t i = 0; i < service->listen_count; i++)
        look_at_endpoint(doctor, name, &service->listen[i], instance.verdict != STATE_DEAD);
    look_whence(doctor, name, config->path, &instance);
    instance_finish(&instance);
    doctor_service(doctor, name, true);
}

static void look_at_log(struct doctor *doctor, const struct config *config)
{
    const char *slash = config->log_to ? strrchr(config->log_to, '/') : NULL;
    char directory[PATH_MAX];

    if (!slash)
        return;
    snprintf(directory, sizeof directory, "%.*s", (int)(slash - config->log_to) + 1,
             config->log_to);
    if (access(directory, W_OK | X_OK) < 0)
        doctor_find(doctor, DOCTOR_FAIL, config->path, "log", "make it, or change log.to", "%s: %s",
                    config->log_to, strerror(errno));
}

static void look_at_services(struct doctor *doctor, const struct config *config)
{
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];
        const struct plugin_search search = {.base = service->plugin_base,
                                             .dirs = config->plugin_dirs};
        struct plugin plugin = {.fd = -1};
        struct error error;
        const int inspected = service->name
                                  ? 0
                                  : plugin_inspect(&plugin, service->plugin, &search, &error);

        if (inspected == 0)
            look_at_configured(doctor, config, service->name ? service->name : plugin.note.backend,
                               service);
        plugin_finish(&plugin);
    }
}

void doctor_config(struct doctor *doctor, const char *file)
{
    const bool right = is_right(doctor, file, file);
    struct config config;

    if (right)
        doctor_find(doctor, DOCTOR_PASS, file, "configuration", NULL, "rpd -t finds no mistake");
    if (load(&config, file) < 0) /* what is wrong was said by rpd -t */
        return;
    look_at_log(doctor, &config);
    look_at_services(doctor, &config);
    config_finish(&config);
}
