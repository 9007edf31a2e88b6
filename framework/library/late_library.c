/* Loads libraries late. See late_library.h. */
#include "library/late_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int cannot_load(const struct late_library *library, struct error *error)
{
    const char *cause = dlerror();
    char install[80];

    snprintf(install, sizeof install, "install %s", library->name);
    return error_set(error, EXIT_SYSTEM, "code", library->file, "cannot load it: %s; %s", cause,
                     error_remedy(error_shortage_in(cause), install));
}

int late_library_load(struct late_library *library, struct error *error)
{
    void *handle;

    if (library->handle)
        return 0;
    handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return cannot_load(library, error);
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

/* dlsym() also finds the functions of the libraries that this one needs. */
static bool has_function(const struct late_library *library, const char *name)
{
    const void *function = dlsym(library->handle, name);
    const void *own = ((void *const *)library->table)[0];
    Dl_info of_function, of_own;

    return function && dladdr(function, &of_function) && dladdr(own, &of_own) &&
           of_function.dli_fbase == of_own.dli_fbase;
}

/* The words of dlopen()'s message depend on the locale. So each word is looked up; only the name of
 * a symbol is found in the library. */
static bool names_function(const struct late_library *library, const char *text)
{
    static const char separators[] = " :;,()'\"\t\n";
    char word[256];

    while (*text) {
        const size_t size = strcspn(text, separators);

        if (size > 0 && size < sizeof word) {
            snprintf(word, sizeof word, "%.*s", (int)size, text);
            if (has_function(library, word))
                return true;
        }
        text += size + (text[size] != '\0');
    }
    return false;
}

bool late_library_lend(struct late_library *library, const char *dlopen_error)
{
    struct error error;

    if (library->is_lent || late_library_load(library, &error) < 0 ||
        !names_function(library, dlopen_error))
        return false;
    library->is_lent = dlopen(library->file, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL) != NULL;
    return library->is_lent;
}
