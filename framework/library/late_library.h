/* A library that is loaded late: not by the loader at the start of rpd, but when it is first
 * needed.
 *
 * librpd is not linked with such a library. Mapping it and binding its symbols takes about a tenth
 * of the time from exec to bind, and no client should wait for a library that is only used later.
 * Its functions are called through a table of pointers, which libevent.h and libjansson.h make from
 * a list of names. There each name stands for the table's entry; a function that is missing from
 * the list fails to link.
 *
 * The library's names stay private. A plugin that defines functions of the same names calls its
 * own, and a plugin that calls the library is linked with it. For plugins that call it but are not
 * linked with it, the library can be lent. */
#ifndef FRAMEWORK_LATE_LIBRARY_H
#define FRAMEWORK_LATE_LIBRARY_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct late_library {
    const char *file; /* its soname */
    const char *name; /* what to install if it is missing */
    const char *const *functions;
    size_t function_count;
    void *table; /* pointers, in the order of the names */
    void *handle;
    bool is_lent;
};

/* For the lists: the declaration of a function's table member, and the function's name. */
/* The name of a member cannot be in parentheses. */
/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define LATE_FUNCTION(function) __typeof__(&function) function;
#define LATE_NAME(function) #function,

/* [start] Fills the table, if that is not done yet. 71 if the library cannot be loaded. */
int late_library_load(struct late_library *library, struct error *error);

/* [start] If an error of dlopen() names a function of the library, everything that is opened from
 * now on finds the library's functions. Returns whether that is new. */
bool late_library_lend(struct late_library *library, const char *dlopen_error);

#endif
