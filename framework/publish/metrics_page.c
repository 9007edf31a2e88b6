/* Metrics pages. See metrics_page.h. */
#include "publish/metrics_page.h"

#include "base/build.h"
#include "base/proc.h"
#include "publish/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(struct rpd_metrics_page) == 256, "the layout is frozen");
_Static_assert(sizeof(struct rpd_metric_entry) == 256, "the layout is frozen");
_Static_assert(sizeof(struct rpd_histogram) == 1200, "the layout is frozen");

enum { ADDED_MAX = 128 }; /* that appear while it runs: a row for each part of a load, and some */

/* For services without a page, all of them: written, and never read. */
static struct rpd_histogram unread;

uint64_t *const metrics_unread[METRICS] = {[0 ... METRICS - 1] = &unread.sum};

/* ---- rpd's own --------------------------------------------------------------------------- */

#define REFUSED "rpd_clients_refused"
#define REFUSED_MEANING "Clients that were closed at once"
#define CUT(at, limit)                                                                             \
    [METRIC_CLIENTS_CUT + (at)] = RPD_COUNTER_OF("rpd_clients_cut", "limit=" limit, "",            \
                                                 "Clients that were closed by a limit")
#define CALLBACKS(at, name)                                                                        \
    [METRIC_CALLBACKS +                                                                            \
        (at)] = RPD_COUNTER_OF("rpd_callbacks", "callback=" name, "",                              \
                               "Calls of the backend on the loop"),                                \
        [METRIC_CALLBACK_TIME + (at)] = RPD_HISTOGRAM_OF(                                          \
            "rpd_callback_time", "callback=" name, "us",                                           \
            "How long calls of the backend took; of on_data one in 64 is measured"),               \
        [METRIC_SLOW_CALLBACKS +                                                                   \
            (at)] = RPD_COUNTER_OF("rpd_slow_callbacks", "callback=" name, "",                     \
                                   "Calls of the backend that took slow_ms or longer")
#define STEP(at, name)                                                                             \
    [METRIC_START_STEP + (at)] = RPD_GAUGE_OF("rpd_start_step", "step=" name, "us",                \
                                              "How long a step of the start took")

