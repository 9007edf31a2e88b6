/* What `rpdctl status` knows of services, and the forms that it has for that. */
#ifndef FRAMEWORK_RPDCTL_STATUS_H
#define FRAMEWORK_RPDCTL_STATUS_H

#include "base/error.h"
#include "observe/history_view.h"
#include "observe/instance.h"

#include <stdint.h>
#include <stdio.h>

struct status_row {
    struct instance instance;
    struct history_entry
        end; /* of that process, if it is dead, else the last one; all zero: none */
    bool is_gone[RECORD_VIEW_ENDPOINTS]; /* the unix path of that endpoint is not there */
};

struct status {
    struct status_row *rows;
    size_t count;
    uint64_t now_us;     /* when it was looked, of CLOCK_MONOTONIC */
    uint64_t boot_ms;    /* the same, since boot */
    int64_t time_s;      /* the same, of CLOCK_REALTIME */
    long ticks_a_second; /* of start times */
};

/* Of one service, be it not there, or (NULL) of all that run or were left by a crash.
 * runtime_dirfd: -1 if there is no such directory. 0, or -1 and errno; status_finish()
 * is due. */
int status_read(int runtime_dirfd, const char *service, struct status *ret);
void status_finish(struct status *status);

/* How long the process runs, in milliseconds; 0: not known. */
uint64_t status_uptime_ms(const struct status *status, const struct instance *instance);

/* A line a service; all of one. */
void status_print_table(const struct status *status, FILE *to);
void status_print_detail(const struct status *status, const struct status_row *row, FILE *to);

/* The error: no jansson, or no memory. */
int status_print_json(const struct status *status, FILE *to, struct error *error);

/* Words for enum rpd_phase, rpd_part_state and rpd_warmup. */
const char *status_phase_text(uint32_t phase);
const char *status_part_text(uint32_t part_state);
const char *status_warmup_text(uint32_t warmup);

#endif
