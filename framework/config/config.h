/* The effective configuration: the combination of a file, a command line and the
 * defaults. Every key has one row in the table in config/keys.c. The check, the
 * defaults, --print-config and the JSON Schema are made from it.
 *
 * This file defines the result. It is plain data, and read-only once made. */
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

/* How a call that a backend's own bind must not make is handled. */
enum config_seal { SEAL_ENFORCE, SEAL_LOG, SEAL_OFF };

enum {
    WARMUP_OF_BACKEND = -1,
    IDLE_EXIT_OF_BACKEND = -1,
    LOG_LEVEL_OF_PROCESS = -1
}; /* not configured */

/* The resources that a client may use; 0: no limit. */
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
    /* What the user wrote under "options" and after -o. It is checked against the
     * backend's table once the backend's code is loaded (options.h). */
    struct config_option *options;
    size_t option_count;
    char *origin; /* of the service: "rpd.json:9:5" or "command line" */
};

enum config_notify { NOTIFY_AT_BOUND, NOTIFY_AT_READY };

enum config_crash_loop { CRASH_LOOP_EXIT, CRASH_LOOP_WAIT };

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
    int stall_s; /* 0: never */
    int trial_s; /* 0: none */
    int slow_ms; /* 0: no callback is */
    bool keeper; /* also set by --keeper, which is not recorded here */
    enum config_crash_loop on_crash_loop;
    struct config_service *services; /* at least one */
    size_t service_count;
    struct config_source *source; /* private: owns the strings above */
};

/* Reads, checks and merges. On failure, returns -1 with every mistake that was
 * found in ret_errors/ret_count, to be freed by free(). Each mistake is an error of
 * its own, with one line on stderr. They all have the same code: for the command
 * line (64), for the file as a file (66, 71, 77, 78), or for its content (78). Only
 * the first of these kinds is reported. The array is empty only if there is no
 * memory at all; the code is then 71. */
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

/* The same for an option that is not set. The place is where its service's options are, or should
 * be. */
int config_option_missing(const struct config *config, const struct config_service *service,
                          const char *name, const char *what, struct error_list *errors);

/* The directory that a relative path in this option is relative to; option NULL: a path in a
 * default. Returns NULL if there is no such directory. */
const char *config_option_base(const struct config *config, const struct config_service *service,
                               const struct config_option *option);

/* A copy of the file as it was read, for config_request.copy_fd of another process: a descriptor
 * (close-on-exec); 0: there is no file; -1 and errno. */
int config_copy(const struct config *config);

/* Whether other users can read the file. */
bool config_is_seen_by_others(const struct config *config);

/* --print-config, for a request with that option, and --print-schema. Both write to stdout. */
void config_print(const struct config *config);
int config_print_schema(struct error *error);

#endif
