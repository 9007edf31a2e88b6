/* Loads libevent. See libevent.h. */
#include "libevent.h"

#include <dlfcn.h>
#include <stddef.h>

struct libevent libevent;

struct entry {
    const char *name;
    size_t offset;
};

static const struct entry entries[] = {
#define LIBEVENT_OFFSET(function) {#function, offsetof(struct libevent, function)},
    LIBEVENT_FUNCTIONS(LIBEVENT_OFFSET)
#undef LIBEVENT_OFFSET
};

int libevent_load(struct error *error)
{
    void *library = dlopen(RPD_LIBEVENT_SONAME, RTLD_NOW | RTLD_GLOBAL);

    if (!library)
        return error_set(error, EXIT_SYSTEM, "code", RPD_LIBEVENT_SONAME,
                         "cannot load it: %s; install libevent", dlerror());
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        void *function = dlsym(library, entries[i].name);

        if (!function)
            return error_set(error, EXIT_SYSTEM, "code", RPD_LIBEVENT_SONAME,
                             "it has no %s; install libevent 2.1", entries[i].name);
        *(void **)((char *)&libevent + entries[i].offset) = function;
    }
    return 0;
}
