/* The daemon's step "claim", and its undoing. See claiming.h. */
#include "daemon/claiming.h"

#include "base/proc.h"
#include "daemon/daemon_inside.h"
#include "guard/outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_endpoints(const void *left, const void *right)
{
    const struct attachment *a = *(struct attachment *const *)left;
    const struct attachment *b = *(struct attachment *const *)right;

    return strcmp(a->listener.endpoint.text, b->listener.endpoint.text);
}

static int refuse_listed_twice(const struct attachment *a, const struct attachment *b,
                               struct error *error)
{
    const struct rpd_endpoint *endpoint = &b->listener.endpoint;

    if (endpoint_takes_any_port(endpoint) || compare_endpoints(&a, &b) != 0)
        return 0;
    return error_set(error, EXIT_CONFIG, "config", endpoint->origin ? endpoint->origin : "listen",
                     "endpoint %s is listed twice, for service %s and for service %s; take one "
                     "out",
                     endpoint->text, a->service->name, b->service->name);
}

/* Every endpoint is wanted once. Two spellings of one path are found when it is
 * claimed. */
static int check_endpoints(const struct daemon *daemon, struct error *error)
{
    struct attachment **all = calloc(daemon->endpoint_count, sizeof(struct attachment *));
    size_t count = 0;
    int failed = 0;

    if (!all)
        return error_set(error, EXIT_SYSTEM, "config", "endpoints", "out of memory");
    FOR_EACH_SERVICE(daemon, service)
        for (size_t i = 0; i < service->attachment_count; i++)
            all[count++] = &service->attachments[i];
    qsort(all, count, sizeof(struct attachment *), compare_endpoints);
    for (size_t i = 1; i < count && !failed; i++)
        failed = refuse_listed_twice(all[i - 1], all[i], error);
    free(all);
    return failed;
}

int daemon_resolve(struct daemon *daemon, struct error *error)
{
    if (directory_runtime_path(daemon->runtime_dir, error) < 0)
        return -1;
    FOR_EACH_SERVICE(daemon, service) {
        if (service_resolve(service, daemon->runtime_dir, error) < 0)
            return -1;
        daemon->endpoint_count += service->attachment_count;
    }
    return check_endpoints(daemon, error);
}

static int adopt(struct daemon *daemon, struct error *error)
{
    for (int by_name = 1; by_name >= 0; by_name--)
        FOR_EACH_SERVICE(daemon, service)
            if (service_adopt(service, &daemon->adoption, by_name, error) < 0)
                return -1;
    FOR_EACH_SERVICE(daemon, service)
        service_drop_seconds(service);
    return adoption_end(&daemon->adoption, error);
}

/* A manager has started the service alone: where it may not make a socket itself, that is what its
 * socket unit is for. */
static void hint_at_socket_unit(const struct daemon *daemon, struct error *error)
{
    const size_t used = strlen(error->text);

    if (error->code == EXIT_RECORD && is_managed(daemon) && daemon->adoption.count == 0)
        snprintf(error->text + used, sizeof error->text - used,
                 "; or start its socket unit, which passes the socket on (rpd@%s.socket)",
                 daemon->services[0].name);
}

static int take_claims(struct daemon *daemon, struct error *error)
{
    size_t count = 0;

    FOR_EACH_SERVICE(daemon, service) {
        if (service_prepare_claims(service, daemon->runtime_dir, daemon->runtime_dirfd, error) < 0)
            return -1;
        count += service_list_claims(service, daemon->claims + count);
    }
    daemon->claim_count = count;
    if (claim_take_all(daemon->claims, count, error) == 0)
        return 0;
    hint_at_socket_unit(daemon, error);
    return -1;
}

static void release_claims(struct daemon *daemon)
{
    FOR_EACH_SERVICE(daemon, service)
        service_unclaim(service);
    if (daemon->runtime_dirfd >= 0)
        close(daemon->runtime_dirfd);
    daemon->runtime_dirfd = -1;
}

/* They are in the order of their directories: each is looked at once. */
static bool is_displaced(const struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->claim_count; i++) {
        const struct claim *claim = daemon->claims[i],
                           *before = i > 0 ? daemon->claims[i - 1] : NULL;

        if (before && claim_is_beside(claim, before))
            continue;
        if (claim_is_displaced(claim))
            return true;
    }
    return false;
}

static void clear_remains(struct daemon *daemon)
{
    FOR_EACH_SERVICE(daemon, service)
        service_clear_remains(service, daemon->runtime_dirfd);
}

/* A directory may be replaced or removed just when it has been opened: a lock in it is then found
 * by no process, or cannot be made. From serve on moving.h looks after that. */
int daemon_claim(struct daemon *daemon, struct error *error)
{
    enum { TRIES = 10 };
    int failed;

    if (!proc_is_there())
        return error_set(error, EXIT_RECORD, "claim", "/proc",
                         "it is not there, and without it no program can see what runs: mount -t "
                         "proc proc /proc");
    if (directory_runtime_warning())
        log_line(RPD_LOG_WARNING, NULL, "%s", directory_runtime_warning());
    daemon->runtime_dirfd = directory_open_at(daemon->runtime_dir, error);
    if (daemon->runtime_dirfd < 0 || adopt(daemon, error) < 0)
        return -1;
    daemon->claims = calloc(daemon->service_count + daemon->endpoint_count, sizeof(struct claim *));
    if (!daemon->claims)
        return error_set(error, EXIT_SYSTEM, "claim", "services", "out of memory");
    for (int i = 0; i < TRIES; i++) {
        directory_keep(daemon->runtime_dirfd);
        failed = take_claims(daemon, error);
        if (failed && directory_is_at(daemon->runtime_dir, daemon->runtime_dirfd))
            return -1;
        if (!failed && !is_displaced(daemon)) {
            clear_remains(daemon);
            return 0;
        }
        release_claims(daemon);
        daemon->runtime_dirfd = directory_open_at(daemon->runtime_dir, error);
        if (daemon->runtime_dirfd < 0)
            return -1;
    }
    return error_set(error, EXIT_RECORD, "claim", daemon->runtime_dir,
                     "this directory, or an endpoint's, is replaced again and again; find out "
                     "what does that");
}

void daemon_unclaim(struct daemon *daemon)
{
    outcome_ended(daemon->exit_code, NULL); /* while the histories are ours */
    release_claims(daemon);
    free(daemon->claims);
}
