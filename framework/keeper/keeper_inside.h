/* Internals of the keeper, shared by keeper.c, generation.c and renewal.c. */
#ifndef FRAMEWORK_KEEPER_INSIDE_H
#define FRAMEWORK_KEEPER_INSIDE_H

#include "keeper/channel.h"
#include "keeper/keeper.h"

enum { KEEPER_PATIENCE_MS = 5000 };

/* What a generation's runner says of a service, until it is the current one. */
struct generation_service {
    enum rpd_warmup warmup;
    enum rpd_phase phase;
    bool is_degraded, takes_options;
    int metrics_fd; /* a copy of the page of metrics; 0: there is none */
};

struct generation {
    TAILQ_ENTRY(generation) link; /* of those that drain */
    struct keeper *keeper;
    unsigned number;
    int config_fd, changed_fd; /* copies: its configuration; one that it is to apply. 0: none */
    enum keeper_stage stage;
    struct runner runner;
    struct event *channel, *end, *notices;
    bool was_ready, stop_is_sent, is_given_up;
    struct generation_service *services;
    struct state_page *pages; /* of the next one; NULL: the services' own are its */
};

/* ---- generation.c: one runner, up to GO, and its end ---------------------------------- */

struct generation *generation_new(struct keeper *keeper, int take_config_fd);
void generation_free(struct generation *generation); /* kills the runner; NULL is fine */

int generation_send(const struct generation *generation, enum channel_kind kind, uint32_t count);
int generation_send_locks(const struct generation *generation);
int generation_send_attachment(const struct generation *generation,
                               const struct rpd_service *service,
                               const struct attachment *attachment);
int generation_send_pages(const struct generation *generation, const struct rpd_service *service);
int generation_send_level(const struct generation *generation, const struct rpd_service *service,
                          enum rpd_log_level level);

/* The services' metrics will be laid out as its runner has laid out its own. */
void generation_give_metrics(const struct generation *generation);

/* If the runner ends during its setup, the keeper finds that it has ended. 0, or -1 and errno. */
int generation_start(struct generation *generation);
int generation_watch(struct generation *generation);
void generation_forget_runner(struct generation *generation);

/* A message of a runner that is not prepared. */
int generation_take_preparing(struct generation *generation, const struct channel_message *message,
                              const int *fds, size_t count, struct error *error);

/* It is prepared: it gets its pages, and loads. */
void generation_go(struct generation *generation);
void generation_kill_unreachable(struct generation *generation);
void generation_send_stop(struct generation *generation, bool has_successor);
bool generation_is_ready(const struct generation *generation);

/* "runner 12 was ended by signal 11 (Segmentation fault)" */
void generation_describe_end(const struct runner_end *end, pid_t pid, char *ret, size_t size);

/* ---- keeper.c --------------------------------------------------------------------------- */

void keeper_show_runner(const struct keeper *keeper);
void keeper_on_message(struct generation *generation, const struct channel_message *message,
                       int *fds, size_t count);
/* False: the channel is closed. */
bool keeper_hear(struct generation *generation);
/* Whether its runner has ended; then the generation may be gone, or has another runner. */
bool keeper_on_ended(struct generation *generation);
void keeper_leave_if_over(struct keeper *keeper);

/* ---- renewal.c --------------------------------------------------------------------------- */

int renewal_open(struct keeper *keeper);
void renewal_close(struct keeper *keeper);

/* The next generation's service has entered a phase; a generation other than the current has ended;
 * the current one has ended while it was to cease. */
void renewal_on_phase(struct generation *generation, int code);
void renewal_on_other_ended(struct generation *generation, const struct runner_end *end, pid_t pid);
void renewal_on_ceased(struct keeper *keeper);

/* The current one has crashed: whether the one before accepts again. */
bool renewal_roll_back(struct keeper *keeper, const char *how);

/* CHANGED has come; or the runner has ended before it came. */
void renewal_on_changed(struct generation *generation, int code, int errors_fd);

/* A stop: no next generation any more; the old one stops, too. */
void renewal_stop(struct keeper *keeper);

#endif
