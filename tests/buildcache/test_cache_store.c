/* The store, from outside: what survives a restart and a kill, the cap on its size, full disks and
 * damaged ones, and that a directory has one owner. */
#include "environments.h"
#include "scene.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct process *start(const char *dir, const char *options)
{
    struct process *rpd = scene_start(dir, options, "");

    scene_await_ready(rpd);
    return rpd;
}

static void stop(struct process *rpd)
{
    cr_assert_eq(process_code(process_stop(rpd)), 0, "%s", process_stderr(rpd));
    process_free(rpd);
}

static bool is_hit(const char *dir, const char *path, const void *body, size_t size)
{
    const struct answer answer = scene_get(dir, path);

    if (answer.status == 404)
        return false;
    cr_assert_eq(answer.status, 200, "%s: %d", path, answer.status);
    cr_assert_eq(answer.size, size, "%s", path);
    cr_assert_eq(memcmp(answer.body, body, size), 0, "%s", path);
    return true;
}

/* ---- restarts ------------------------------------------------------------------------------- */

Test(cache_store, objects_survive_a_restart)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");

    for (unsigned i = 0; i < 50; i++)
        cr_assert_eq(scene_put(dir, textf("/%u", i), scene_bytes(i, i * 5000), i * 5000), 200);
    stop(rpd);
    rpd = start(dir, "");
    for (unsigned i = 0; i < 50; i++)
        cr_assert(is_hit(dir, textf("/%u", i), scene_bytes(i, i * 5000), i * 5000), "%u", i);
    cr_assert(!is_hit(dir, "/50", "", 0));
    stop(rpd);
    temp_dir_remove(dir);
}

/* The order of use is kept in steps of 0.1 s. */
static void wait_a_step(void)
{
    const struct timespec step = {.tv_nsec = 150000000};

    nanosleep(&step, NULL);
}

static int64_t tenths(const struct timespec *time)
{
    return time->tv_sec * 10 + time->tv_nsec / 100000000;
}

static int64_t tenths_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return tenths(&now);
}

/* As only the daemon notes it: in steps. */
static void await_noted(const char *object, int64_t since)
{
    const int64_t until = now_ns() + 20000000000;
    struct stat status;

    while (stat(object, &status) != 0 || tenths(&status.st_atim) < since ||
           status.st_atim.tv_nsec % 100000000 > 2000000) {
        cr_assert_lt(now_ns(), until, "its use is not noted: %s", object);
        poll(NULL, 0, 10);
    }
}

/* 1.2 MB have room for eleven of 100 KB. */
static void check_order(bool by_kill)
{
    enum { SIZE = 102400 };
    static const unsigned used_again[] = {3, 0, 7};
    const char *dir = temp_dir_make(), *options = ", \"max_size\": 1258291, \"memory\": 0";
    struct process *rpd = start(dir, options);
    int64_t used[10];

    for (unsigned i = 0; i < 10; i++, wait_a_step()) {
        used[i] = tenths_now();
        cr_assert_eq(scene_put(dir, textf("/the-order/%u", i), scene_bytes(i, SIZE), SIZE), 200);
    }
    for (unsigned i = 0; i < 3; i++, wait_a_step()) {
        const unsigned number = used_again[i];
        used[number] = tenths_now();
        cr_assert(is_hit(dir, textf("/the-order/%u", number), scene_bytes(number, SIZE), SIZE));
    }
    if (by_kill) {
        for (unsigned i = 0; i < 10; i++)
            await_noted(scene_find_object(dir, textf("/the-order/%u", i)), used[i]);
        process_signal(rpd, SIGKILL);
        process_wait_exit(rpd);
        process_free(rpd);
    } else {
        stop(rpd);
    }
    rpd = start(dir, options);
    for (unsigned i = 10; i < 14; i++, wait_a_step())
        cr_assert_eq(scene_put(dir, textf("/the-order/%u", i), scene_bytes(i, SIZE), SIZE), 200);
    for (unsigned i = 0; i < 14; i++)
        cr_expect_eq(is_hit(dir, textf("/the-order/%u", i), scene_bytes(i, SIZE), SIZE),
                     i != 1 && i != 2 && i != 4, "%u", i);
    stop(rpd);
    temp_dir_remove(dir);
}

