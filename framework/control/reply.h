/* What the control socket says: answers to requests, and events for watchers. Both are lines of
 * JSON, which rpd-control(7) describes. All functions are [loop]. */
#ifndef FRAMEWORK_CONTROL_REPLY_H
#define FRAMEWORK_CONTROL_REPLY_H

#include "config/plan.h"
#include "service/service.h"

/* In a keeper: its runner has clients that the keeper does not know, and writes log lines of its
 * own. */
struct control_relay {
    /* The level of this service's log has changed. */
    void (*level)(void *arg, const struct rpd_service *service, enum rpd_log_level level);
    /* Passes a request to the runner; control_answer() follows with this number. False: there is no
     * runner to answer. */
    bool (*ask)(void *arg, uint64_t number, const char *request, size_t size);
};

/* What is asked of a reload. */
struct control_reload {
    bool fresh;          /* a new generation, though nothing has changed */
    bool force;          /* though memory may not suffice */
    uint64_t timeout_us; /* 0: none */
};

/* How a reload, or the check of one, ended. */
struct control_reload_end {
    int code; /* 0: well; else an exit code */
    const struct error *errors;
    size_t error_count;
    const struct plan *plan; /* NULL: it came to none */
    unsigned generation;     /* that serves now; 0: there is no keeper */
    const char *text;        /* "" or what else is to be said */
};

/* What is asked about, and what is asked. */
struct control_subject {
    struct rpd_service *services;
    size_t service_count;
    bool completes; /* in a runner: requests come from its keeper, with the keeper's part of the
                     * answer */
    const struct control_relay *relay; /* in a keeper; otherwise NULL */
    void *relay_arg;
    /* Asks for a reload. Returns its ticket, which is never 0: control_reloaded() has the answer.
     * Several may get the same one. NULL: a keeper reloads. */
    unsigned long (*reload)(void *arg, const struct control_reload *request);
    /* Checks the file, and makes the plan. The result is valid until the next call. */
    const struct control_reload_end *(*check)(void *arg);
    void *reload_arg;
};

/* The result of a request. */
struct control_reply {
    char *line;      /* with its newline, to be freed; NULL without memory, or if it comes later */
    bool watches;    /* the client watches phases from now on */
    bool is_asked;   /* the answer comes later, by the runner */
    uint64_t number; /* given by the caller: of the request, if it is asked */
    unsigned long ticket; /* not 0: the answer comes when that reload has ended, with this... */
    char *id;             /* ...id, as JSON, to be freed; NULL: without */
};

/* The request has no newline, and may be any bytes. */
void control_reply(const struct control_subject *subject, const char *request, size_t size,
                   struct control_reply *reply);

/* The answer to a request for a reload. id: as JSON, or NULL. */
char *control_reload_reply(const char *id, const struct control_reload_end *end);

/* The answer to what is no request at all. */
char *control_refusal(const char *why);

/* The event that says that a service has entered this phase. */
char *control_event(const struct rpd_service *service, enum rpd_phase phase);

#endif
