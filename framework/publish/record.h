/* The record: SERVICE.json in the run-time directory says what runs where. It
 * is written after bind and before serve, and removed at stop. It informs
 * others; the locks decide. */
#ifndef FRAMEWORK_RECORD_H
#define FRAMEWORK_RECORD_H

#include "base/error.h"
#include "publish/whole_file.h"

#include <stddef.h>

struct record {
    struct whole_file file;
    char *text; /* what is in it */
};

struct record_content {
    const char *service, *plugin;
    const char *config; /* absolute path, or NULL */
    const char *config_digest;
    const char *log;     /* output_place() */
    const char *control; /* absolute path of the control socket */
    const char **endpoints;
    size_t endpoint_count;
    const char *boot_id;
    unsigned long long start_time;
};

/* [start][loop] Appears whole, or not at all (73): then one that was written before stays. */
int record_write(struct record *record, int dirfd, const char *directory,
                 const struct record_content *content, struct error *error);
void record_remove(struct record *record);

/* [loop] Writes it again if it was removed. 1: that was so; -1: and it
 * cannot be. */
int record_heal(struct record *record);

/* [start] Removes what killed starts of this service left beside its record. */
void record_sweep(const struct record *record);

/* [start] Which of all recorded services has this endpoint, as "service NAME,
 * pid N"; "" if none says so. */
void record_find(int dirfd, const char *endpoint, char *ret_who, size_t room);

#endif
