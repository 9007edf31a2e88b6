/* Judges a plugin as a file, before any of its code can run: whether it is a shared
 * object of this machine that carries rpd's note, and of which ABI.
 *
 * Invariants: the file is only read, with pread, from the descriptor that the caller
 * holds. Nothing is executed or mapped; a mapped file that is truncated meanwhile
 * would cause a SIGBUS. Each length in the file is checked against the file's size
 * before it is used. Nothing is allocated, and the work is bounded regardless of the
 * file's content. This runs before the sockets are bound, so it needs only two system
 * calls for a typical plugin: fstat, and a read of the first 4 KiB. */
#ifndef FRAMEWORK_ELF_PLUGIN_H
#define FRAMEWORK_ELF_PLUGIN_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct elf_plugin {
    uint32_t abi;
    bool has_own_bind; /* RPD_BACKEND_BIND: its endpoints are bound by its own code */
    char backend[64];  /* [a-z0-9][a-z0-9_-]{0,62} */
};

/* [start] Returns 0, or -1 with the error filled: 65 for any defect of the file, 71
 * if the system cannot read it. path is only used in messages. The descriptor's
 * offset is not moved. */
int elf_read_plugin(int fd, const char *path, struct elf_plugin *ret, struct error *error);

#endif
