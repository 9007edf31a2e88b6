/* Loads libraries late. See late_library.h. */
#include "library/late_library.h"

#include <dlfcn.h>

int late_library_load(struct late_library *library, struct error *error)
{
    void *handle;

    if (library->handle)
        return 0;
    handle = dlopen(library->file, RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        return error_set(error, EXIT_SYSTEM, "code", library->file,
                         "cannot load it: %s; install %s", dlerror(), library->name);
    for (size_t i = 0; i < library->function_count; i++) {
        void *function = dlsym(handle, library->functions[i]);

        if (!function)
            return error_set(error, EXIT_SYSTEM, "code", library->file,
                             "it has no %s; install a newer %s", library->functions[i],
                             library->name);
        ((void **)library->table)[i] = function;
    }
    library->handle = handle;
    return 0;
}