Test(cache_store, the_order_of_use_survives_a_restart)
{
    check_order(false);
}

Test(cache_store, the_order_of_use_survives_a_kill)
{
    check_order(true);
}

/* ---- its size ------------------------------------------------------------------------------- */

/* Writes objects until it is killed, or has written enough. */
static void write_many(const char *dir, unsigned seed, unsigned count)
{
    const int fd = scene_connect(scene_http(dir));

    for (unsigned i = 0; i < count; i++) {
        const size_t size = (seed * 7919 + i * 104729) % 262144;
        const struct answer answer = scene_ask(fd, "PUT", textf("/%u/%u", seed, i), "",
                                               scene_bytes(seed + i, size), size);
        if (answer.status != 200)
            _exit(1);
    }
    _exit(0);
}

static uint64_t disk_bytes(const char *dir)
{
    char *const roots[] = {(char *)(uintptr_t)textf("%s/cache", dir), NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    uint64_t bytes = 0;
    FTSENT *entry;

    while ((entry = fts_read(tree)))
        if (entry->fts_info == FTS_F)
            bytes += ((uint64_t)entry->fts_statp->st_size + 4095) / 4096 * 4096;
    fts_close(tree);
    return bytes;
}

/* While the daemon is stopped, because objects come and go during the walk. */
static uint64_t exact_disk_bytes(const char *dir, struct process *rpd)
{
    const char *stat_path = textf("/proc/%d/stat", (int)process_pid(rpd));
    uint64_t bytes;

    process_signal(rpd, SIGSTOP);
    while (!strstr(file_read(stat_path), ") T"))
        poll(NULL, 0, 1);
    bytes = disk_bytes(dir);
    process_signal(rpd, SIGCONT);
    return bytes;
}

/* Objects and what is being written, looked at all the time while eight clients write. */
Test(cache_store, its_size_holds_while_many_write)
{
    enum { WRITERS = 8, OBJECTS = 100, CAP = 16 << 20 };
    const char *dir = temp_dir_make();
    struct process *rpd;
    int running = WRITERS, status;
    uint64_t most = 0, last;

    if (with_keeper())
        cr_skip("the runner is another process");
    rpd = start(dir, textf(", \"max_size\": %d", CAP));
    for (unsigned i = 0; i < WRITERS; i++)
        if (fork() == 0)
            write_many(dir, i, OBJECTS);
    while (running > 0) {
        const uint64_t bytes = exact_disk_bytes(dir, rpd);
        most = bytes > most ? bytes : most;
        while (running > 0 && waitpid(-1, &status, WNOHANG) > 0) {
            cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
            running--;
        }
    }
    last = disk_bytes(dir);
    printf("cap %d, most %llu, last %llu\n", CAP, (unsigned long long)most,
           (unsigned long long)last);
    cr_assert_leq(most, CAP + CAP / 20);
    cr_assert_geq(last, CAP / 100 * 90);
    stop(rpd);
    rpd = start(dir, textf(", \"max_size\": %d", CAP / 2)); /* and a smaller one is reached */
    const int64_t until = now_ns() + 20000000000;
    while (disk_bytes(dir) > CAP / 2 && now_ns() < until)
        poll(NULL, 0, 10);
    cr_assert_leq(disk_bytes(dir), CAP / 2);
    stop(rpd);
    temp_dir_remove(dir);
}

static void await_taken(int fd)
{
    const int64_t until = now_ns() + 20000000000;
    int left = 1;

    while (ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0) {
        cr_assert_lt(now_ns(), until, "%d bytes are not read", left);
        poll(NULL, 0, 2);
    }
}

/* A hundred clients in the middle of a body: memory does not grow with their number. */
Test(cache_store, memory_does_not_grow_with_bodies)
{
    enum { WRITERS = 100, SENT = 1500000, AT_MOST_KIB = 64 * 1024 };
    const char *dir = temp_dir_make(), *body = scene_bytes(1, SENT);
    const char *head = "PUT /large HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";
    struct process *rpd = start(dir, ", \"max_size\": 0");
    int fds[WRITERS];
    long memory;

    for (unsigned i = 0; i < WRITERS; i++) {
        fds[i] = scene_connect(scene_http(dir));
        cr_assert_eq(send_all(fds[i], head, strlen(head)), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        cr_assert_eq(send_all(fds[i], body, SENT), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        await_taken(fds[i]);
    memory = rss_kib(process_pid(rpd));
    printf("%ld KiB\n", memory);
    cr_assert(is_sanitized() || memory < AT_MOST_KIB, "%ld KiB", memory);
    for (unsigned i = 0; i < WRITERS; i++)
        close(fds[i]);
    stop(rpd);
    temp_dir_remove(dir);
}

/* ---- disks ---------------------------------------------------------------------------------- */

static struct process *start_on_small_disk(const char *dir)
{
    const char *mount = textf("mount -t tmpfs -o size=3M,mode=700 none %s/cache", dir);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS(UNSHARE, "--mount", "sh", "-c", textf("%s && exec \"$@\"", mount), "sh",
                     build_path("rpd"), "-c", scene_configuration(dir, "", "")),
        .runtime_dir = dir});

    scene_await_ready(rpd);
    return rpd;
}

Test(cache_store, on_a_full_disk_reading_goes_on)
{
    enum { SIZE = 200000 };
    const char *dir = temp_dir_make();
    struct process *rpd;
    unsigned stored = 0;
    int status;

    if (!can_run(ARGS(MOUNT_NAMESPACE, AFTER("mount -t tmpfs none /mnt"), "true")))
        cr_skip("a mount namespace cannot be made here");
    cr_assert_eq(mkdir(textf("%s/cache", dir), 0700), 0);
    rpd = start_on_small_disk(dir);
    while ((status = scene_put(dir, textf("/%u", stored), scene_bytes(stored, SIZE), SIZE)) == 200)
        cr_assert_lt(++stored, 20);
    cr_assert_eq(status, 507);
    cr_assert_gt(stored, 5);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(scene_put(dir, "/more", scene_bytes(99, 3000000), 3000000), 507);
    cr_assert_eq(scene_get(dir, "/more").status, 404);
    for (unsigned i = 0; i < stored; i++)
        cr_assert(is_hit(dir, textf("/%u", i), scene_bytes(i, SIZE), SIZE), "%u", i);
    cr_assert_eq(process_wait_line(rpd, "cannot be stored: No space left on device"), 0);
    const int fd = scene_connect(scene_http(dir));
    cr_assert_eq(scene_ask(fd, "DELETE", "/0", "", NULL, 0).status, 204);
    close(fd);
    cr_assert_eq(scene_put(dir, "/0", scene_bytes(7, SIZE), SIZE), 200);
    cr_assert(is_hit(dir, "/0", scene_bytes(7, SIZE), SIZE));
    process_signal(rpd, SIGTERM);
    process_free(rpd);
    temp_dir_remove(dir);
}

static void flip(const char *path, off_t at, int bit)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char byte;

    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte = (unsigned char)(byte ^ 1 << bit);
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Small objects are always checked, large ones whenever their file has changed. */
Test(cache_store, no_wrong_byte_is_served)
{
    static const size_t sizes[] = {100, 5000, 131072, 131073, 2000000};
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, ", \"memory\": 0");
    size_t lines = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int n = 0; n < 24; n++, lines++) {
            const char *body = scene_bytes((unsigned)i, sizes[i]), *path;
            cr_assert_eq(scene_put(dir, "/key", body, sizes[i]), 200);
            cr_assert(is_hit(dir, "/key", body, sizes[i]));
            path = scene_find_object(dir, "/key");
            flip(path, (off_t)(44 + (sizes[i] - 1) * (size_t)n / 23), n % 8);
            cr_assert_eq(scene_get(dir, "/key").status, 404, "%zu bytes, %d", sizes[i], n);
            cr_assert_eq(access(path, F_OK), -1);
        }
    cr_assert_eq(process_wait_line(rpd, "an object was damaged"), 0);
    stop(rpd);
    temp_dir_remove(dir);
}