static const struct rpd_metric own[METRICS] = {
    [METRIC_CLIENTS_ACCEPTED] = RPD_COUNTER("rpd_clients_accepted", "",
                                            "Clients that were accepted"),
    [METRIC_CLIENTS_HELD] = RPD_GAUGE("rpd_clients_held", "", "Clients that wait for READY"),
    [METRIC_CLIENTS_ACTIVE] = RPD_GAUGE("rpd_clients_active", "", "Clients that the backend has"),
    [METRIC_CLIENTS_CLOSED] = RPD_COUNTER("rpd_clients_closed", "",
                                          "Clients that the backend had, and that are closed"),
    [METRIC_CLIENTS_LEFT] = RPD_COUNTER("rpd_clients_left", "",
                                        "Clients that went away while they waited for READY"),
    [METRIC_CLIENTS_REFUSED_WARMUP] = RPD_COUNTER_OF(REFUSED, "cause=warmup", "", REFUSED_MEANING),
    [METRIC_CLIENTS_REFUSED_PEER] = RPD_COUNTER_OF(REFUSED, "cause=clients_per_peer", "",
                                                   REFUSED_MEANING),
    CUT(0, "first_byte_s"),
    CUT(1, "request_s"),
    CUT(2, "idle_s"),
    CUT(3, "write_stall_s"),
    CUT(4, "output_bytes"),
    CUT(5, "input_bytes"),
    CUT(6, "buffer_bytes"),
    CUT(7, "buffer_bytes_per_peer"),
    CUT(8, "memory"),
    [METRIC_ACCEPT_PAUSES] = RPD_COUNTER("rpd_accept_pauses", "",
                                         "Pauses of accepting for want of descriptors or memory"),
    [METRIC_RECEIVED] = RPD_COUNTER("rpd_received", "bytes", "Bytes read from clients by rpd"),
    [METRIC_SENT] = RPD_COUNTER("rpd_sent", "bytes", "Bytes written to clients by rpd"),
    [METRIC_BUFFERS] = RPD_GAUGE("rpd_buffers", "bytes", "Memory of the buffers of all clients"),
    [METRIC_LOOP_TURNS] = RPD_COUNTER("rpd_loop_turns", "", "Beats of the loop's clock"),
    [METRIC_LOOP_LAG] = RPD_HISTOGRAM("rpd_loop_lag", "us",
                                      "How late beats of the loop's clock were"),
    CALLBACKS(METRIC_ON_CONNECT, "on_connect"),
    CALLBACKS(METRIC_ON_DATA, "on_data"),
    CALLBACKS(METRIC_ON_WRITABLE, "on_writable"),
    CALLBACKS(METRIC_ON_CLOSE, "on_close"),
    CALLBACKS(METRIC_ON_BUSY, "on_busy"),
    CALLBACKS(METRIC_ACCEPT, "accept"),
    CALLBACKS(METRIC_DONE, "done"),
    CALLBACKS(METRIC_ATTACH, "attach"),
    CALLBACKS(METRIC_ON_READY, "on_ready"),
    CALLBACKS(METRIC_SERVE, "serve"),
    CALLBACKS(METRIC_ON_DRAIN, "on_drain"),
    CALLBACKS(METRIC_STOP, "stop"),
    CALLBACKS(METRIC_ON_PART, "on_part"),
    CALLBACKS(METRIC_POST, "post"),
    CALLBACKS(METRIC_TIMER, "timer"),
    [METRIC_JOBS] = RPD_GAUGE("rpd_jobs", "", "Jobs that wait or run"),
    [METRIC_JOBS_SUBMITTED] = RPD_COUNTER("rpd_jobs_submitted", "", "Jobs that were accepted"),
    [METRIC_JOBS_REFUSED] = RPD_COUNTER("rpd_jobs_refused", "", "Jobs that were refused"),
    [METRIC_JOB_WAIT] = RPD_HISTOGRAM("rpd_job_wait", "us", "How long jobs waited for a worker"),
    [METRIC_JOB_RUN] = RPD_HISTOGRAM("rpd_job_run", "us", "How long jobs ran"),
    [METRIC_DESCRIPTORS] = RPD_GAUGE("rpd_descriptors", "",
                                     "Descriptors that the process has open"),
    [METRIC_DESCRIPTORS_LIMIT] = RPD_GAUGE("rpd_descriptors_limit", "",
                                           "Descriptors that the process may have open"),
    [METRIC_ERRORS] = RPD_COUNTER("rpd_errors", "", "Errors, as rpdctl status counts them"),
    [METRIC_STARTS] = RPD_GAUGE("rpd_starts", "", "Starts that the history knows, with this one"),
    [METRIC_FAILED_ENDS] = RPD_GAUGE("rpd_failed_ends", "",
                                     "Ends that the history knows and that were not asked for"),
    [METRIC_GENERATION] = RPD_GAUGE("rpd_generation", "", "Generation, counted from 1"),
    [METRIC_RESTARTS] = RPD_GAUGE("rpd_restarts", "",
                                  "Restarts after a crash, by the keeper of this process"),
    [METRIC_LOAD_RETRIES] = RPD_COUNTER("rpd_load_retries", "",
                                        "Parts of the load that failed and were tried again"),
    STEP(METRIC_INSPECT, "inspect"),
    STEP(METRIC_RESOLVE, "resolve"),
    STEP(METRIC_CLAIM, "claim"),
    STEP(METRIC_BIND, "bind"),
    STEP(METRIC_RECALL, "recall"),
    STEP(METRIC_GUARDS, "guards"),
    STEP(METRIC_CODE, "code"),
    STEP(METRIC_STATE, "state"),
    STEP(METRIC_OWN_BIND, "own bind"),
    STEP(METRIC_LIBRARIES, "libraries"),
    STEP(METRIC_CONTROL, "control"),
    STEP(METRIC_PUBLISH, "publish"),
    STEP(METRIC_LOOP, "loop"),
    STEP(METRIC_ANNOUNCE, "announce"),
    STEP(METRIC_RUNNER, "runner"),
    [METRIC_READY_AFTER] = RPD_GAUGE("rpd_ready_after", "us", "From exec to READY"),
};

