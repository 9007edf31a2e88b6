/* Judges a plugin as a file, before any of its code can run: is it a shared
 * object of this machine that carries rpd's note, and of which ABI?
 *
 * Invariants: the file is only read, with pread, from the descriptor that the
 * caller holds; nothing is executed or mapped (a mapped file that is truncated
 * under us would be a SIGBUS). No length in the file is believed before it is
 * checked against the file's size, nothing is allocated, and the work is
 * bounded whatever the file says. Runs before the sockets are bound, so it is
 * two system calls for a usual plugin: fstat, and a read of the first 4 KiB. */
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

/* [start] 0, or -1 with the error filled: 65 for all that is wrong with the
 * file, 71 if the system cannot read it. path is only named in messages. The
 * descriptor's offset is not moved. */
int elf_read_plugin(int fd, const char *path, struct elf_plugin *ret, struct error *error);

#endif
