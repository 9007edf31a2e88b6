/* Residue: the files that this process has made and must take away again.
 *
 * The ordinary stop removes each where it was made. But a start that hangs is
 * ended by the watchdog, a plugin may call exit(), a second SIGINT ends the
 * process at once: all of them from some other thread or a signal handler,
 * and none may leave a socket or a record behind. They call residue_remove().
 *
 * A file is only removed while it is still the one that was made. Entries are
 * never freed, so that a signal handler can walk them at any time; that is a
 * few hundred bytes a socket. One that is forgotten is used for another file. */
#ifndef FRAMEWORK_RESIDUE_H
#define FRAMEWORK_RESIDUE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

struct residue;

/* [start][loop] Before the file is made, under a private name: the prefix, our pid and ".tmp".
 * The caller holds the lock whose holder alone makes such files; one that a killed start with our
 * pid left is removed. dirfd stays open as long as the entry is active. NULL: no memory. */
struct residue *residue_add(int dirfd, const char *prefix, char ret_name[NAME_MAX + 1]);

/* [start][loop] It is made, and this is it. Before it gets a name that others
 * may give to files, too. */
void residue_identify(struct residue *residue, const struct stat *status);

/* [start][loop] Renames the file, so that at no time it has a name which the entry does not know.
 * flags: renameat2()'s. 0, or -1 and errno: it has its old name. */
int residue_rename(struct residue *residue, const char *name, unsigned flags);

/* [start][loop] The file is gone, or has been replaced by what its own entry
 * names. NULL is legal. */
void residue_forget(struct residue *residue);

/* [start][loop] Under the name that it has now there is still the file that was
 * made. */
bool residue_is_there(const struct residue *residue);

/* [loop] The maker moves to another directory, whose descriptor will have this number: the files of
 * the old one are removed, and none is there any more. */
void residue_leave(int dirfd);

/* [any], async-signal-safe. Removes one, if it is still what was made; NULL is
 * legal. Removes all. */
void residue_remove_one(struct residue *residue);
void residue_remove(void);

/* [any] residue_remove() has been called: the process is about to end, on some
 * other thread, and nothing that is found missing shall be made again. */
bool residue_is_ending(void);

/* [start] Removes from a directory what killed starts left there: all private names with this
 * prefix, but keep. The caller holds that lock. */
void residue_sweep(int dirfd, const char *prefix, const char *keep);

/* [start] Around many sweeps: each directory is then read once for all of them. */
void residue_sweep_begin(void);
void residue_sweep_end(void);

#endif
