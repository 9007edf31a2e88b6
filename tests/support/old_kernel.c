/* To be preloaded: a kernel from before Linux 5.9, or a sandbox that does not know the call. */
#include <errno.h>

__attribute__((visibility("default"))) int close_range(unsigned first, unsigned last, int flags);

int close_range(unsigned first, unsigned last, int flags)
{
    (void)first;
    (void)last;
    (void)flags;
    errno = ENOSYS;
    return -1;
}
