/* Files of the run-time directory that are mapped for the process's life, for pages that others
 * read. Their blocks are allocated, so that no store can meet a full disk; a file that is cut off
 * by others is replaced by memory when the SIGBUS comes; and a file can be made anew below a map
 * that stays where it is, as all threads have pointers to it. */
#ifndef FRAMEWORK_MAPPING_H
#define FRAMEWORK_MAPPING_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* [start][loop] Maps so many bytes of the file, which it makes that long. NULL and errno. */
void *mapping_make(int fd, size_t size);

/* [start] From now on a SIGBUS there is ours; and no more. size: of the map. */
void mapping_note(void *map, size_t size);
void mapping_forget(const void *map);

/* [any], async-signal-safe. A SIGBUS is that of a map whose file was cut off: from now on there is
 * memory in its place, all zero. */
bool mapping_take_signal(siginfo_t *info, void *context);

/* [start][loop] Memory of its own, all zero, in place of what is mapped there. */
bool mapping_put_memory_at(void *map, size_t size);

/* [start][loop] The file takes the place of what is mapped there, and gets what that has, word by
 * word: other threads write to it. What they store at that very moment may be lost. */
bool mapping_move_to(void *map, size_t size, int fd);

/* [any] Word by word; size is a multiple of 8. */
void mapping_copy(void *to, const void *from, size_t size);

#endif
