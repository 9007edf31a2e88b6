/* The descriptors that this process has open. Two lists, compared, show what foreign code has left
 * open, closed or replaced. */
#ifndef FRAMEWORK_DESCRIPTORS_H
#define FRAMEWORK_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct descriptors {
    struct descriptor {
        int fd;
        mode_t mode;
        dev_t device;
        ino_t inode;
    } * list; /* in ascending order */
    size_t count;
};

/* [any] Lists the open descriptors, except the one used for listing. Returns 0, and the caller
 * frees the list; or -1 and errno. */
int descriptors_list(struct descriptors *ret);
void descriptors_free(struct descriptors *list);

/* [any] How many are open; 0: unknown. */
size_t descriptors_count(void);

/* [start] Whether the list has a descriptor with this number. */
bool descriptors_have(const struct descriptors *list, int fd);

/* [start] Closes all descriptors from first to last: with close_range() or, where a sandbox denies
 * it, one by one. */
void descriptors_close(unsigned first, unsigned last);

/* [start] Makes the kernel's table of this process large enough for `count` descriptors, or for as
 * many as the limit allows. A process with threads must not leave that to accept(): to enlarge a
 * table that threads share, the kernel waits until no processor looks at the old one, 10 to 20 ms
 * for each doubling. Before the first thread it takes microseconds. */
void descriptors_make_room(unsigned count);

/* [any] Describes a descriptor: "descriptor 7, socket:[4711]", or its number alone if nothing else
 * is known. */
void descriptors_describe(int fd, char *ret_text, size_t size);

enum descriptors_change { DESCRIPTORS_SAME, DESCRIPTORS_LEFT_OPEN, DESCRIPTORS_CLOSED };

/* [start] Finds the first difference, and describes that descriptor as above. except: a descriptor
 * that may be new. */
enum descriptors_change descriptors_compare(const struct descriptors *before,
                                            const struct descriptors *after, int except,
                                            char *ret_what, size_t size);

#endif
