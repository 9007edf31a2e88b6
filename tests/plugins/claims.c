/* A backend that claims its state as its options say, and misuses the call. Options:
 *     path=FILE   the file that it claims
 *     at=claim    in claim(); "load": in load; "both"; "none"
 *     how=once    or "twice"; "null", "empty": no path; "lie": claim() fails without a claim;
 *                 "ignore": it continues after a failed claim
 * A client's line is a path. The answer is "owned" or "lost", as rpd_owns_state() returns. */
#include <rpd/backend.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("path", "", "what is claimed"),
    RPD_OPTION_STRING("at", "claim", "where"),
    RPD_OPTION_STRING("how", "once", "how"),
    RPD_OPTIONS_END,
};

static bool option_is(const struct rpd_service *service, const char *name, const char *value)
{
    return strcmp(rpd_option_string(service, name), value) == 0;
}

static int claim_it(const struct rpd_service *service)
{
    const char *path = rpd_option_string(service, "path");
    int result;

    if (option_is(service, "how", "lie"))
        return -1;
    if (option_is(service, "how", "null"))
        path = NULL;
    if (option_is(service, "how", "empty"))
        path = "";
    result = rpd_claim_state(service, path);
    if (result == 0 && option_is(service, "how", "twice"))
        result = rpd_claim_state(service, path);
    return option_is(service, "how", "ignore") ? 0 : result;
}

static int claim(struct rpd_service *service)
{
    return option_is(service, "at", "claim") || option_is(service, "at", "both") ? claim_it(service)
                                                                                 : 0;
}

static void *load(struct rpd_load *load)
{
    const struct rpd_service *service = rpd_load_service(load);

    if ((option_is(service, "at", "load") || option_is(service, "at", "both")) &&
        claim_it(service) != 0)
        return NULL;
    return strdup(rpd_service_name(service));
}

struct question {
    struct rpd_conn *conn;
    char *path;
    bool is_owned;
};

static void run(struct rpd_job *job, void *arg)
{
    struct question *question = arg;

    (void)job;
    question->is_owned = rpd_owns_state(rpd_conn_service(question->conn), question->path);
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct question *question = arg;

    (void)service;
    (void)cancelled;
    rpd_conn_printf(question->conn, "%s\n", question->is_owned ? "owned" : "lost");
    rpd_conn_release(question->conn);
    free(question->path);
    free(question);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;
    struct question *question;

    (void)state;
    if (!rpd_conn_read_line(conn, &line))
        return;
    question = calloc(1, sizeof *question);
    if (!question)
        abort();
    question->conn = conn;
    question->path = strndup(line.data, line.size);
    rpd_conn_keep(conn);
    if (rpd_job_submit(rpd_conn_service(conn), run, done, question) < 0)
        done(NULL, question, true);
}

RPD_BACKEND(claims, .options = options, .load = load, .unload = free, .on_data = on_data,
            .claim = claim);
