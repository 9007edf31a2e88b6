/* Spare descriptors. See spares.h. */
#include "control/spares.h"

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

void spares_init(struct spares *spares)
{
    for (size_t i = 0; i < SPARES_MAX; i++)
        spares->fds[i] = -1;
}

void spares_refill(struct spares *spares)
{
    for (size_t i = 0; i < SPARES_MAX; i++)
        if (spares->fds[i] < 0)
            spares->fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool spares_give(struct spares *spares)
{
    for (size_t i = 0; i < SPARES_MAX; i++) {
        if (spares->fds[i] < 0)
            continue;
        close(spares->fds[i]);
        spares->fds[i] = -1;
        return true;
    }
    return false;
}

void spares_close(struct spares *spares)
{
    while (spares_give(spares))
        continue;
}