/* ---- making it ------------------------------------------------------------------------------ */

static size_t value_size(enum rpd_metric_type type)
{
    return type == RPD_METRIC_HISTOGRAM ? sizeof(struct rpd_histogram) : sizeof(uint64_t);
}

static struct rpd_metric_entry *entry_at(const struct metrics_page *page, size_t at)
{
    return (struct rpd_metric_entry *)(void *)((char *)page->map + sizeof *page->map) + at;
}

static const struct rpd_metric *row_at(const struct metrics_page *page, size_t at)
{
    return at < METRICS ? &own[at] : &page->backend[at - METRICS];
}

static void fill_entry(struct rpd_metric_entry *entry, const struct rpd_metric *row, uint32_t at)
{
    snprintf(entry->name, sizeof entry->name, "%s", row->name);
    snprintf(entry->unit, sizeof entry->unit, "%s", row->unit ? row->unit : "");
    snprintf(entry->labels, sizeof entry->labels, "%s", row->labels ? row->labels : "");
    snprintf(entry->meaning, sizeof entry->meaning, "%s", row->meaning ? row->meaning : "");
    entry->type = (uint32_t)row->type;
    entry->at = at;
}

/* What does not change while it runs. */
static void fill(const struct metrics_page *page, const char *service)
{
    const uint32_t count = (uint32_t)(METRICS + page->backend_count);

    page->map->layout = RPD_METRICS_LAYOUT;
    page->map->size = (uint32_t)page->size;
    page->map->pid = page->identity.pid;
    page->map->start_time = page->identity.start_time;
    memcpy(page->map->boot_id, page->identity.boot_id, sizeof page->map->boot_id);
    page->map->entries_at = sizeof *page->map;
    page->map->entry_size = sizeof(struct rpd_metric_entry);
    snprintf(page->map->service, sizeof page->map->service, "%s", service);
    build_text(page->map->build, sizeof page->map->build);
    for (uint32_t i = 0; i < count; i++)
        fill_entry(entry_at(page, i), row_at(page, i),
                   (uint32_t)((char *)page->made[i] - (char *)page->map));
    for (size_t i = 0; i < page->added_count; i++)
        *entry_at(page, count + i) = page->added[i];
    memcpy(page->map->magic, RPD_METRICS_MAGIC, sizeof page->map->magic);
    __atomic_store_n(&page->map->entry_count, count + (uint32_t)page->added_count,
                     __ATOMIC_RELEASE);
}

static size_t count_rows(const struct rpd_metric *table)
{
    size_t count = 0;

    while (table && table[count].name)
        count++;
    return count;
}

/* Where each value is, and where the page ends. */
static size_t lay_out(const struct metrics_page *page, size_t *offsets)
{
    size_t at = sizeof *page->map + page->room * sizeof(struct rpd_metric_entry);

    for (size_t i = 0; i < METRICS + page->backend_count; i++) {
        offsets[i] = at;
        at += value_size(row_at(page, i)->type);
    }
    return at;
}

static size_t whole_pages(size_t size)
{
    const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page_size - 1) / page_size * page_size;
}

void metrics_page_init(struct metrics_page *page)
{
    *page = (struct metrics_page){
        .metrics = metrics_unread, .fd = -1, .identity.pid = (uint32_t)getpid()};
}

