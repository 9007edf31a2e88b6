/* The effective configuration: what a file, a command line and the defaults
 * say together. Every key has one row in the table in config/keys.c, from
 * which the check, the defaults, --print-config and the JSON Schema come.
 *
 * This file says what comes out; it is plain data, and read-only once made. */
#ifndef FRAMEWORK_CONFIG_H
#define FRAMEWORK_CONFIG_H

#include "base/log.h"
#include "config/error_list.h"
#include "config/json_place.h"
#include "config/request.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One endpoint that a service listens on. */
struct config_listen {
    const char *endpoint; /* as written: "unix:echo.sock" */
    int backlog;          /* of listen(2) */
    mode_t mode;          /* of the socket file of a unix path */
    const char *group;    /* its group's name, or NULL */
    bool freebind;        /* TCP: also where the machine does not have the address */
    char *origin;         /* "rpd.json:5:39", "command line" or "default" */
};

/* One option of a service, as the user wrote it. */
struct config_option {
    char *name;
    const json_t *value; /* a scalar of the file; NULL: from -o */
    const char *text;    /* from -o: to be read as the option's type has it */
};

enum config_load_failure { LOAD_FAILURE_EXIT, LOAD_FAILURE_RETRY, LOAD_FAILURE_DEGRADED };

/* What becomes of a call that a backend's own bind must not make. */
enum config_seal { SEAL_ENFORCE, SEAL_LOG, SEAL_OFF };

enum {
    WARMUP_OF_BACKEND = -1,
    IDLE_EXIT_OF_BACKEND = -1,
    LOG_LEVEL_OF_PROCESS = -1
}; /* not configured */

/* What a client may take; 0 is no limit. */
struct config_limits {
    int clients, clients_per_peer;
    int first_byte_s, request_s, idle_s, write_stall_s, keepalive_s;
    int output_bytes, input_bytes, buffer_bytes, buffer_bytes_per_peer;
    int progress_bytes_per_s; /* never 0 */
};

struct config_service {
    const char *name;             /* NULL: the backend's name, known once its note is read */
    const char *plugin;           /* as written */
    char *plugin_base;            /* the directory that a relative plugin path is relative to */
    struct config_listen *listen; /* empty: unix:NAME.sock */
    size_t listen_count;
    int log_level; /* enum rpd_log_level, or LOG_LEVEL_OF_PROCESS */
    int warmup;    /* enum rpd_warmup, or WARMUP_OF_BACKEND */
    enum config_load_failure on_load_failure;
    enum config_seal seal;
    int no_progress_s; /* 0: never */
    int idle_exit_s;   /* 0: never; or IDLE_EXIT_OF_BACKEND */
    struct config_limits limits;
    /* What the user wrote under "options" and behind -o: checked against the
     * backend's table once its code is loaded (options.h). */
    struct config_option *options;
    size_t option_count;
    char *origin; /* of the service: "rpd.json:9:5" or "command line" */
};

enum config_notify { NOTIFY_AT_BOUND, NOTIFY_AT_READY };

struct config {
    char *path; /* absolute path of the file, or NULL */
    int workers;
    int job_nice, load_nice;
    int loads;                /* of them, at once; 0: as many as there are processors */
    const char **plugin_dirs; /* configured ones, made absolute; NULL-terminated */
    enum rpd_log_level log_level;
    enum log_format log_format;
    int log_limit;        /* lines of a cause a second; 0: any */
    const char *log_file; /* rpdctl's: absolute, "none", or NULL: the default */
    const char *log_to;   /* "stderr", "journal", an absolute path, or NULL: by $JOURNAL_STREAM */
    enum config_notify notify;
    int endpoint_deadline_ms;
    int code_deadline_ms;
    int drain_s;
    int stall_s;                     /* 0: never */
    int slow_ms;                     /* 0: no callback is */
    struct config_service *services; /* at least one */
    size_t service_count;
    struct config_source *source; /* private: owns the strings above */
};

/* Reads, checks and merges. On failure returns -1 with every mistake that was
 * found, each an error of its own (one line of stderr each), in
 * ret_errors/ret_count, to be freed by free(). They all have the same code: of
 * the command line (64), of the file as a file (66, 71, 77, 78), or of what it
 * says (78); the first of these kinds comes alone. Only without any memory
 * is there no error in it: 71. */
int config_load(struct config *config, const struct config_request *request,
                struct error **ret_errors, size_t *ret_count);
void config_finish(struct config *config);

/* Adds a mistake in an option, found once the backend's table is known, in the
 * words of the file ("FILE:LINE:COLUMN: $.services[0].options.KEY: what") or of
 * the command line ("-o KEY: what"). part: its name is wrong, or its value.
 * Returns -1. */
int config_option_mistake(const struct config *config, const struct config_service *service,
                          const struct config_option *option, enum json_part part, const char *what,
                          struct error_list *errors);

/* The same of an option that is not set: where its service's options are, or should be. */
int config_option_missing(const struct config *config, const struct config_service *service,
                          const char *name, const char *what, struct error_list *errors);

/* What a relative path is relative to that stands there; option NULL: in a default. NULL: there is
 * no such directory. */
const char *config_option_base(const struct config *config, const struct config_service *service,
                               const struct config_option *option);

/* Other users can read the file. */
bool config_is_seen_by_others(const struct config *config);

/* --print-config, of a request that said so, and --print-schema; to stdout. */
void config_print(const struct config *config);
int config_print_schema(struct error *error);

#endif
