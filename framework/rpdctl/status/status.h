/* What `rpdctl status` knows of services, and the forms that it has for that. */
#ifndef FRAMEWORK_RPDCTL_STATUS_H
#define FRAMEWORK_RPDCTL_STATUS_H

#include "base/directory.h"
#include "base/error.h"
#include "observe/history_view.h"
#include "observe/instance.h"

#include <stdint.h>
#include <stdio.h>

struct status_row {
    char directory[RUNTIME_PATH_MAX]; /* its run-time directory */
    struct instance instance;
    struct history_entry
        end;     /* of that process, if it is dead, else the last one; all zero: none */
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

/* Of one service, be it not there, or (NULL) of all that run or were left by a crash.
 * runtime_dirfd: -1 if there is no such directory. 0, or -1 and errno; status_finish()
 * is due. */
int status_read(const char *runtime_dir, int runtime_dirfd, const char *service,
                struct status *ret);

/* Of all services in all directories that this user may look into: /run/rpd and the like, those of
 * users, and the one where directory_runtime_path() says. One that is not to be believed is
 * reported, and left out. */
int status_read_all_users(struct status *ret);
void status_finish(struct status *status);

/* Whether its times are of our clock, in this boot. */
bool status_knows_times(const struct instance *instance);

/* How long the process runs, in milliseconds; 0: not known. */
uint64_t status_uptime_ms(const struct status *status, const struct instance *instance);

/* A line a service; all of one. */
void status_print_table(const struct status *status, FILE *to);
void status_print_detail(const struct status *status, const struct status_row *row, FILE *to);

/* The error: no jansson, or no memory. */
int status_print_json(const struct status *status, FILE *to, struct error *error);

#endif
