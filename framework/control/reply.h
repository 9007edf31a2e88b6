/* The control socket's words: what is answered to a request, and what watchers
 * are sent. Both are lines of JSON; rpd-control(7) has them. All of it is
 * [loop]. */
#ifndef FRAMEWORK_CONTROL_REPLY_H
#define FRAMEWORK_CONTROL_REPLY_H

#include "config/plan.h"
#include "service/service.h"

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
    /* Asks for a reload. Returns its ticket, which is never 0: control_reloaded() has the answer.
     * Several may get the same one. */
    unsigned long (*reload)(void *arg, const struct control_reload *request);
    /* Checks the file, and makes the plan. The result is valid until the next call. */
    const struct control_reload_end *(*check)(void *arg);
    void *arg;
};

/* The answer to a request. */
struct control_answer {
    char *line;           /* with its newline, to be freed; NULL without memory, or... */
    unsigned long ticket; /* ...if this is not 0: then the answer comes later, with this... */
    char *id;             /* ...id, as JSON, to be freed; NULL: without */
    bool watches;         /* the client watches phases from now on */
};

/* The request comes without newline, and may be anything. */
struct control_answer control_reply(const struct control_subject *subject, const char *request,
                                    size_t size);

/* The answer to a request for a reload. id: as JSON, or NULL. */
char *control_reload_reply(const char *id, const struct control_reload_end *end);

/* The answer to what is no request at all. */
char *control_refusal(const char *why);

/* The service has entered this phase. */
char *control_event(const struct rpd_service *service, enum rpd_phase phase);

#endif
