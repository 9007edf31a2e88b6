/* Healing: if others remove locks, sockets or files of a service while it runs, they are recreated,
 * where they were or where their directory is now.
 *
 * Only another owner ends the service. If recreation fails for another reason, it is retried, with
 * a growing pause. */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "guard/outcome.h"
#include "guard/residue.h"
#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Only what must not be shared ends the service: another owner. The rest, a shortage
 * or a directory that has gone, may be over soon, and no event reports that. */
static void heal_failed(struct rpd_service *service, const struct error *error)
{
    if (error->code == EXIT_RUNNING) {
        service->events->failed(service->daemon, service, error);
        return;
    }
    log_line(RPD_LOG_ERROR, service->name, "%s", error->text);
    service->heal_pause_s = backoff_s(service->heal_pause_s);
    service->heal_due_us = clock_us() + service->heal_pause_s * UINT64_C(1000000);
}

static bool concerns(const struct rpd_listener *listener, const char *file_name)
{
    return !file_name || strcmp(file_name, listener->endpoint.name) == 0 ||
           strcmp(file_name, listener->claim.lock_name) == 0;
}

/* A program that removes files repeatedly must not fill the log. */
static void tell_healed(struct rpd_service *service, const char *what, const char *how)
{
    enum { A_SECOND_US = 1000000, LINES = 10 };
    const uint64_t now_us = clock_us();

    if (service->moves)
        return;
    if (now_us - service->healed_us > A_SECOND_US) {
        if (service->healed > LINES)
            log_line(RPD_LOG_WARNING, service->name, "%u more files were removed",
                     service->healed - LINES);
        service->healed_us = now_us;
        service->healed = 0;
    }
    if (service->healed++ < LINES)
        log_line(RPD_LOG_WARNING, service->name, "%s was %s; recreated", what, how);
}

static void heal_listener(struct rpd_service *service, struct attachment *attachment)
{
    const bool was_closed = attachment->listener.fd < 0;
    struct error error;
    int old_fd;
    int healed = listener_heal(&attachment->listener, &old_fd, &error);

    if (healed < 0)
        heal_failed(service, &error);
    if (healed <= 0)
        return;
    tell_healed(service, attachment->listener.text, was_closed ? "closed" : "removed");
    /* Under the policy "backlog" they now wait in the hold for what they waited
     * for there. */
    if (attachment->attached &&
        (service->role != SERVICE_OF_KEEPER || attachment->acceptor.started))
        acceptor_take_queued(&attachment->acceptor, old_fd);
    if (attachment->acceptor.started &&
        acceptor_switch(&attachment->acceptor, attachment->listener.fd) < 0)
        log_line(RPD_LOG_ERROR, service->name, "out of memory: no longer accepting clients on %s",
                 attachment->listener.text);
    close(old_fd);
    if (service->role == SERVICE_OF_KEEPER)
        service->events->listener_made(service->daemon, service, attachment);
}

static void heal_file(struct rpd_service *service, const struct whole_file *file, int healed)
{
    struct error error;

    if (healed > 0)
        tell_healed(service, file->name, "removed");
    if (healed >= 0)
        return;
    error_set(&error, EXIT_RECORD, "publish", file->name,
              "it was removed, and cannot be made again: %s; free space", strerror(errno));
    heal_failed(service, &error);
}

static void heal_page(struct rpd_service *service)
{
    const int healed = state_page_heal(&service->state_page);

    heal_file(service, &service->state_page.file, healed);
    if (healed > 0 && service->role == SERVICE_OF_KEEPER)
        service->events->page_made(service->daemon, service);
}

static void heal_metrics(struct rpd_service *service)
{
    const int healed = metrics_page_heal(&service->metrics);

    heal_file(service, &service->metrics.file, healed);
    if (healed > 0 && service->role == SERVICE_OF_KEEPER)
        service->events->page_made(service->daemon, service);
}

/* What others read of the service. */
static void heal_files(struct rpd_service *service, const char *file_name)
{
    struct record *record = &service->record;
    const struct state_page *page = &service->state_page;

    if (!file_name || strcmp(file_name, record->file.name) == 0)
        heal_file(service, &record->file, record_heal(record));
    if (!file_name || strcmp(file_name, page->file.name) == 0)
        heal_page(service);
    if (!file_name || strcmp(file_name, service->metrics.file.name) == 0)
        heal_metrics(service);
}

void service_heal(struct rpd_service *service, const char *file_name)
{
    struct error error;

    if ((service->phase != RPD_PHASE_WARMING && service->phase != RPD_PHASE_READY) ||
        service->role == SERVICE_OF_RUNNER || residue_is_ending())
        return;
    if ((!file_name || strcmp(file_name, service->name_claim.lock_name) == 0) &&
        claim_heal(&service->name_claim, &error) != 0)
        heal_failed(service, &error);
    heal_files(service, file_name);
    for (size_t i = 0; i < service->attachment_count; i++)
        if (service->phase < RPD_PHASE_DRAINING &&
            concerns(&service->attachments[i].listener, file_name))
            heal_listener(service, &service->attachments[i]);
}

/* What cannot be recreated is retried when the retry is due. */
void service_keep_pages(struct rpd_service *service)
{
    const bool is_kept = state_page_keep(&service->state_page);

    if (service->heal_due_us > 0 || residue_is_ending())
        return;
    if (!is_kept)
        heal_page(service);
    if (!metrics_page_is_whole(&service->metrics))
        heal_metrics(service);
}

void service_touch(const struct rpd_service *service)
{
    const int history = outcome_history(service->name);

    lock_touch(&service->name_claim.lock);
    whole_file_touch(&service->record.file);
    whole_file_touch(&service->state_page.file);
    whole_file_touch(&service->metrics.file);
    if (history >= 0)
        futimens(history, NULL);
    for (size_t i = 0; i < service->attachment_count; i++)
        listener_touch(&service->attachments[i].listener);
}

/* While a service drains or stops, others still read its state. */
void service_move(struct rpd_service *service)
{
    if (service->phase == RPD_PHASE_STARTING || service->role == SERVICE_OF_RUNNER ||
        residue_is_ending())
        return;
    service->moves = true;
    heal_files(service, NULL);
    service_heal(service, NULL);
    service->moves = false;
}

bool service_cannot_move(const struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++) {
        const struct rpd_listener *listener = &service->attachments[i].listener;

        if (listener->way == LISTENER_OWN && listener->state == LISTENER_PUBLIC &&
            listener_needs_claim(listener) && claim_is_displaced(&listener->claim))
            return true;
    }
    return false;
}

void service_heal_again(struct rpd_service *service, uint64_t now_us)
{
    if (service->heal_due_us == 0 || now_us < service->heal_due_us)
        return;
    service->heal_due_us = 0;
    service_heal(service, NULL);
    if (service->heal_due_us == 0)
        service->heal_pause_s = 0;
}