/* The number in the line of `rpdctl metrics` that begins so. */
static long metric(const char *dir, const char *name)
{
    struct process *rpdctl = process_start(&(struct process_options){
        .argv = ARGS("rpdctl", "metrics", "buildcache"), .runtime_dir = dir});
    const char *text, *line;
    long value;

    cr_assert_eq(process_code(process_wait_exit(rpdctl)), 0, "%s", process_stderr(rpdctl));
    text = textf("\n%s", process_stdout(rpdctl));
    line = strstr(text, textf("\n%s", name));
    cr_assert_not_null(line, "%s is not in: %s", name, text);
    value = strtol(strrchr(textf("%.*s", (int)strcspn(line + 1, "\n"), line + 1), ' '), NULL, 10);
    process_free(rpdctl);
    return value;
}

Test(cache_store, it_counts_what_it_does)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, ", \"max_object\": 1000000");

    cr_assert_eq(scene_put(dir, "/small", "hello", 5), 200);
    cr_assert_eq(scene_put(dir, "/large", scene_bytes(1, 200000), 200000), 200);
    cr_assert_eq(scene_put(dir, "/larger", scene_bytes(1, 1000001), 1000001), 413);
    for (int i = 0; i < 3; i++) {
        cr_assert(is_hit(dir, "/small", "hello", 5));
        cr_assert(is_hit(dir, "/large", scene_bytes(1, 200000), 200000));
        cr_assert(!is_hit(dir, "/none", "", 0));
    }
    cr_expect_eq(metric(dir, "buildcache_hits_total{service=\"buildcache\",tier=\"memory\"}"), 2);
    cr_expect_eq(metric(dir, "buildcache_hits_total{service=\"buildcache\",tier=\"disk\"}"), 4);
    cr_expect_eq(metric(dir, "buildcache_misses_total"), 3);
    cr_expect_eq(metric(dir, "buildcache_stored_total"), 2);
    cr_expect_eq(metric(dir, "buildcache_not_stored_total"), 1);
    cr_expect_eq(metric(dir, "buildcache_written_bytes_total"), 200005);
    cr_expect_eq(metric(dir, "buildcache_read_bytes_total{service=\"buildcache\",tier=\"disk\"}"),
                 600005);
    cr_expect_eq(metric(dir, "buildcache_objects"), 2);
    cr_expect_eq(metric(dir, "buildcache_size_bytes"), 4096 + 200704);
    stop(rpd);
    temp_dir_remove(dir);
}

