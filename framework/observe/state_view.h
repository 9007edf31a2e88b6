/* State pages, from the side that reads them: what a service says of itself,
 * and whether that can be believed. Nothing here asks the service, waits, or
 * takes its lock. libc only: readers that are no part of the daemon are built
 * with it (and with proc.c), too. */
#ifndef FRAMEWORK_STATE_VIEW_H
#define FRAMEWORK_STATE_VIEW_H

#include <rpd/state.h>

#include <stdbool.h>

enum state_verdict {
    STATE_DEAD,
    STATE_STALLED,
    STATE_DRAINING,
    STATE_WARMING,
    STATE_ALIVE,
    STATE_ELSEWHERE /* its lock is held; its process cannot be looked at from here */
};

/* From where a page was written, as seen from here. */
enum state_place {
    STATE_HERE,
    STATE_OTHER_PID_NAMESPACE,
    STATE_OTHER_TIME_NAMESPACE,
    STATE_OTHER_BOOT_ID, /* another /proc, or this machine's earlier life */
    STATE_WITHOUT_PROC   /* /proc is not there, or is that of another pid namespace */
};

/* [any] A copy of the page, in which every text ends, and is free of control
 * bytes, and part_count is no more than RPD_STATE_PARTS. 0, or -1 and errno:
 *   ENOENT   there is no page
 *   EPROTO   what is there is no page (then *ret is all zero), or one of another
 *            layout (then its first 64 bytes are in *ret, and can be judged)
 *   EINVAL   no service can have that name
 * or what open() and pread() say; *ret is all zero. */
int state_view_read(int runtime_dirfd, const char *service, struct rpd_state_page *ret);

/* [any] The page of the generation that loads beside the one that serves; likewise. */
int state_view_read_next(int runtime_dirfd, const char *service, struct rpd_state_page *ret);

/* [any] Whether a service can have that name. */
bool state_view_is_name(const char *name);

/* [any] Opens one of the service's run-time files for reading: nothing that stands
 * there can hold us up, or lead elsewhere. -1 and errno: EINVAL if no service can have
 * that name; EPERM if it belongs to a user that is not believed, see directory.h. */
int state_view_open(int runtime_dirfd, const char *service, const char *suffix);

/* [any] Whether the service's lock is held. A user that may not open it finds it in /proc/locks.
 * True also if neither can be asked. */
bool state_view_is_locked(int runtime_dirfd, const char *service);

/* [any] Whether the lock file is missing: it was removed, and its holder, which
 * still has it open, cannot make it again, as there is no space, say. Then the process of the
 * page decides. */
bool state_view_has_lost_lock(int runtime_dirfd, const char *service,
                              const struct rpd_state_page *page);

/* [any] False also if one of the two is not known. */
bool state_view_is_of_another_boot(const struct rpd_state_page *page);

/* [any] By its first 64 bytes. */
enum state_place state_view_place(const struct rpd_state_page *page);

/* [any] Whether its times are of our CLOCK_MONOTONIC. */
bool state_view_has_our_clock(const struct rpd_state_page *page);

/* [any] When its loop turned for the last time, as far as the page says: of one that rests, before
 * it began to. */
uint64_t state_view_last_turn_us(const struct rpd_state_page *page);

/* [any] The first 64 bytes of the page are enough. now_us: of CLOCK_MONOTONIC,
 * from just before the page was read. If the lock or /proc cannot be asked (no descriptors, say),
 * the rest decides. */
enum state_verdict state_view_judge(int runtime_dirfd, const char *service,
                                    const struct rpd_state_page *page, uint64_t now_us);

/* [any] Both, now. The result is state_view_read()'s. There is a verdict in any
 * case: without a page a service is dead if its lock is free; else it is
 * on its way from the lock to the page, which counts as warming (or it is on its
 * way back). */
int state_view_look(int runtime_dirfd, const char *service, struct rpd_state_page *ret,
                    enum state_verdict *ret_verdict);

/* [any] "dead", "stalled", "draining", "warming", "alive", "alive, elsewhere". */
const char *state_verdict_text(enum state_verdict verdict);

/* [any] "another pid namespace", and so on; "here". */
const char *state_place_text(enum state_place place);

#endif
