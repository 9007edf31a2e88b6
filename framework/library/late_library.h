/* A library that is loaded late: not by the loader at the start of rpd, but when
 * it is first needed.
 *
 * librpd does not name such a library among what it needs. To map it and to bind
 * its symbols takes about a tenth of the time from exec to bind, and no client
 * should wait for what only comes later. Its functions are called through a
 * table of pointers, which libevent.h and libjansson.h make from a list of names;
 * there each name stands for the table's entry, and one that is missing in the
 * list fails to link.
 *
 * Its names are its own: a plugin that has functions of the same names calls
 * its own, and one that calls the library is linked with it. For plugins that are
 * not, the library can be lent. */
#ifndef FRAMEWORK_LATE_LIBRARY_H
#define FRAMEWORK_LATE_LIBRARY_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct late_library {
    const char *file; /* its soname */
    const char *name; /* what to install where it is missing */
    const char *const *functions;
    size_t function_count;
    void *table; /* of pointers, in the order of their names */
    void *handle;
    bool is_lent;
};

/* For the lists: the table's member of a function, and its name. */
/* The name of a member takes no parentheses. */
/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define LATE_FUNCTION(function) __typeof__(&function) function;
#define LATE_NAME(function) #function,

/* [start] Fills the table, if that is not done yet. 71 where it cannot be loaded. */
int late_library_load(struct late_library *library, struct error *error);

/* [start] Where an error of dlopen() names a function of the library: from now on
 * whatever is opened finds the library's functions. Whether that is new. */
bool late_library_lend(struct late_library *library, const char *dlopen_error);

#endif
