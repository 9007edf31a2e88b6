/* The state page of one service, from the side that writes it. What is in it,
 * and how others read it, is in rpd/state.h.
 *
 * Every store is relaxed and atomic: each number is valid by itself. What has
 * no setter here is stored in page->map directly, in the same way. */
#ifndef FRAMEWORK_STATE_PAGE_H
#define FRAMEWORK_STATE_PAGE_H

#include <rpd/state.h>

#include "base/error.h"
#include "publish/whole_file.h"

#include <stdbool.h>
#include <stddef.h>

/* A copy of what is used of a page: its head, and the parts that the load has. */
struct state_copy {
    struct rpd_state_page *page; /* only its first size bytes are there; NULL: no memory */
    size_t size, room;
};

struct state_page {
    /* Never NULL after state_page_init(): while there is no file, it is memory
     * without a reader, so that no writer must ask. */
    struct rpd_state_page *map;
    struct whole_file file;
    struct state_copy shadow; /* what was in it when it was last whole */
    struct state_copy spare;  /* for the next shadow */
    bool keeps_fd;            /* set before it is created: the file stays open, as... */
    int fd;                   /* ...this; -1: it is not */
};

struct state_page_identity {
    const char *service;
    const char *boot_id; /* as /proc has it; "": not known */
    unsigned long long start_time;
    uint64_t bound_us;
    enum rpd_warmup warmup;
    bool is_next; /* of a generation that loads beside this one: SERVICE.next.state */
};

/* [start] */
void state_page_init(struct state_page *page);

/* [start] SERVICE.state, which appears whole, with phase STARTING. Its blocks
 * are allocated: no later store can meet a full disk, which would be a SIGBUS.
 * 73, or 71 for want of memory or descriptors. */
int state_page_create(struct state_page *page, int dirfd, const char *directory,
                      const struct state_page_identity *identity, struct error *error);

/* [start][loop] The page is the keeper's, which made it, heals it and removes it; the file's
 * descriptor stays the caller's. Again, after it was healed: the place of the page stays. 0, or -1
 * and errno. */
int state_page_follow(struct state_page *page, int fd);

/* [start] When no other thread writes to it any more. Legal at any time. A process that
 * has it mapped sees the phase STOPPED. */
void state_page_remove(struct state_page *page);

/* [loop] From time to time: keeps what is in the page. False: the file is not there, or another
 * program has cut it off or emptied it, and it must be healed. */
bool state_page_keep(struct state_page *page);

/* [loop] Makes the file again if it was removed or damaged. 1: that was so; -1: and it
 * cannot be. map stays where it is; what other threads store in it at that very
 * moment may be lost. */
int state_page_heal(struct state_page *page);

/* [loop] The page of the next generation becomes the service's own, in the place of the one that it
 * has: next is empty then, and so is a page that could not be renamed. */
void state_page_take_over(struct state_page *page, struct state_page *next);

/* [start] Removes what killed starts of this service left beside its page. */
void state_page_sweep(const struct state_page *page);

/* [start][loop] The page has the time of the first READY. */
void state_page_set_phase(struct state_page *page, enum rpd_phase phase, uint64_t now_us);

/* [start][loop] What it shows. */
enum rpd_phase state_page_phase(const struct state_page *page);
void state_page_copy(const struct state_page *page, struct rpd_state_page *ret);

/* [start][loop] The loop has turned, by so much later than it was meant to. */
void state_page_turn(struct state_page *page, uint64_t now_us, uint64_t late_us);

/* [start][loop] The loop rests from now on; and it goes on. */
void state_page_rest(struct state_page *page, uint64_t now_us);
void state_page_wake(struct state_page *page, uint64_t now_us);

/* [loop] One more slow callback, and where it was. What does not fit is cut off. */
void state_page_slow(struct state_page *page, uint64_t took_us, const char *where);

/* [any] One more error, and what it is. What does not fit is cut off. */
void state_page_error(struct state_page *page, const char *text);

#endif
