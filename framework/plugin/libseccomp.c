/* libseccomp. See libseccomp.h. */
#include "plugin/libseccomp.h"

struct libseccomp libseccomp;

int libseccomp_load(struct error *error)
{
    static const char *const names[] = {LIBSECCOMP_FUNCTIONS(LATE_NAME)};
    static struct late_library library = {
        .file = RPD_LIBSECCOMP_SONAME,
        .name = "libseccomp 2.5",
        .functions = names,
        .function_count = sizeof names / sizeof *names,
        .table = &libseccomp,
    };

    return late_library_load(&library, error);
}
