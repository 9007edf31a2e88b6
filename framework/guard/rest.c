/* The loop's rest. See rest.h. */
#include "guard/rest.h"

struct rest rest;

bool rest_begin(void (*ended)(void *arg), void *arg)
{
    if (atomic_load(&rest.is_forbidden))
        return false;
    rest.ended = ended;
    rest.arg = arg;
    rest.is_on = true;
    return true;
}

void rest_forget(void)
{
    rest.is_on = false;
}

void rest_end_it(void)
{
    rest.is_on = false;
    rest.ended(rest.arg);
}

void rest_forbid(void)
{
    atomic_store(&rest.is_forbidden, true);
}
