/* The state page: its layout, the side that writes it, and the side that reads and judges it, with
 * made-up pages, real locks and real processes. */
#include "base/proc.h"
#include "observe/state_view.h"
#include "process.h"
#include "publish/state_page.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- the layout ---------------------------------------------------------------- */

#define FIELD(type, field, at, size)                                                               \
    {                                                                                              \
#type "." #field, offsetof(struct type, field), sizeof(((struct type *)NULL)->field), at,  \
            size                                                                                   \
    }

/* Literal numbers: readers that were built long ago use them. */
static const struct {
    const char *name;
    size_t offset, size, wanted_offset, wanted_size;
} fields[] = {
    FIELD(rpd_state_page, magic, 0, 8),
    FIELD(rpd_state_page, layout, 8, 4),
    FIELD(rpd_state_page, size, 12, 4),
    FIELD(rpd_state_page, pid, 16, 4),
    FIELD(rpd_state_page, phase, 20, 4),
    FIELD(rpd_state_page, start_time, 24, 8),
    FIELD(rpd_state_page, turned_us, 32, 8),
    FIELD(rpd_state_page, boot_id, 40, 16),
    FIELD(rpd_state_page, reserved_for_ever, 56, 8),
    FIELD(rpd_state_page, namespaces, 56, 8),
    FIELD(rpd_state_page, service, 64, 64),
    FIELD(rpd_state_page, build, 128, 64),
    FIELD(rpd_state_page, bound_us, 192, 8),
    FIELD(rpd_state_page, phase_us, 200, 8),
    FIELD(rpd_state_page, ready_us, 208, 8),
    FIELD(rpd_state_page, turns, 216, 8),
    FIELD(rpd_state_page, late_us, 224, 8),
    FIELD(rpd_state_page, latest_us, 232, 8),
    FIELD(rpd_state_page, warmup, 240, 4),
    FIELD(rpd_state_page, flags, 244, 4),
    FIELD(rpd_state_page, clients_held, 248, 8),
    FIELD(rpd_state_page, clients_active, 256, 8),
    FIELD(rpd_state_page, clients_accepted, 264, 8),
    FIELD(rpd_state_page, clients_refused, 272, 8),
    FIELD(rpd_state_page, clients_left, 280, 8),
    FIELD(rpd_state_page, clients_cut, 288, 8),
    FIELD(rpd_state_page, accept_pauses, 296, 8),
    FIELD(rpd_state_page, jobs, 304, 8),
    FIELD(rpd_state_page, jobs_refused, 312, 8),
    FIELD(rpd_state_page, errors, 320, 8),
    FIELD(rpd_state_page, error_time_s, 328, 8),
    FIELD(rpd_state_page, error, 336, 256),
    FIELD(rpd_state_page, part_count, 592, 4),
    FIELD(rpd_state_page, parts_loaded, 596, 4),
    FIELD(rpd_state_page, load_permille, 600, 4),
    FIELD(rpd_state_page, reserved_2, 604, 4),
    FIELD(rpd_state_page, load_eta_ms, 608, 8),
    FIELD(rpd_state_page, rests_us, 616, 8),
    FIELD(rpd_state_page, runner_pid, 624, 4),
    FIELD(rpd_state_page, generation, 628, 4),
    FIELD(rpd_state_page, restarts, 632, 4),
    FIELD(rpd_state_page, crash_code, 636, 4),
    FIELD(rpd_state_page, crash_time_s, 640, 8),
    FIELD(rpd_state_page, runner_start_time, 648, 8),
    FIELD(rpd_state_page, keeper_held, 656, 8),
    FIELD(rpd_state_page, keeper_left, 664, 8),
    FIELD(rpd_state_page, keeper_accepted, 672, 8),
    FIELD(rpd_state_page, keeper_refused, 680, 8),
    FIELD(rpd_state_page, slow_callbacks, 688, 8),
    FIELD(rpd_state_page, slow_us, 696, 8),
    FIELD(rpd_state_page, slow_time_s, 704, 8),
    FIELD(rpd_state_page, slow, 712, 136),
    FIELD(rpd_state_page, reserved, 848, 176),
    FIELD(rpd_state_page, parts, 1024, 15360),
    FIELD(rpd_state_part, name, 0, 48),
    FIELD(rpd_state_part, unit, 48, 16),
    FIELD(rpd_state_part, state, 64, 4),
    FIELD(rpd_state_part, flags, 68, 4),
    FIELD(rpd_state_part, done, 72, 8),
    FIELD(rpd_state_part, total, 80, 8),
    FIELD(rpd_state_part, rate_per_1000s, 88, 8),
    FIELD(rpd_state_part, eta_ms, 96, 8),
    FIELD(rpd_state_part, moved_us, 104, 8),
    FIELD(rpd_state_part, attempts, 112, 4),
    FIELD(rpd_state_part, reserved, 116, 12),
};

