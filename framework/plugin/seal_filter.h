/* The filters of the seal: the system calls that a bind may make, as programs for the
 * kernel (seccomp). Available only if libseccomp is present at build time. */
#ifndef FRAMEWORK_SEAL_FILTER_H
#define FRAMEWORK_SEAL_FILTER_H

#include "base/error.h"
#include "config/config.h"

/* [start] Makes the filter of this mode, once. A call that is not allowed causes a SIGSYS
 * or, for SEAL_LOG, a question to the listener. */
int seal_filter_prepare(enum config_seal mode, struct error *error);

/* [start] Puts the calling thread under the filter, for its life. Returns the descriptor of
 * the listener for SEAL_LOG, else 0. On failure, returns -1 and sets errno. */
long seal_filter_install(enum config_seal mode);

/* [start] Call after a filter was prepared. Returns the name of the system call, to be freed;
 * NULL if the name is unknown. */
char *seal_filter_call_name(int call);

#endif
