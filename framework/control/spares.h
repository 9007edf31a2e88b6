/* Spare descriptors: a few that are kept open, and closed when descriptors have run out and one is
 * needed. They belong to one thread. */
#ifndef FRAMEWORK_SPARES_H
#define FRAMEWORK_SPARES_H

#include <stdbool.h>

enum { SPARES_MAX = 4 };

struct spares {
    int fds[SPARES_MAX]; /* -1: closed */
};

void spares_init(struct spares *spares);

/* Opens the missing spares, as many as the limit of descriptors allows. */
void spares_refill(struct spares *spares);

/* Closes one. False: there is none left. */
bool spares_give(struct spares *spares);

void spares_close(struct spares *spares);

#endif
