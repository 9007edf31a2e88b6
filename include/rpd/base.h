/* The basis of every public header: visibility, checked calls, and the two
 * small types that several of them share. */
#ifndef RPD_BASE_H
#define RPD_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
#define RPD_BEGIN extern "C" {
#define RPD_END }
#else
#define RPD_BEGIN
#define RPD_END
#endif

#define RPD_API __attribute__((visibility("default")))
#define RPD_PRINTF(at, first) __attribute__((format(printf, at, first)))
#define RPD_MUST_CHECK __attribute__((warn_unused_result))

/* The contract lives in the types: a bind that asks for a service, a callback
 * of the wrong shape or an option read through an endpoint must not compile.
 * C only warns about such pointers, so from here on they are errors; in C++ they
 * always are. */
#ifndef __cplusplus
#pragma GCC diagnostic error "-Wincompatible-pointer-types"
#pragma GCC diagnostic error "-Wint-conversion"
#pragma GCC diagnostic error "-Wimplicit-function-declaration"
#endif

RPD_BEGIN

/* One configured instance of a backend. See service.h. */
struct rpd_service;

/* Bytes that the caller does not own. Not NUL-terminated. */
struct rpd_span {
    const char *data;
    size_t size;
};

RPD_END
#endif
