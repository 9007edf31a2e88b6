/* jansson, as librpd uses it: loaded when a configuration file is read, otherwise once the
 * endpoints are up (late_library.h). The names below stand for the entries of the table. */
#ifndef FRAMEWORK_LIBJANSSON_H
#define FRAMEWORK_LIBJANSSON_H

#include "base/error.h"
#include "library/late_library.h"

#include <jansson.h>

/* clang-format off */
#define LIBJANSSON_FUNCTIONS(X) \
    X(json_array) X(json_array_append_new) X(json_array_get) X(json_array_set_new) \
    X(json_array_size) X(json_delete) X(json_dumpf) X(json_dumps) X(json_false) X(json_integer) \
    X(json_integer_value) X(json_loadb) X(json_loads) X(json_number_value) X(json_object) \
    X(json_object_get) X(json_object_iter) X(json_object_iter_key) X(json_object_iter_next) \
    X(json_object_iter_value) X(json_object_key_to_iter) X(json_object_seed) \
    X(json_object_set_new) X(json_object_size) X(json_object_update) X(json_pack) \
    X(json_real_value) X(json_string) X(json_string_length) X(json_string_nocheck) \
    X(json_string_value) X(json_true)
/* clang-format on */

struct libjansson {
    LIBJANSSON_FUNCTIONS(LATE_FUNCTION)
};

extern struct libjansson libjansson;

/* [start] Call this before any of the functions. */
int libjansson_load(struct error *error);

/* [start] Calls late_library_lend(). Returns the library's name, or NULL. */
const char *libjansson_lend(const char *dlopen_error);

/* jansson.h itself calls json_delete(), so that is a function: see libjansson.c. */
#define json_array(...) libjansson.json_array(__VA_ARGS__)
#define json_array_append_new(...) libjansson.json_array_append_new(__VA_ARGS__)
#define json_array_get(...) libjansson.json_array_get(__VA_ARGS__)
#define json_array_set_new(...) libjansson.json_array_set_new(__VA_ARGS__)
#define json_array_size(...) libjansson.json_array_size(__VA_ARGS__)
#define json_dumpf(...) libjansson.json_dumpf(__VA_ARGS__)
#define json_dumps(...) libjansson.json_dumps(__VA_ARGS__)
#define json_false(...) libjansson.json_false(__VA_ARGS__)
#define json_integer(...) libjansson.json_integer(__VA_ARGS__)
#define json_integer_value(...) libjansson.json_integer_value(__VA_ARGS__)
#define json_loadb(...) libjansson.json_loadb(__VA_ARGS__)
#define json_loads(...) libjansson.json_loads(__VA_ARGS__)
#define json_number_value(...) libjansson.json_number_value(__VA_ARGS__)
#define json_object(...) libjansson.json_object(__VA_ARGS__)
#define json_object_get(...) libjansson.json_object_get(__VA_ARGS__)
#define json_object_iter(...) libjansson.json_object_iter(__VA_ARGS__)
#define json_object_iter_key(...) libjansson.json_object_iter_key(__VA_ARGS__)
#define json_object_iter_next(...) libjansson.json_object_iter_next(__VA_ARGS__)
#define json_object_iter_value(...) libjansson.json_object_iter_value(__VA_ARGS__)
#define json_object_key_to_iter(...) libjansson.json_object_key_to_iter(__VA_ARGS__)
#define json_object_seed(...) libjansson.json_object_seed(__VA_ARGS__)
#define json_object_set_new(...) libjansson.json_object_set_new(__VA_ARGS__)
#define json_object_size(...) libjansson.json_object_size(__VA_ARGS__)
#define json_object_update(...) libjansson.json_object_update(__VA_ARGS__)
#define json_pack(...) libjansson.json_pack(__VA_ARGS__)
#define json_real_value(...) libjansson.json_real_value(__VA_ARGS__)
#define json_string(...) libjansson.json_string(__VA_ARGS__)
#define json_string_length(...) libjansson.json_string_length(__VA_ARGS__)
#define json_string_nocheck(...) libjansson.json_string_nocheck(__VA_ARGS__)
#define json_string_value(...) libjansson.json_string_value(__VA_ARGS__)
#define json_true(...) libjansson.json_true(__VA_ARGS__)

#endif
