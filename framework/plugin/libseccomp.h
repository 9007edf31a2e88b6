/* libseccomp, as rpd uses it: loaded late (late_library.h), and only where it is needed.
 * The names below stand for the entries of the table; a program of the build is
 * linked with the library itself. */
#ifndef FRAMEWORK_LIBSECCOMP_H
#define FRAMEWORK_LIBSECCOMP_H

#include <seccomp.h>

#ifndef RPD_LINKED_WITH_LIBSECCOMP

#include "base/error.h"
#include "library/late_library.h"

/* clang-format off */
#define LIBSECCOMP_FUNCTIONS(X) \
    X(seccomp_init) X(seccomp_release) X(seccomp_rule_add_array) X(seccomp_export_bpf) \
    X(seccomp_attr_set) X(seccomp_syscall_resolve_num_arch) X(seccomp_arch_native)
/* clang-format on */

struct libseccomp {
    LIBSECCOMP_FUNCTIONS(LATE_FUNCTION)
};

extern struct libseccomp libseccomp;

/* [start] Before any of them is called. */
int libseccomp_load(struct error *error);

#define seccomp_init(...) libseccomp.seccomp_init(__VA_ARGS__)
#define seccomp_attr_set(...) libseccomp.seccomp_attr_set(__VA_ARGS__)
#define seccomp_release(...) libseccomp.seccomp_release(__VA_ARGS__)
#define seccomp_rule_add_array(...) libseccomp.seccomp_rule_add_array(__VA_ARGS__)
#define seccomp_export_bpf(...) libseccomp.seccomp_export_bpf(__VA_ARGS__)
#define seccomp_syscall_resolve_num_arch(...)                                                      \
    libseccomp.seccomp_syscall_resolve_num_arch(__VA_ARGS__)
#define seccomp_arch_native(...) libseccomp.seccomp_arch_native(__VA_ARGS__)

#endif
#endif
