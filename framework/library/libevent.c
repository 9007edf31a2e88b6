/* Loads libevent. See libevent.h. */
#include "library/libevent.h"

#include "library/late_library.h"

struct libevent libevent;

static const char *const names[] = {LIBEVENT_FUNCTIONS(LATE_NAME)};
static struct late_library library = {
    .file = RPD_LIBEVENT_SONAME,
    .name = "libevent 2.1",
    .functions = names,
    .function_count = sizeof names / sizeof *names,
    .table = &libevent,
};

int libevent_load(struct error *error)
{
    return late_library_load(&library, error);
}

const char *libevent_lend(const char *dlopen_error)
{
    return late_library_lend(&library, dlopen_error) ? library.name : NULL;
}