Test(cache_store, a_directory_has_one_owner)
{
    const char *dir = temp_dir_make();
    struct process *first = start(dir, ""), *second;

    second = process_start(&(struct process_options){
        .argv = ARGS("rpd", build_path("plugins/buildcache.so"), "-n", "second", "-l",
                     textf("unix:%s/second.sock", dir), "-o", textf("directory=%s/cache", dir)),
        .runtime_dir = dir});
    cr_assert_eq(process_code(process_wait_exit(second)), 75, "%s", process_stderr(second));
    process_free(second);
    stop(first);
    temp_dir_remove(dir);
}

/* What is not its own is left alone: other files, and objects of other keys. */
Test(cache_store, other_files_are_left_alone)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");

    cr_assert_eq(scene_put(dir, "/key", "hello", 5), 200);
    stop(rpd);
    const char *object = scene_find_object(dir, "/key");
    const char *other = textf("%.*s/README", (int)(strrchr(object, '/') - object), object);
    file_write(other, "hello", 5);
    rpd = start(dir, "");
    cr_assert(is_hit(dir, "/key", "hello", 5));
    stop(rpd);
    cr_assert_eq(access(other, F_OK), 0);
    temp_dir_remove(dir);
}

/* ---- kill -9 -------------------------------------------------------------------------------- */

enum { KILL_WRITERS = 3 };