int metrics_page_make(struct metrics_page *page, const char *service,
                      const struct rpd_metric *backend)
{
    const size_t count = METRICS + count_rows(backend);
    size_t *offsets = calloc(count, sizeof *offsets);
    void *map = MAP_FAILED;

    page->backend = backend;
    page->backend_count = count - METRICS;
    page->room = count + ADDED_MAX;
    page->made = calloc(count, sizeof *page->made);
    page->added = calloc(ADDED_MAX, sizeof *page->added);
    if (offsets && page->made && page->added) {
        page->values_at = (uint32_t)lay_out(page, offsets);
        page->size = whole_pages(page->values_at + ADDED_MAX * sizeof(uint64_t));
        map = mmap(NULL, page->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    for (size_t i = 0; map != MAP_FAILED && i < count; i++)
        page->made[i] = (uint64_t *)(void *)((char *)map + offsets[i]);
    free(offsets);
    if (map == MAP_FAILED) {
        free(page->made);
        free(page->added);
        metrics_page_init(page);
        return -1;
    }
    page->map = map;
    page->metrics = page->made;
    fill(page, service);
    return 0;
}

static bool has_magic(const struct rpd_metrics_page *map)
{
    return memcmp(map->magic, RPD_METRICS_MAGIC, sizeof map->magic) == 0;
}

/* A keeper passes it to its runner. */
static void keep_descriptor(struct metrics_page *page, int take_fd)
{
    if (page->fd >= 0)
        close(page->fd);
    page->fd = take_fd;
}

static void forget_map(struct metrics_page *page)
{
    if (page->map) {
        mapping_forget(page->map);
        munmap(page->map, page->size);
    }
    page->map = NULL;
    free(page->made);
    page->made = NULL;
}

/* ---- with a keeper ----------------------------------------------------------------------- */

int metrics_page_keep(struct metrics_page *page)
{
    uint64_t **pointers = calloc(METRICS, sizeof *pointers);

    page->kept = calloc(METRICS, sizeof *page->kept);
    if (!page->kept || !pointers) {
        free(pointers);
        free(page->kept);
        page->kept = NULL;
        return -1;
    }
    for (size_t i = 0; i < METRICS; i++)
        pointers[i] = &page->kept[i];
    page->metrics = page->kept_pointers = pointers;
    return 0;
}

/* What a keeper knows of a page. If it has no magic, its runner has yet to lay it out. */
static void begin_blank(struct metrics_page *page, const char *service)
{
    free(page->made);
    page->made = NULL;
    page->map->size = (uint32_t)page->size;
    page->map->pid = page->identity.pid;
    page->map->start_time = page->identity.start_time;
    memcpy(page->map->boot_id, page->identity.boot_id, sizeof page->map->boot_id);
    snprintf(page->map->service, sizeof page->map->service, "%s", service);
}

int metrics_page_copy_out(const struct metrics_page *page)
{
    const int fd = memfd_create("rpd-metrics", MFD_CLOEXEC);

    if (fd < 0 || pwrite(fd, page->map, page->size, 0) == (ssize_t)page->size)
        return fd;
    close(fd);
    return -1;
}

static bool can_be_size(off_t size)
{
    return size >= (off_t)sizeof(struct rpd_metrics_page) && size <= RPD_METRICS_SIZE_MAX &&
           (size_t)size == whole_pages((size_t)size);
}

int metrics_page_take_over(struct metrics_page *page, const char *service, int fd,
                           struct whole_file *ret_old)
{
    void *map = MAP_FAILED;
    struct stat status;
    size_t size;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || !can_be_size(status.st_size)) {
        errno = EPROTO;
        return -1;
    }
    size = (size_t)status.st_size;
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -1;
    forget_map(page);
    keep_descriptor(page, -1);
    *ret_old = page->file;
    page->file = (struct whole_file){0};
    page->map = map;
    page->size = size;
    if (pread(fd, map, size, 0) != (ssize_t)size)
        memset(map, 0, size);
    begin_blank(page, service);
    return 0;
}

/* Where the runner has put rpd's own; NULL: that cannot be, or there is no memory. */
static uint64_t **find_own(const struct metrics_page *page)
{
    uint64_t **found = calloc(METRICS, sizeof *found);

    for (size_t i = 0; found && i < METRICS; i++) {
        const uint32_t at = entry_at(page, i)->at;

        if (at % sizeof(uint64_t) != 0 || at > page->size - sizeof(struct rpd_histogram)) {
            free(found);
            return NULL;
        }
        found[i] = (uint64_t *)(void *)((char *)page->map + at);
    }
    return found;
}

static bool is_laid_out(const struct metrics_page *page)
{
    return has_magic(page->map) && page->map->entries_at == sizeof *page->map &&
           page->size > sizeof *page->map + METRICS * sizeof(struct rpd_metric_entry) &&
           __atomic_load_n(&page->map->entry_count, __ATOMIC_ACQUIRE) >= METRICS;
}

void metrics_page_show_kept(struct metrics_page *page)
{
    if (!page->kept || !page->map)
        return;
    if (!page->made && is_laid_out(page))
        page->made = find_own(page);
    for (size_t i = 0; page->made && i < METRICS; i++)
        if (page->kept[i] != 0)
            rpd_metric_set(page->made[i], (int64_t)page->kept[i]);
}

static void take_identity(struct metrics_page *page, const struct rpd_metrics_page *from)
{
    page->identity.pid = from->pid;
    page->identity.start_time = from->start_time;
    memcpy(page->identity.boot_id, from->boot_id, sizeof from->boot_id);
}

/* The magic comes last. */
static void move_into(const struct metrics_page *page, struct rpd_metrics_page *fresh)
{
    enum { MAGIC_SIZE = sizeof page->map->magic };

    page->map->pid = page->identity.pid;
    page->map->start_time = page->identity.start_time;
    memcpy(page->map->boot_id, page->identity.boot_id, sizeof page->map->boot_id);
    mapping_copy((char *)fresh + MAGIC_SIZE, (const char *)page->map + MAGIC_SIZE,
                 page->size - MAGIC_SIZE);
    atomic_thread_fence(memory_order_release);
    mapping_copy(fresh, page->map, MAGIC_SIZE);
}

int metrics_page_follow(struct metrics_page *page, int fd)
{
    struct rpd_metrics_page *fresh = mmap(NULL, page->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                                          0);
    char service[sizeof page->map->service];

    if (fresh == MAP_FAILED)
        return -1;
    take_identity(page, fresh);
    memcpy(service, fresh->service, sizeof service);
    service[sizeof service - 1] = '\0';
    /* A first copy is the keeper's already; later, this process has what is newer than its copy. */
    if (has_magic(fresh) == page->follows)
        move_into(page, fresh);
    if (mremap(fresh, page->size, page->size, MREMAP_MAYMOVE | MREMAP_FIXED, page->map) ==
        MAP_FAILED) {
        munmap(fresh, page->size);
        return -1;
    }
    if (!has_magic(page->map))
        fill(page, service);
    if (!page->follows)
        mapping_note(page->map, page->size);
    page->follows = true;
    return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* fresh is shown as the file of what is mapped. */
static int make_file(struct metrics_page *page, struct whole_file *fresh, int dirfd,
                     const char *name)
{
    const int fd = whole_file_create(fresh, dirfd, name);
    const bool made = fd >= 0 && mapping_move_to(page->map, page->size, fd);
    const int cause = errno;

    if (made && page->kept)
        keep_descriptor(page, fd);
    else if (fd >= 0)
        close(fd);
    errno = cause;
    return made ? whole_file_show(fresh) : -1;
}

int metrics_page_publish(struct metrics_page *page, int dirfd, const char *directory,
                         const char *boot_id, unsigned long long start_time, struct error *error)
{
    char name[NAME_MAX + 1], path[PATH_MAX];

    if (!page->map)
        return 0;
    page->identity.start_time = page->map->start_time = start_time;
    proc_parse_boot_id(boot_id, page->identity.boot_id);
    memcpy(page->map->boot_id, page->identity.boot_id, sizeof page->map->boot_id);
    snprintf(name, sizeof name, "%s.metrics", page->map->service);
    if (make_file(page, &page->file, dirfd, name) == 0) {
        mapping_note(page->map, page->size);
        return 0;
    }
    snprintf(path, sizeof path, "%s/%s", directory, name);
    error_set(error, error_is_shortage(errno) ? EXIT_SYSTEM : EXIT_RECORD, "publish", path,
              "cannot make the page of metrics: %s; %s", strerror(errno),
              error_remedy_in_directory(errno, "free space in the run-time directory, or set "
                                               "RPD_RUNTIME_DIR"));
    whole_file_remove(&page->file);
    return -1;
}

void metrics_page_remove(struct metrics_page *page)
{
    whole_file_remove(&page->file);
}

void metrics_page_finish(struct metrics_page *page)
{
    forget_map(page);
    keep_descriptor(page, -1);
    free(page->added);
    free(page->kept);
    free(page->kept_pointers);
    metrics_page_init(page);
}

void metrics_page_sweep(const struct metrics_page *page)
{
    if (page->file.residue)
        whole_file_sweep(&page->file);
}

bool metrics_page_is_whole(const struct metrics_page *page)
{
    struct stat status;

    return !page->file.residue ||
           (whole_file_is_there(&page->file) &&
            fstatat(page->file.dirfd, page->file.name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            (size_t)status.st_size == page->size && (!page->made || has_magic(page->map)));
}

/* What was cut off has lost its beginning, its end, or both. (Other threads may write meanwhile.)
 * In a keeper it is the runner that fills it again. */
static void fill_again(struct metrics_page *page)
{
    char service[sizeof page->map->service];

    memcpy(service, page->file.name, sizeof service);
    service[strcspn(service, ".")] = '\0';
    mapping_put_memory_at(page->map, page->size);
    if (page->kept)
        begin_blank(page, service);
    else
        fill(page, service);
}

int metrics_page_heal(struct metrics_page *page)
{
    struct whole_file fresh = {0};
    struct stat status;

    if (metrics_page_is_whole(page))
        return 0;
    if (!has_magic(page->map) ||
        (whole_file_is_there(&page->file) &&
         fstatat(page->file.dirfd, page->file.name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         (size_t)status.st_size != page->size))
        fill_again(page);
    if (make_file(page, &fresh, page->file.dirfd, page->file.name) < 0) {
        whole_file_remove(&fresh);
        return -1;
    }
    whole_file_replace(&page->file, &fresh);
    return 1;
}

/* ---- what appears while it runs ----------------------------------------------------------------
 */

/* In a keeper, what a runner has written must not be trusted. */
void metrics_page_visit_parts(const struct metrics_page *page, metrics_part_fn visit, void *arg)
{
    static const char key[] = "part=";
    const size_t room = page->made
                            ? (page->size - sizeof *page->map) / sizeof(struct rpd_metric_entry)
                            : 0;
    const size_t count = room > 0 ? __atomic_load_n(&page->map->entry_count, __ATOMIC_ACQUIRE) : 0;

    for (size_t i = METRICS; i < count && i < room; i++) {
        struct rpd_metric_entry entry = *entry_at(page, i);
        const char *value = (const char *)page->map + entry.at;

        entry.labels[sizeof entry.labels - 1] = '\0';
        if (strncmp(entry.name, METRICS_LOAD_PART, sizeof entry.name) == 0 &&
            strncmp(entry.labels, key, sizeof key - 1) == 0 && entry.at % sizeof(uint64_t) == 0 &&
            entry.at <= page->size - sizeof(uint64_t))
            visit(arg, entry.labels + sizeof key - 1,
                  __atomic_load_n((const uint64_t *)(const void *)value, __ATOMIC_RELAXED));
    }
}

const char *metrics_own_label(enum metric metric)
{
    return strchr(own[metric].labels, '=') + 1;
}

/* A label has a line of its own: its value must not end it. */
static void one_line(char *text)
{
    for (; *text; text++)
        if (*text == '\n')
            *text = ' ';
}

uint64_t *metrics_page_add(struct metrics_page *page, const char *name, const char *unit,
                           const char *meaning, const char *key, const char *value)
{
    char labels[sizeof((struct rpd_metric_entry *)0)->labels];
    const struct rpd_metric row = {name, unit, meaning, labels, RPD_METRIC_GAUGE};
    const uint32_t at = page->values_at;
    size_t count;

    if (!page->made || page->added_count >= ADDED_MAX)
        return &unread.sum;
    snprintf(labels, sizeof labels, "%s=%s", key, value);
    one_line(labels);
    count = METRICS + page->backend_count + page->added_count;
    fill_entry(&page->added[page->added_count], &row, at);
    *entry_at(page, count) = page->added[page->added_count++];
    page->values_at += (uint32_t)sizeof(uint64_t);
    __atomic_store_n(&page->map->entry_count, (uint32_t)count + 1, __ATOMIC_RELEASE);
    return (uint64_t *)(void *)((char *)page->map + at);
}
