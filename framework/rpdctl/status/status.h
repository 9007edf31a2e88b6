/* What `rpdctl status` knows of services, and the forms in which it prints that. */
#ifndef FRAMEWORK_RPDCTL_STATUS_H
#define FRAMEWORK_RPDCTL_STATUS_H

#include "base/directory.h"
#include "base/error.h"
#include "observe/history_view.h"
#include "observe/instance.h"
#include "observe/state_view.h"

#include <stdint.h>
#include <stdio.h>

struct status_row {
    char directory[RUNTIME_PATH_MAX]; /* its run-time directory */
    struct instance instance;
    struct history_entry
        end; /* of that process, if it is dead, else the last one; all zero: none */
    struct rpd_state_page next; /* of the generation that loads beside it */
    bool has_next;
    bool is_old; /* the program that it runs was replaced, or removed, since it began */
    bool is_gone[RECORD_VIEW_ENDPOINTS]; /* the unix path of that endpoint is not there */
};

struct status {
    struct status_row *rows;
    size_t count;
    bool is_of_all_users; /* rows of several directories, one after the other */
    uint64_t now_us;      /* when it was looked, of CLOCK_MONOTONIC */
    uint64_t boot_ms;     /* the same, since boot */
    int64_t time_s;       /* the same, of CLOCK_REALTIME */
    long ticks_a_second;  /* of start times */
};

/* Reads the state of one service, even if it does not exist, or (NULL) of all services that run or
 * were left by a crash. runtime_dirfd: -1 if there is no such directory. 0, or -1 and errno;
 * status_finish() is due. */
int status_read(const char *runtime_dir, int runtime_dirfd, const char *service,
                struct status *ret);

/* Reads the state of all services in all directories that this user may look into: /run/rpd and the
 * like, those of users, and the one that directory_runtime_path() names. A directory that cannot be
 * trusted is reported, and left out. */
int status_read_all_users(struct status *ret);
void status_finish(struct status *status);

/* Whether the service's times are of this system's clock, in this boot. */
bool status_knows_times(const struct instance *instance);

/* How long the process runs, in milliseconds; 0: not known. */
uint64_t status_uptime_ms(const struct status *status, const struct instance *instance);

/* Prints a line for each service, or all about one service. */
void status_print_table(const struct status *status, FILE *to);
void status_print_detail(const struct status *status, const struct status_row *row, FILE *to);

/* The error: no jansson, or no memory. */
int status_print_json(const struct status *status, FILE *to, struct error *error);

#endif