Test(layout, no_field_has_moved)
{
    for (size_t i = 0; i < COUNT(fields); i++) {
        cr_expect_eq(fields[i].offset, fields[i].wanted_offset, "%s is at %zu", fields[i].name,
                     fields[i].offset);
        cr_expect_eq(fields[i].size, fields[i].wanted_size, "%s has %zu bytes", fields[i].name,
                     fields[i].size);
    }
    cr_expect_eq(sizeof(struct rpd_state_page), 16384);
    cr_expect_eq(sizeof(struct rpd_state_part), 128);
}

Test(layout, no_number_has_changed)
{
    cr_expect_eq(memcmp(RPD_STATE_MAGIC, "rpdstate", 8), 0);
    cr_expect_eq(RPD_STATE_LAYOUT, 1);
    cr_expect_eq(RPD_STATE_SIZE, 16384);
    cr_expect_eq(RPD_STATE_PARTS, 120);
    cr_expect_eq(RPD_STATE_STALL_US, 900000);
    cr_expect(RPD_PHASE_STARTING == 0 && RPD_PHASE_WARMING == 1 && RPD_PHASE_READY == 2 &&
              RPD_PHASE_DRAINING == 3 && RPD_PHASE_STOPPING == 4 && RPD_PHASE_STOPPED == 5);
    cr_expect(RPD_WARMUP_HOLD == 0 && RPD_WARMUP_SERVE == 1 && RPD_WARMUP_REFUSE == 2 &&
              RPD_WARMUP_BACKLOG == 3);
    cr_expect(RPD_PART_WAITING == 0 && RPD_PART_LOADING == 1 && RPD_PART_STALLED == 2 &&
              RPD_PART_PAUSED == 3 && RPD_PART_LOADED == 4 && RPD_PART_FAILED == 5);
    cr_expect(RPD_PART_OPTIONAL == 1 && RPD_STATE_DEGRADED == 1);
}

/* ---- a directory for each test --------------------------------------------------- */

static const char *dir;
static int dirfd;

static void enter_directory(void)
{
    dir = temp_dir_make();
    dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(dirfd, 0);
}

static void leave_directory(void)
{
    close(dirfd);
    temp_dir_remove(dir);
}

static const char *path_of(const char *name)
{
    return textf("%s/%s", dir, name);
}

static uint64_t now_us(void)
{
    return (uint64_t)now_ns() / 1000u;
}

static void allow_descriptors(bool any)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = any ? limit.rlim_max : 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* ---- writing ---------------------------------------------------------------------- */

TestSuite(writer, .init = enter_directory, .fini = leave_directory, .timeout = 30);

static int create(struct state_page *page, struct error *error)
{
    const struct state_page_identity identity = {
        .service = "demo",
        .boot_id = "00112233-4455-6677-8899-aabbccddeeff",
        .start_time = 4711,
        .bound_us = 12345,
        .warmup = RPD_WARMUP_REFUSE,
    };

    state_page_init(page);
    return state_page_create(page, dirfd, dir, &identity, error);
}

