/* State pages. See state_page.h. */
#include "publish/state_page.h"

#include "base/build.h"
#include "base/clock.h"
#include "base/proc.h"
#include "publish/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct rpd_state_page) == RPD_STATE_SIZE, "the layout is frozen");

#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* For services without a file, all of them: written, and never read. */
static struct rpd_state_page unread_page;

void state_page_init(struct state_page *page)
{
    *page = (struct state_page){.map = &unread_page, .fd = -1};
}

/* ---- copies of what is used ----------------------------------------------------------- */

/* A load without parts leaves 15 of the 16 KiB untouched. They stay untouched here, too: with whole
 * copies a service of a thousand took 32 KiB for them. */
static size_t used_size(const struct rpd_state_page *map)
{
    const uint32_t parts = LOAD(map->part_count);

    return offsetof(struct rpd_state_page, parts) +
           (parts < RPD_STATE_PARTS ? parts : RPD_STATE_PARTS) * sizeof *map->parts;
}

/* False: there is no memory for it, and the copy is as it was. */
static bool take_copy(struct state_copy *to, const struct rpd_state_page *from)
{
    const size_t size = used_size(from);

    if (to->room < size) {
        struct rpd_state_page *larger = realloc(to->page, size);

        if (!larger)
            return false;
        to->page = larger;
        to->room = size;
    }
    mapping_copy(to->page, from, size);
    to->size = size;
    return true;
}

static void drop_copies(struct state_page *page)
{
    free(page->shadow.page);
    free(page->spare.page);
    page->shadow = page->spare = (struct state_copy){0};
}

/* ---- making it ------------------------------------------------------------------ */

static void fill(struct rpd_state_page *map, const struct state_page_identity *identity)
{
    struct proc_namespaces namespaces;

    memcpy(map->magic, RPD_STATE_MAGIC, sizeof map->magic);
    map->layout = RPD_STATE_LAYOUT;
    map->size = RPD_STATE_SIZE;
    map->pid = (uint32_t)getpid();
    map->phase = RPD_PHASE_STARTING;
    map->start_time = identity->start_time;
    proc_namespaces(&namespaces);
    map->namespaces[RPD_STATE_PID_NAMESPACE] = namespaces.pid;
    map->namespaces[RPD_STATE_TIME_NAMESPACE] = namespaces.time;
    proc_parse_boot_id(identity->boot_id, map->boot_id);
    snprintf(map->service, sizeof map->service, "%s", identity->service);
    build_text(map->build, sizeof map->build);
    map->bound_us = map->phase_us = identity->bound_us;
    map->warmup = identity->warmup;
    map->turned_us = clock_us(); /* a start is no stall: the loop turns soon */
    map->load_eta_ms = RPD_STATE_UNKNOWN;
}

/* Takes it: it stays open, or is closed. */
static void keep_descriptor(struct state_page *page, int take_fd)
{
    if (page->keeps_fd && page->fd >= 0)
        close(page->fd);
    if (page->keeps_fd)
        page->fd = take_fd;
    else if (take_fd >= 0)
        close(take_fd);
}

static int make_file(struct state_page *page, int dirfd, const char *name,
                     const struct state_page_identity *identity)
{
    int fd = whole_file_create(&page->file, dirfd, name);
    struct rpd_state_page *map = fd < 0 ? NULL : mapping_make(fd, RPD_STATE_SIZE);
    const int cause = errno;

    keep_descriptor(page, fd);
    errno = cause;
    if (!map)
        return -1;
    page->map = map;
    mapping_note(map, RPD_STATE_SIZE);
    fill(map, identity);
    take_copy(&page->shadow, map);
    return whole_file_show(&page->file);
}

static void take_back(struct state_page *page)
{
    whole_file_remove(&page->file);
    mapping_forget(page->map);
    if (page->map != &unread_page)
        munmap(page->map, RPD_STATE_SIZE);
    page->map = &unread_page;
    drop_copies(page);
    keep_descriptor(page, -1);
}

