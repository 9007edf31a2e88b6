/* From an address in the code to text that a person can use:
 *     on_data+0x1f (echo.so)     or, where no symbol covers it,     echo.so+0x1234
 *
 * Invariants: all of it is async-signal-safe, for the crash handler: no malloc,
 * no stdio, no locks, no dladdr. It touches memory of loaded objects only
 * within their mapping. Their files, which may be anything by now, are only
 * read with pread: a mapped file that was truncated would be a second crash. */
#ifndef FRAMEWORK_SYMBOL_H
#define FRAMEWORK_SYMBOL_H

#include "base/text_builder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How to look. */
enum {
    SYMBOL_RETURN_ADDRESS = 1, /* the code is before the address, not at it */
    SYMBOL_NO_FILES = 2        /* from memory alone: quick, but static functions have no name */
};

struct symbol {
    const char *object;        /* path, or name, of the object; the loader's own string */
    bool is_program;           /* the object is the program, not a library */
    char function[128];        /* "" if no symbol covers the address */
    uintptr_t function_offset; /* from the function */
    uintptr_t object_offset;   /* from the object's load address */
};

/* [any] False if the address is in no loaded object. */
bool symbol_find(uintptr_t address, unsigned how, struct symbol *ret);

/* [any] Identity of the object that an address is in; NULL if there is none. */
const void *symbol_object(uintptr_t address);

/* [any] The file's name in a path. */
const char *symbol_base_name(const char *path);

/* [any] Appends the address as text; as a bare number if nothing is known of it. */
void symbol_add(struct text_builder *text, uintptr_t address, unsigned how);

#endif
