/* Residue: the files that this process has created and must remove again.
 *
 * In an ordinary stop, the code that created a file removes it. But the watchdog
 * ends a start that hangs, a plugin may call exit(), and a second SIGINT ends the
 * process at once. All of these happen in another thread or a signal handler, and
 * none may leave a socket or a record behind. They call residue_remove().
 *
 * A file is removed only while it is still the one that was created. Entries are
 * never freed, so that a signal handler can walk them at any time; this costs a
 * few hundred bytes per socket. A forgotten entry is reused for another file. */
#ifndef FRAMEWORK_RESIDUE_H
#define FRAMEWORK_RESIDUE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

struct residue;

/* [start][loop] Call before creating the file under a private name: the prefix, our pid and ".tmp".
 * The caller must hold the lock whose holder alone creates such files. A file that a killed start
 * with our pid left is removed. dirfd must stay open as long as the entry is active. NULL: no
 * memory. */
struct residue *residue_add(int dirfd, const char *prefix, char ret_name[NAME_MAX + 1]);

/* [start][loop] Identifies the file, once it exists. Call before the file gets a
 * name that others may give to files, too. */
void residue_identify(struct residue *residue, const struct stat *status);

/* [start][loop] Renames the file, so that it never has a name that the entry does not know. flags:
 * those of renameat2(). Returns 0, or -1 and sets errno; the file then keeps its old name. */
int residue_rename(struct residue *residue, const char *name, unsigned flags);

/* [start][loop] Call when the file is gone, or has been replaced by a file that
 * has an entry of its own. NULL is legal. */
void residue_forget(struct residue *residue);

/* [start][loop] Whether its current name still refers to the file that was
 * created. */
bool residue_is_there(const struct residue *residue);

/* [loop] Call when the owner moves to another directory, whose descriptor will have this number.
 * Removes the files of the old directory, and marks them as gone. */
void residue_leave(int dirfd);

/* [any], async-signal-safe. residue_remove_one() removes one file, if it is still
 * the one that was created; NULL is legal. residue_remove() removes all. */
void residue_remove_one(struct residue *residue);
void residue_remove(void);

/* [any] Whether residue_remove() has been called. The process is then about to end,
 * on another thread, and missing files must not be recreated. */
bool residue_is_ending(void);

/* [start] Removes from a directory what killed starts left there: all private names with this
 * prefix except keep. The caller must hold that lock. */
void residue_sweep(int dirfd, const char *prefix, const char *keep);

/* [start] Call around many sweeps, so that each directory is read only once for all of them. */
void residue_sweep_begin(void);
void residue_sweep_end(void);

#endif
