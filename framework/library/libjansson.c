/* Loads jansson. See libjansson.h. */
#include "library/libjansson.h"

#include <stdint.h>
#include <sys/random.h>

struct libjansson libjansson;

static const char *const names[] = {LIBJANSSON_FUNCTIONS(LATE_NAME)};
static struct late_library library = {
    .file = RPD_LIBJANSSON_SONAME,
    .name = "jansson 2.14",
    .functions = names,
    .function_count = sizeof names / sizeof *names,
    .table = &libjansson,
};

/* json_decref() is inline in jansson.h and calls this function. It is hidden: only librpd uses
 * it. */
void json_delete(json_t *json)
{
    libjansson.json_delete(json);
}

/* jansson would open /dev/urandom for its first object, which costs more than everything else
 * here. */
static void seed_objects(void)
{
    size_t seed = 0;

    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed || seed == 0)
        seed = 1 + (size_t)&seed; /* early in the boot only the address varies */
    json_object_seed(seed);
}

int libjansson_load(struct error *error)
{
    if (library.handle)
        return 0;
    if (late_library_load(&library, error) < 0)
        return -1;
    seed_objects();
    return 0;
}

const char *libjansson_lend(const char *dlopen_error)
{
    return late_library_lend(&library, dlopen_error) ? library.name : NULL;
}
