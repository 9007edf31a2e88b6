/* The descriptors that this process has open. Listed twice and compared: what
 * foreign code has opened and left, and what it has closed or replaced. */
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
    } * list; /* by ascending number */
    size_t count;
};

/* [any] Lists what is open, but for what it needs itself. 0, to be freed; -1 and
 * errno. */
int descriptors_list(struct descriptors *ret);
void descriptors_free(struct descriptors *list);

/* [any] How many are open; 0: it cannot be seen. */
size_t descriptors_count(void);

/* [start] Whether this one is in the list, by its number. */
bool descriptors_have(const struct descriptors *list, int fd);

/* [start] Closes all from the first to the last: by close_range(), where a sandbox denies that one
 * by one. */
void descriptors_close(unsigned first, unsigned last);

/* [start] Makes the kernel's table of this process large enough for `count` descriptors, or for as
 * many as the limit allows. A process with threads must not leave that to accept(): to enlarge a
 * table that threads share, the kernel waits until no processor looks at the old one, 10 to 20 ms
 * for each doubling. Before the first thread it takes microseconds. */
void descriptors_make_room(unsigned count);

/* [any] What it is: "descriptor 7, socket:[4711]"; its number alone if that is not
 * known. */
void descriptors_describe(int fd, char *ret_text, size_t size);

enum descriptors_change { DESCRIPTORS_SAME, DESCRIPTORS_LEFT_OPEN, DESCRIPTORS_CLOSED };

/* [start] The first difference, and what the descriptor is, as above. But for one,
 * which may be new. */
enum descriptors_change descriptors_compare(const struct descriptors *before,
                                            const struct descriptors *after, int except,
                                            char *ret_what, size_t size);

#endif