int state_page_create(struct state_page *page, int dirfd, const char *directory,
                      const struct state_page_identity *identity, struct error *error)
{
    char name[NAME_MAX + 1], path[PATH_MAX];

    snprintf(name, sizeof name, "%s%s.state", identity->service, identity->is_next ? ".next" : "");
    if (make_file(page, dirfd, name, identity) == 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    error_set(error, error_is_shortage(errno) ? EXIT_SYSTEM : EXIT_RECORD, "publish", path,
              "cannot make the state page: %s; %s", strerror(errno),
              error_remedy_in_directory(errno, "free space in the run-time directory, or set "
                                               "RPD_RUNTIME_DIR"));
    take_back(page);
    return -1;
}

static bool has_magic(const struct rpd_state_page *map)
{
    return memcmp(map->magic, RPD_STATE_MAGIC, sizeof map->magic) == 0;
}

/* What was cut off reads as zeros, also when the file is long again. */
static bool is_whole(const struct state_page *page)
{
    struct stat status;

    return !page->file.residue ||
           (fstatat(page->file.dirfd, page->file.name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_size == RPD_STATE_SIZE && has_magic(page->map));
}

/* One that is only gone is still whole in memory. */
static bool is_damaged(const struct state_page *page)
{
    return !has_magic(page->map) || (whole_file_is_there(&page->file) && !is_whole(page));
}

/* It may be cut off while it is copied. */
bool state_page_keep(struct state_page *page)
{
    const struct state_copy old = page->shadow;

    if (!page->file.residue)
        return true; /* the keeper made it, and keeps it */
    if (!is_whole(page))
        return false;
    if (!take_copy(&page->spare, page->map))
        return true; /* the old copy is what there is */
    if (!is_whole(page) || !has_magic(page->spare.page))
        return false;
    page->shadow = page->spare;
    page->spare = old;
    return true;
}

int state_page_heal(struct state_page *page)
{
    struct whole_file fresh = {0};
    int fd;
    bool moved;

    if (whole_file_is_there(&page->file) && is_whole(page))
        return 0;
    if (page->shadow.page && is_damaged(page) && mapping_put_memory_at(page->map, RPD_STATE_SIZE))
        mapping_copy(page->map, page->shadow.page, page->shadow.size);
    STORE(page->map->turned_us, clock_us());
    fd = whole_file_create(&fresh, page->file.dirfd, page->file.name);
    moved = fd >= 0 && mapping_move_to(page->map, RPD_STATE_SIZE, fd) &&
            whole_file_show(&fresh) == 0;
    keep_descriptor(page, fd);
    if (!moved) {
        whole_file_remove(&fresh);
        return -1;
    }
    whole_file_replace(&page->file, &fresh);
    return 1;
}

int state_page_follow(struct state_page *page, int fd)
{
    void *fresh = mmap(NULL, RPD_STATE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fresh == MAP_FAILED)
        return -1;
    if (page->map == &unread_page) {
        page->map = fresh;
        mapping_note(fresh, RPD_STATE_SIZE);
        return 0;
    }
    if (mremap(fresh, RPD_STATE_SIZE, RPD_STATE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, page->map) !=
        MAP_FAILED)
        return 0;
    munmap(fresh, RPD_STATE_SIZE);
    return -1;
}

void state_page_remove(struct state_page *page)
{
    if (!page->file.residue)
        return;
    STORE(page->map->phase, RPD_PHASE_STOPPED);
    take_back(page);
}

/* The name of the old page is the new one's before the old page is removed: who looks finds one. */
void state_page_take_over(struct state_page *page, struct state_page *next)
{
    struct state_page old = *page;
    char name[sizeof old.file.name];

    if (!next->file.residue)
        return;
    snprintf(name, sizeof name, "%s", old.file.name);
    *page = *next;
    state_page_init(next);
    if (old.file.residue && residue_rename(page->file.residue, name, 0) == 0)
        snprintf(page->file.name, sizeof page->file.name, "%s", name);
    state_page_remove(&old);
}

void state_page_sweep(const struct state_page *page)
{
    whole_file_sweep(&page->file);
}

enum rpd_phase state_page_phase(const struct state_page *page)
{
    return (enum rpd_phase)LOAD(page->map->phase);
}

/* Texts may change meanwhile, but the last byte of each is never written. */
void state_page_copy(const struct state_page *page, struct rpd_state_page *ret)
{
    const size_t size = used_size(page->map);

    mapping_copy(ret, page->map, size);
    memset((char *)ret + size, 0, RPD_STATE_SIZE - size);
}

/* ---- writing to it --------------------------------------------------------------- */

static void set_phase(struct rpd_state_page *map, enum rpd_phase phase, uint64_t now_us)
{
    STORE(map->phase_us, now_us);
    if (phase == RPD_PHASE_READY && LOAD(map->ready_us) == 0)
        STORE(map->ready_us, now_us);
    STORE(map->phase, phase);
}

/* What is put back must not be of an earlier phase. */
void state_page_set_phase(struct state_page *page, enum rpd_phase phase, uint64_t now_us)
{
    set_phase(page->map, phase, now_us);
    if (page->shadow.page)
        set_phase(page->shadow.page, phase, now_us);
}

void state_page_turn(struct state_page *page, uint64_t now_us, uint64_t late_us)
{
    STORE(page->map->turned_us, now_us);
    STORE(page->map->turns, LOAD(page->map->turns) + 1);
    STORE(page->map->late_us, late_us);
    if (late_us > LOAD(page->map->latest_us))
        STORE(page->map->latest_us, late_us);
}

void state_page_rest(struct state_page *page, uint64_t now_us)
{
    STORE(page->map->rests_us, now_us);
    STORE(page->map->turned_us, RPD_STATE_RESTS);
}

void state_page_wake(struct state_page *page, uint64_t now_us)
{
    STORE(page->map->turned_us, now_us);
}

static void store_text(char *to, size_t room, const char *text)
{
    for (size_t i = 0; i < room - 1; i++) {
        STORE(to[i], text[i]);
        if (!text[i])
            break;
    }
}

void state_page_slow(struct state_page *page, uint64_t took_us, const char *where)
{
    store_text(page->map->slow, sizeof page->map->slow, where);
    STORE(page->map->slow_us, took_us);
    STORE(page->map->slow_time_s, (int64_t)time(NULL));
    STORE(page->map->slow_callbacks, LOAD(page->map->slow_callbacks) + 1);
}

/* Two threads may do this at once: the text may become a mixture, as a reader's
 * may, but the last byte of the field is never written, and stays its end. */
void state_page_error(struct state_page *page, const char *text)
{
    store_text(page->map->error, sizeof page->map->error, text);
    STORE(page->map->error_time_s, (int64_t)time(NULL));
    __atomic_fetch_add(&page->map->errors, 1, __ATOMIC_RELAXED);
}