Test(writer, appears_whole_and_says_who_it_is)
{
    static const uint8_t boot_id[16] = {0,    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                        0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    struct state_page page;
    struct rpd_state_page seen;
    struct error error;
    struct stat status;

    cr_assert_eq(create(&page, &error), 0, "%s", error.text);
    cr_assert_eq(stat(path_of("demo.state"), &status), 0);
    cr_expect_eq(status.st_mode, S_IFREG | 0644);
    cr_expect_eq(status.st_size, 16384);
    cr_expect_geq(status.st_blocks, 32, "%ld blocks of 512: a full disk would be met later",
                  (long)status.st_blocks);
    cr_assert_eq(state_view_read(dirfd, "demo", &seen), 0);
    cr_expect_eq(seen.pid, (uint32_t)getpid());
    cr_expect_eq(seen.start_time, 4711);
    cr_expect_arr_eq(seen.boot_id, boot_id, sizeof boot_id);
    cr_expect_str_eq(seen.service, "demo");
    cr_expect_eq(strncmp(seen.build, "0.", 2), 0, "%s", seen.build);
    cr_expect_eq(seen.bound_us, 12345);
    cr_expect_eq(seen.warmup, RPD_WARMUP_REFUSE);
    cr_expect_eq(seen.phase, RPD_PHASE_STARTING);
    cr_expect_gt(seen.turned_us, 0);
    cr_expect_eq(seen.load_eta_ms, RPD_STATE_UNKNOWN);
    state_page_remove(&page);
}

Test(writer, stores_are_seen_at_once)
{
    struct state_page page;
    struct rpd_state_page seen;
    struct error error;

    cr_assert_eq(create(&page, &error), 0, "%s", error.text);
    state_page_set_phase(&page, RPD_PHASE_WARMING, 10);
    state_page_set_phase(&page, RPD_PHASE_READY, 20);
    state_page_turn(&page, 30, 7);
    state_page_turn(&page, 40, 5);
    cr_assert_eq(state_view_read(dirfd, "demo", &seen), 0);
    cr_expect_eq(seen.phase, RPD_PHASE_READY);
    cr_expect_eq(seen.phase_us, 20);
    cr_expect_eq(seen.ready_us, 20);
    cr_expect_eq(seen.turned_us, 40);
    cr_expect_eq(seen.turns, 2);
    cr_expect_eq(seen.late_us, 5);
    cr_expect_eq(seen.latest_us, 7);
    state_page_remove(&page);
}

Test(writer, error_texts_always_end)
{
    static char long_text[1000];
    struct state_page page;
    struct rpd_state_page seen;
    struct error error;

    memset(long_text, 'x', sizeof long_text - 1);
    cr_assert_eq(create(&page, &error), 0, "%s", error.text);
    state_page_error(&page, long_text);
    cr_assert_eq(state_view_read(dirfd, "demo", &seen), 0);
    cr_expect_eq(strlen(seen.error), sizeof seen.error - 1);
    cr_expect_eq(page.map->error[sizeof seen.error - 1], '\0');
    state_page_error(&page, "short");
    cr_assert_eq(state_view_read(dirfd, "demo", &seen), 0);
    cr_expect_str_eq(seen.error, "short");
    cr_expect_eq(seen.errors, 2);
    cr_expect_gt(seen.error_time_s, 1700000000);
    state_page_remove(&page);
}

Test(writer, stopped_is_seen_by_who_has_it_mapped)
{
    struct state_page page;
    struct error error;
    const struct rpd_state_page *mapped;
    int fd;

    cr_assert_eq(create(&page, &error), 0, "%s", error.text);
    fd = open(path_of("demo.state"), O_RDONLY | O_CLOEXEC);
    mapped = mmap(NULL, RPD_STATE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_neq(mapped, MAP_FAILED);
    state_page_remove(&page);
    cr_expect_eq(mapped->phase, RPD_PHASE_STOPPED);
    cr_expect_neq(access(path_of("demo.state"), F_OK), 0);
    close(fd);
}

Test(writer, needs_no_file)
{
    struct state_page page;

    state_page_init(&page);
    state_page_turn(&page, 1, 1);
    state_page_set_phase(&page, RPD_PHASE_READY, 1);
    state_page_error(&page, "nobody reads this");
    state_page_remove(&page);
    cr_expect_not_null(page.map);
    state_page_turn(&page, 2, 2);
}

Test(writer, replaces_what_a_killed_daemon_left)
{
    struct state_page page;
    struct rpd_state_page seen;
    struct error error;

    file_write(path_of("demo.state"), "old", 3);
    file_write(path_of(".demo.state.99999.tmp"), "old", 3);
    file_write(path_of(textf(".demo.state.%d.tmp", getpid())), "old", 3);
    file_write(path_of(".demo2.state.99999.tmp"), "of another", 10);
    cr_assert_eq(create(&page, &error), 0, "%s", error.text);
    cr_expect_eq(state_view_read(dirfd, "demo", &seen), 0);
    state_page_sweep(&page);
    cr_expect_neq(access(path_of(".demo.state.99999.tmp"), F_OK), 0);
    cr_expect_eq(access(path_of(".demo2.state.99999.tmp"), F_OK), 0);
    state_page_remove(&page);
}

static void expect_refused(enum exit_code code, const char *what)
{
    struct state_page page;
    struct error error = {0};

    cr_assert_eq(create(&page, &error), -1, "%s", what);
    cr_expect_eq(error.code, code, "%s: %s", what, error.text);
    cr_expect_not_null(strstr(error.text, textf("publish: %s/demo.state: ", dir)), "%s",
                       error.text);
    cr_expect_not_null(page.map);
    state_page_remove(&page);
    cr_expect_neq(access(path_of(textf(".demo.state.%d.tmp", getpid())), F_OK), 0, "%s", what);
}

Test(writer, cannot_replace_a_directory)
{
    mkdir(path_of("demo.state"), 0700);
    expect_refused(EXIT_RECORD, "a directory in the way");
    cr_expect_eq(access(path_of("demo.state"), F_OK), 0);
}

/* A process that may not grow files meets the same error as with a full disk. */
Test(writer, meets_a_full_disk_at_once)
{
    const struct rlimit limit = {8192, RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_refused(EXIT_RECORD, "no room");
}

Test(writer, a_shortage_is_no_fault_of_the_directory)
{
    allow_descriptors(false);
    expect_refused(EXIT_SYSTEM, "no descriptors");
    allow_descriptors(true);
}

/* ---- reading ------------------------------------------------------------------------ */

TestSuite(reader, .init = enter_directory, .fini = leave_directory, .timeout = 60);

static void fill(struct rpd_state_page *page)
{
    memset(page, 0, sizeof *page);
    memcpy(page->magic, RPD_STATE_MAGIC, sizeof page->magic);
    page->layout = RPD_STATE_LAYOUT;
    page->size = RPD_STATE_SIZE;
    memcpy(page->service, "demo", 5);
}

static bool is_zero(const void *data, size_t size)
{
    const char *bytes = data;

    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static void expect_no_page(int cause, const char *what)
{
    struct rpd_state_page seen;

    memset(&seen, 0xff, sizeof seen);
    errno = 0;
    cr_assert_eq(state_view_read(dirfd, "demo", &seen), -1, "%s", what);
    cr_assert_eq(errno, cause, "%s: %s", what, strerror(errno));
    cr_assert(is_zero(&seen, sizeof seen), "%s", what);
}

Test(reader, refuses_what_is_no_file)
{
    struct rpd_state_page page;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    expect_no_page(ENOENT, "nothing");
    fill(&page);
    file_write(path_of("real"), &page, sizeof page);
    cr_assert_eq(symlink("real", path_of("demo.state")), 0);
    expect_no_page(EPROTO, "a symbolic link to a page");
    unlink(path_of("demo.state"));
    cr_assert_eq(mkfifo(path_of("demo.state"), 0600), 0);
    expect_no_page(EPROTO, "a FIFO");
    unlink(path_of("demo.state"));
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path_of("demo.state"));
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    expect_no_page(EPROTO, "a socket");
    unlink(path_of("demo.state"));
    cr_assert_eq(mkdir(path_of("demo.state"), 0700), 0);
    expect_no_page(EPROTO, "a directory");
    close(fd);
}

Test(reader, refuses_names_that_no_service_has)
{
    static const char *const names[] = {"",     ".",  "..", "../demo", "a/b",
                                        "Demo", "-a", "_a", "a.b",     "a b"};
    struct rpd_state_page seen;

    for (size_t i = 0; i < COUNT(names); i++) {
        cr_expect_eq(state_view_read(dirfd, names[i], &seen), -1, "%s", names[i]);
        cr_expect_eq(errno, EINVAL, "%s: %s", names[i], strerror(errno));
    }
    cr_expect_eq(state_view_read(dirfd, textf("%064d", 0), &seen), -1);
    cr_expect_eq(errno, EINVAL);
    cr_expect_eq(state_view_read(dirfd, textf("%063d", 0), &seen), -1);
    cr_expect_eq(errno, ENOENT);
}

Test(reader, refuses_every_other_size)
{
    struct rpd_state_page page;
    int fd;

    fill(&page);
    file_write(path_of("demo.state"), &page, sizeof page);
    cr_assert_eq(state_view_read(dirfd, "demo", &page), 0);
    fd = open(path_of("demo.state"), O_WRONLY | O_CLOEXEC);
    for (off_t size = RPD_STATE_SIZE - 1; size >= 0; size--) {
        cr_assert_eq(ftruncate(fd, size), 0);
        expect_no_page(EPROTO, textf("cut to %ld", (long)size));
    }
    fill(&page);
    cr_assert_eq(pwrite(fd, &page, sizeof page, 0), (ssize_t)sizeof page);
    cr_assert_eq(ftruncate(fd, RPD_STATE_SIZE + 1), 0);
    expect_no_page(EPROTO, "a byte more");
    if (ftruncate(fd, (off_t)1 << 40) == 0)
        expect_no_page(EPROTO, "a tebibyte");
    close(fd);
}

Test(reader, refuses_wrong_beginnings)
{
    struct rpd_state_page page;

    fill(&page);
    page.magic[7] = 'E';
    file_write(path_of("demo.state"), &page, sizeof page);
    expect_no_page(EPROTO, "another magic");
    fill(&page);
    page.size = 4096;
    file_write(path_of("demo.state"), &page, sizeof page);
    expect_no_page(EPROTO, "another size in it");
}

Test(reader, gives_the_first_64_bytes_of_other_layouts)
{
    static const size_t sizes[] = {64, 65, 4096, 16384, 65536};
    static char bytes[65536];
    struct rpd_state_page page, seen;

    memset(bytes, 0xee, sizeof bytes);
    fill(&page);
    page.layout = 2;
    page.pid = 4711;
    page.phase = RPD_PHASE_READY;
    memcpy(bytes, &page, 64);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        file_write(path_of("demo.state"), bytes, sizes[i]);
        memset(&seen, 0xff, sizeof seen);
        cr_assert_eq(state_view_read(dirfd, "demo", &seen), -1);
        cr_expect_eq(errno, EPROTO);
        cr_expect_arr_eq(&seen, &page, 64);
        cr_expect(is_zero((char *)&seen + 64, sizeof seen - 64), "%zu", sizes[i]);
    }
}

/* The same random numbers in every run. */
static uint64_t next_random(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static void fill_randomly(struct rpd_state_page *page)
{
    struct rpd_state_page valid;

    for (size_t at = 0; at < sizeof *page; at += sizeof(uint64_t)) {
        const uint64_t word = next_random();
        memcpy((char *)page + at, &word, sizeof word);
    }
    fill(&valid);
    if (next_random() % 8 != 0)
        memcpy(page, &valid, offsetof(struct rpd_state_page, pid));
    if (next_random() % 8 == 0)
        page->layout = (uint32_t)next_random();
}

static bool is_safe(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!text[i])
            return true;
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    }
    return false;
}

static void expect_safe(const struct rpd_state_page *page)
{
    cr_assert(is_safe(page->service, sizeof page->service));
    cr_assert(is_safe(page->build, sizeof page->build));
    cr_assert(is_safe(page->error, sizeof page->error));
    cr_assert_leq(page->part_count, RPD_STATE_PARTS);
    for (size_t i = 0; i < RPD_STATE_PARTS; i++)
        cr_assert(is_safe(page->parts[i].name, sizeof page->parts[i].name) &&
                  is_safe(page->parts[i].unit, sizeof page->parts[i].unit));
}

Test(reader, survives_any_bytes)
{
    enum { PAGES = 10000 };
    const int fd = open(path_of("demo.state"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct rpd_state_page page, seen;
    size_t taken = 0;

    file_write(path_of("demo.lock"), "", 0);
    for (size_t i = 0; i < PAGES; i++) {
        enum state_verdict verdict;

        fill_randomly(&page);
        cr_assert_eq(pwrite(fd, &page, sizeof page, 0), (ssize_t)sizeof page);
        taken += state_view_look(dirfd, "demo", &seen, &verdict) == 0;
        expect_safe(&seen);
        cr_assert_eq(verdict, STATE_DEAD);
        state_view_judge(dirfd, "demo", &page, now_us());
    }
    cr_log_info("%zu of %d random pages had a beginning that is read", taken, PAGES);
    cr_expect_gt(taken, PAGES / 2);
    close(fd);
}

/* ---- judging ------------------------------------------------------------------------ */

static struct rpd_state_page living;
static int lock_fd;

static int hold_lock(void)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = open(path_of("demo.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_eq(fcntl(fd, F_OFD_SETLK, &whole), 0);
    return fd;
}

static uint64_t start_time_of(pid_t pid)
{
    struct proc_stat stat;

    cr_assert_eq(proc_read_stat(textf("%d", pid), &stat), 0);
    return stat.start_time;
}

/* A page of this process, which certainly lives, and holds the lock. */
static void begin_to_live(void)
{
    char boot_id[BOOT_ID_SIZE];

    enter_directory();
    fill(&living);
    proc_boot_id(boot_id);
    proc_parse_boot_id(boot_id, living.boot_id);
    living.pid = (uint32_t)getpid();
    living.start_time = start_time_of(getpid());
    living.phase = RPD_PHASE_READY;
    living.turned_us = now_us();
    lock_fd = hold_lock();
}

TestSuite(judge, .init = begin_to_live, .fini = leave_directory, .timeout = 30);

#define expect_verdict(page, at_us, wanted)                                                        \
    do {                                                                                           \
        const enum state_verdict verdict_ = state_view_judge(dirfd, "demo", (page), (at_us));      \
        cr_expect_eq(verdict_, (wanted), "%s instead of %s", state_verdict_text(verdict_),         \
                     state_verdict_text(wanted));                                                  \
    } while (0)

Test(judge, phases_of_the_living)
{
    static const enum state_verdict wanted[] = {
        [RPD_PHASE_STARTING] = STATE_WARMING,  [RPD_PHASE_WARMING] = STATE_WARMING,
        [RPD_PHASE_READY] = STATE_ALIVE,       [RPD_PHASE_DRAINING] = STATE_DRAINING,
        [RPD_PHASE_STOPPING] = STATE_DRAINING, [RPD_PHASE_STOPPED] = STATE_DRAINING};

    for (uint32_t phase = 0; phase < COUNT(wanted); phase++) {
        living.phase = phase;
        expect_verdict(&living, living.turned_us, wanted[phase]);
    }
}

Test(judge, a_loop_that_does_not_turn_is_stalled)
{
    expect_verdict(&living, living.turned_us + RPD_STATE_STALL_US, STATE_ALIVE);
    expect_verdict(&living, living.turned_us + RPD_STATE_STALL_US + 1, STATE_STALLED);
    living.phase = RPD_PHASE_WARMING;
    expect_verdict(&living, living.turned_us + RPD_STATE_STALL_US + 1, STATE_STALLED);
    /* The loop turned after we had read the clock. */
    expect_verdict(&living, living.turned_us - 1000, STATE_WARMING);
}

Test(judge, without_its_lock_it_is_dead)
{
    close(lock_fd);
    expect_verdict(&living, living.turned_us, STATE_DEAD);
    unlink(path_of("demo.lock"));
    /* The lock file was removed, and its holder had no room to make it again: its process
     * decides. */
    expect_verdict(&living, living.turned_us, STATE_ALIVE);
    living.start_time++;
    expect_verdict(&living, living.turned_us, STATE_DEAD);
    living.start_time = 0;
    expect_verdict(&living, living.turned_us, STATE_DEAD);
    cr_assert_eq(symlink("elsewhere", path_of("demo.lock")), 0);
    expect_verdict(&living, living.turned_us, STATE_DEAD);
    unlink(path_of("demo.lock"));
    cr_assert_eq(mkfifo(path_of("demo.lock"), 0600), 0);
    expect_verdict(&living, living.turned_us, STATE_DEAD);
}

Test(judge, the_lock_is_asked_and_never_taken)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd;

    close(lock_fd);
    expect_verdict(&living, living.turned_us, STATE_DEAD);
    fd = open(path_of("demo.lock"), O_RDWR | O_CLOEXEC);
    cr_expect_eq(fcntl(fd, F_OFD_SETLK, &whole), 0, "another process has it");
    expect_verdict(&living, living.turned_us, STATE_ALIVE);
    /* Looking did not release the lock, as it would release a POSIX lock. */
    expect_verdict(&living, living.turned_us, STATE_ALIVE);
    close(fd);
}

/* A held lock belongs to this boot, whatever /proc shows. */
Test(judge, of_another_boot_it_is_elsewhere)
{
    struct rpd_state_page other = living;

    other.boot_id[3] ^= 1;
    expect_verdict(&other, other.turned_us, STATE_ELSEWHERE);
    cr_expect_eq(state_view_place(&other), STATE_OTHER_BOOT_ID);
    close(lock_fd);
    expect_verdict(&other, other.turned_us, STATE_DEAD);
}

/* Its pid means nothing here, and neither do its times. */
Test(judge, of_another_namespace_it_is_elsewhere)
{
    struct proc_namespaces ours;
    struct rpd_state_page other = living;

    proc_namespaces(&ours);
    other.namespaces[RPD_STATE_PID_NAMESPACE] = ours.pid;
    other.namespaces[RPD_STATE_TIME_NAMESPACE] = ours.time;
    expect_verdict(&other, other.turned_us, STATE_ALIVE);
    other.namespaces[RPD_STATE_PID_NAMESPACE]++;
    other.pid = UINT32_MAX;
    expect_verdict(&other, other.turned_us + 10 * RPD_STATE_STALL_US, STATE_ELSEWHERE);
    cr_expect_eq(state_view_place(&other), STATE_OTHER_PID_NAMESPACE);
    cr_expect(state_view_has_our_clock(&other));
    other.namespaces[RPD_STATE_PID_NAMESPACE] = ours.pid;
    other.namespaces[RPD_STATE_TIME_NAMESPACE]++;
    other.start_time++;
    expect_verdict(&other, other.turned_us + 10 * RPD_STATE_STALL_US, STATE_ELSEWHERE);
    cr_expect_eq(state_view_place(&other), STATE_OTHER_TIME_NAMESPACE);
    cr_expect_not(state_view_has_our_clock(&other));
    close(lock_fd);
    expect_verdict(&other, other.turned_us, STATE_DEAD);
}

Test(judge, of_another_process_it_is_dead)
{
    struct rpd_state_page other = living;

    memset(other.boot_id, 0, sizeof other.boot_id); /* its /proc did not say */
    expect_verdict(&other, other.turned_us, STATE_ALIVE);
    other = living;
    other.start_time++;
    expect_verdict(&other, other.turned_us, STATE_DEAD);
    other.start_time = 0;
    expect_verdict(&other, other.turned_us, STATE_ALIVE);
    other.pid = 0;
    expect_verdict(&other, other.turned_us, STATE_DEAD);
    other.pid = UINT32_MAX;
    expect_verdict(&other, other.turned_us, STATE_DEAD);
}

/* A process that stops itself, and ends when it is continued. */
static pid_t stopped_child(void)
{
    const pid_t pid = fork();

    if (pid == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
    return pid;
}

Test(judge, a_stopped_process_is_stalled_and_an_ended_one_dead)
{
    const pid_t pid = stopped_child();
    siginfo_t info;

    living.pid = (uint32_t)pid;
    living.start_time = start_time_of(pid);
    expect_verdict(&living, living.turned_us, STATE_STALLED);
    kill(pid, SIGCONT);
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    expect_verdict(&living, living.turned_us, STATE_DEAD); /* a zombie */
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    expect_verdict(&living, living.turned_us, STATE_DEAD);
}

Test(judge, a_loop_that_rests_is_alive_however_long)
{
    living.turned_us = RPD_STATE_RESTS;
    living.rests_us = 7;
    expect_verdict(&living, now_us() + 3600 * UINT64_C(1000000), STATE_ALIVE);
    cr_expect_eq(state_view_last_turn_us(&living), 7);
    living.turned_us = 8;
    cr_expect_eq(state_view_last_turn_us(&living), 8);
}

Test(judge, what_cannot_be_asked_decides_nothing)
{
    allow_descriptors(false);
    expect_verdict(&living, living.turned_us, STATE_ALIVE);
    expect_verdict(&living, living.turned_us + RPD_STATE_STALL_US + 1, STATE_STALLED);
    allow_descriptors(true);
}

Test(judge, without_a_page_the_lock_decides)
{
    struct rpd_state_page seen;
    enum state_verdict verdict;

    cr_expect_eq(state_view_look(dirfd, "demo", &seen, &verdict), -1);
    cr_expect_eq(errno, ENOENT);
    cr_expect_eq(verdict, STATE_WARMING);
    close(lock_fd);
    cr_expect_eq(state_view_look(dirfd, "demo", &seen, &verdict), -1);
    cr_expect_eq(verdict, STATE_DEAD);
}

Test(judge, other_layouts_are_judged_by_what_stays)
{
    struct rpd_state_page seen;
    enum state_verdict verdict;

    living.layout = 7;
    living.turned_us = now_us() + 60 * 1000000u;
    file_write(path_of("demo.state"), &living, 64);
    cr_expect_eq(state_view_look(dirfd, "demo", &seen, &verdict), -1);
    cr_expect_eq(errno, EPROTO);
    cr_expect_eq(verdict, STATE_ALIVE);
}

Test(judge, verdicts_have_names)
{
    cr_expect_str_eq(state_verdict_text(STATE_DEAD), "dead");
    cr_expect_str_eq(state_verdict_text(STATE_STALLED), "stalled");
    cr_expect_str_eq(state_verdict_text(STATE_DRAINING), "draining");
    cr_expect_str_eq(state_verdict_text(STATE_WARMING), "warming");
    cr_expect_str_eq(state_verdict_text(STATE_ALIVE), "alive");
    cr_expect_str_eq(state_verdict_text(STATE_ELSEWHERE), "alive, elsewhere");
}

/* Printed, not judged: other work on the machine affects it. */
Test(judge, costs_little)
{
    enum { LOOKS = 2000 };
    struct rpd_state_page seen;
    enum state_verdict verdict;
    int64_t began;

    file_write(path_of("demo.state"), &living, sizeof living);
    began = now_ns();
    for (int i = 0; i < LOOKS; i++)
        cr_assert_eq(state_view_look(dirfd, "demo", &seen, &verdict), 0);
    cr_log_info("a look at a service: %.1f us (at most 1000 is the aim)",
                (double)(now_ns() - began) / LOOKS / 1e3);
}
