/* A file of the run-time directory that appears whole, or not at all, and that
 * goes when its maker goes. It is filled under a private name,
 * .NAME.PID.tmp, and then renamed, over what a killed process may have left
 * there. Only the holder of the service's lock makes one. */
#ifndef FRAMEWORK_WHOLE_FILE_H
#define FRAMEWORK_WHOLE_FILE_H

#include "guard/residue.h"

#include <limits.h>
#include <stdbool.h>

struct whole_file {
    int dirfd; /* the run-time directory; not ours */
    char name[NAME_MAX + 1];
    struct residue *residue; /* NULL: there is none */
};

/* [start][loop] A descriptor of the empty file (0644, read and write), for the caller
 * to fill and to close. No reader finds the file before whole_file_show() has
 * given it its name. Both: -1 and errno; whole_file_remove() is then due. */
int whole_file_create(struct whole_file *file, int dirfd, const char *name);
int whole_file_show(struct whole_file *file);

/* [loop] It was neither removed nor replaced. */
bool whole_file_is_there(const struct whole_file *file);

/* [loop] Keeps it from cleaners of unused files. */
void whole_file_touch(const struct whole_file *file);

/* [loop] Another has been made in its place, after it was removed. */
void whole_file_replace(struct whole_file *file, const struct whole_file *by);

/* [start] Whichever of the two names it has. Legal at any time. */
void whole_file_remove(struct whole_file *file);

/* [start] Removes the private files that killed starts left. */
void whole_file_sweep(const struct whole_file *file);

#endif
