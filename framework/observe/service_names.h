/* The services that have left something in the run-time directory. libc only: readers
 * that are no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_SERVICE_NAMES_H
#define FRAMEWORK_SERVICE_NAMES_H

#include <stddef.h>

struct service_names {
    char (*names)[64]; /* sorted */
    size_t count;
};

/* [any] Of every record, state page and lock; locks stay for ever, so not all of
 * these run. 0, or -1 and errno. service_names_finish() is due. */
int service_names_read(int runtime_dirfd, struct service_names *ret);

/* [any] Legal on one that is all zero. */
void service_names_finish(struct service_names *names);

#endif
