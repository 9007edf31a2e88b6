/* The filters of the seal: which system calls a bind may make, as programs for the
 * kernel (seccomp). Only where there is libseccomp at build time. */
#ifndef FRAMEWORK_SEAL_FILTER_H
#define FRAMEWORK_SEAL_FILTER_H

#include "base/error.h"
#include "config/config.h"

/* [start] Makes the filter of this mode, once: what is not allowed is a SIGSYS, or for
 * SEAL_LOG a question to the listener. */
int seal_filter_prepare(enum config_seal mode, struct error *error);

/* [start] Puts the calling thread under it, for its life. For SEAL_LOG the descriptor of
 * the listener, else 0; -1 and errno. */
long seal_filter_install(enum config_seal mode);

/* [start] After one was prepared: what the system call is named, to be freed; NULL if that
 * is not known. */
char *seal_filter_call_name(int call);

#endif