/* A body that its key and its version tell, of the size that they tell. */
static size_t make_body(unsigned writer, unsigned number, unsigned version, char **ret)
{
    const size_t size = (writer * 31 + number * 7907 + version * 131) % 300000 + 8;

    *ret = scene_bytes(writer * 1000003 + number * 101 + version, size);
    memcpy(*ret, &version, sizeof version);
    return size;
}

/* Tells through the pipe what was answered: the number of each. */
static void write_until_killed(const char *dir, unsigned writer, unsigned first, int pipe_fd)
{
    const int fd = scene_connect(scene_http(dir));

    for (unsigned number = first;; number++) {
        char *body;
        const size_t size = make_body(writer, number % 40, number / 40, &body);
        if (scene_ask(fd, "PUT", textf("/%u/%u", writer, number % 40), "", body, size).status !=
                200 ||
            write(pipe_fd, &number, sizeof number) != sizeof number)
            _exit(0);
    }
}

static unsigned last_told(int pipe_fd, unsigned before)
{
    unsigned number, last = before;

    while (read(pipe_fd, &number, sizeof number) == sizeof number)
        last = number + 1;
    return last;
}

/* next: the number that was not answered before the kill; it may or may not be there. */
static void check_written(struct process *rpd, const char *dir, unsigned writer, unsigned next)
{
    for (unsigned key = 0; key < 40; key++) {
        const unsigned known = next > key ? (next - key - 1) / 40 : 0; /* version */
        const struct answer answer = scene_get(dir, textf("/%u/%u", writer, key));
        unsigned version;
        char *body;
        if (next <= key && answer.status == 404)
            continue;
        cr_assert_eq(answer.status, 200, "%d for /%u/%u of %u; its file: %s\n%s", answer.status,
                     writer, key, next, scene_find_object(dir, textf("/%u/%u", writer, key)),
                     process_stderr(rpd));
        cr_assert_geq(answer.size, sizeof version);
        memcpy(&version, answer.body, sizeof version);
        cr_assert(version == known || (next % 40 == key && version == next / 40),
                  "/%u/%u has version %u, next is %u", writer, key, version, next);
        cr_assert_eq(answer.size, make_body(writer, key, version, &body));
        cr_assert_eq(memcmp(answer.body, body, answer.size), 0);
    }
}

Test(cache_store, whatever_is_killed_no_object_is_partial_or_lost, .timeout = 580)
{
    const int rounds = scene_is_long() ? 200 : 8;
    const char *dir = temp_dir_make();
    unsigned next[KILL_WRITERS] = {0};

    for (int round = 0; round <= rounds; round++) {
        struct process *rpd = scene_start(dir, "", "");
        int pipes[KILL_WRITERS][2];
        for (unsigned i = 0; i < KILL_WRITERS; i++)
            check_written(rpd, dir, i, next[i]);
        scene_await_ready(rpd);
        for (unsigned i = 0; i < KILL_WRITERS && round < rounds; i++) {
            cr_assert_eq(pipe2(pipes[i], O_CLOEXEC), 0);
            if (fork() == 0)
                write_until_killed(dir, i, next[i], pipes[i][1]);
            close(pipes[i][1]);
        }
        if (round < rounds) {
            struct pollfd first = {.fd = pipes[round % KILL_WRITERS][0], .events = POLLIN};
            poll(&first, 1, 20000);
            poll(NULL, 0, round * 7 % 60);
            process_signal(rpd, SIGKILL);
            process_wait_exit(rpd);
            for (unsigned i = 0; i < KILL_WRITERS; i++) {
                next[i] = last_told(pipes[i][0], next[i]);
                close(pipes[i][0]);
            }
            while (waitpid(-1, NULL, WNOHANG) > 0)
                continue;
        } else {
            stop(rpd);
            cr_assert(!scene_has_leftovers(dir));
            break;
        }
        process_free(rpd);
    }
    printf("%d kills, %u objects written\n", rounds, next[0] + next[1] + next[2]);
    cr_assert_gt(next[0], 0);
    temp_dir_remove(dir);
}
