/* What the system refuses: descriptors, clients, files, workers. See provoke.h. */
#include "provoke.h"

#include <sys/resource.h>
#include <time.h>

/* ---- how fast the witness gets answers --------------------------------------------- */

double measure_p99_ms(struct stage *stage)
{
    witness_reset(&stage->witness);
    witness_wait_for(stage, is_long() ? 2000 : 200);
    return witness_p99_ms(&stage->witness);
}

void assert_p99_is_near(struct stage *stage, double normal_ms)
{
    const bool judged = is_long() && !is_slow();
    double limit_ms = 2 * normal_ms, p99_ms = 0;

    if (limit_ms < (judged ? 1 : 200))
        limit_ms = judged ? 1 : 200;
    /* Other programs on the machine do not disturb every attempt. */
    for (int attempt = 0; attempt < 3; attempt++) {
        p99_ms = measure_p99_ms(stage);
        cr_log_info("p99 %.2f ms; without the fault %.2f ms", p99_ms, normal_ms);
        if (p99_ms <= limit_ms)
            return;
    }
    cr_assert_fail("p99 %.2f ms; without the fault %.2f ms", p99_ms, normal_ms);
}

/* ---- row 14: EMFILE ------------------------------------------------------------------ */

/* From now on the daemon can open no descriptor. Returns the old limit. */
static rlim_t take_descriptors(const struct stage *stage)
{
    struct rlimit limit, none;

    cr_assert_eq(prlimit(process_pid(stage->rpd), RLIMIT_NOFILE, NULL, &limit), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
    cr_assert_eq(prlimit(process_pid(stage->rpd), RLIMIT_NOFILE, &none, NULL), 0);
    return limit.rlim_cur;
}

static void give_descriptors(const struct stage *stage, rlim_t count)
{
    struct rlimit limit;

    cr_assert_eq(prlimit(process_pid(stage->rpd), RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = count;
    cr_assert_eq(prlimit(process_pid(stage->rpd), RLIMIT_NOFILE, &limit, NULL), 0);
}

void provoke_emfile_in_load(struct stage *stage, const char *variant)
{
    (void)variant;
    write_text(stage->path, "state");
    const rlim_t count = take_descriptors(stage);
    stage_open_gate(stage);
    assert_line(stage->rpd, "Too many open files; trying again in 1 s");
    stage_assert_alive(stage);
    cr_assert_str_eq(file_read(stage->path), "state");
    give_descriptors(stage, count);
}

/* Clients that cannot be accepted wait; another one connects now and then. The daemon logs this at
 * most once a second, and hardly uses the processor. */
static struct crowd wait_without_descriptors(struct stage *stage)
{
    const int64_t seconds = is_long() ? 10 : 2;
    const int64_t end = now_ns() + seconds * 1000000000;
    struct crowd crowd = crowd_make(stage->endpoint, 20);

    for (size_t i = 0; i < crowd.count; i++)
        stage_say(crowd.fds[i], "patient");
    assert_line(stage->rpd, "cannot accept clients (");
    stage_wait_page(stage, accept_pauses, 1);
    stage_assert_alive(stage);
    witness_end(&stage->witness);
    const int64_t used = cpu_time_ns(process_pid(stage->rpd));
    while (now_ns() < end) {
        crowd.fds = realloc(crowd.fds, (crowd.count + 1) * sizeof *crowd.fds);
        crowd.fds[crowd.count] = stage_client(stage->endpoint);
        stage_say(crowd.fds[crowd.count++], "patient");
        poll(NULL, 0, 50);
    }
    const int64_t burnt = cpu_time_ns(process_pid(stage->rpd)) - used;
    cr_log_info("%ld ms of processor in %ld s", (long)(burnt / 1000000), (long)seconds);
    if (!is_slow())
        cr_assert_lt(burnt, seconds * 50000000, "%ld ms of %ld s", (long)(burnt / 1000000),
                     (long)seconds);
    process_poll(&stage->rpd, 1, 0);
    cr_assert_leq(lines_with(process_stderr(stage->rpd), "accept"), (size_t)seconds + 1, "%s",
                  process_stderr(stage->rpd));
    return crowd;
}

static void assert_all_served(struct stage *stage, struct crowd *crowd, int64_t since)
{
    for (size_t i = 0; i < crowd->count; i++)
        stage_expect_line(stage, crowd->fds[i], "patient");
    const int64_t took = now_ns() - since;
    cr_assert_lt(took,
                 is_slow()   ? 20000000000
                 : is_long() ? 1100000000
                             : 3000000000,
                 "back after %ld ms", (long)(took / 1000000));
    crowd_close(crowd);
}

void provoke_emfile(struct stage *stage, const char *variant)
{
    (void)variant;
    const rlim_t count = take_descriptors(stage);
    struct crowd crowd = wait_without_descriptors(stage);
    const int64_t since = now_ns();
    give_descriptors(stage, count);
    assert_all_served(stage, &crowd, since);
}

/* The daemon stops while its queues hold clients that it cannot accept. */
static rlim_t taken;

void arrange_emfile(struct stage *stage, const char *variant)
{
    (void)variant;
    taken = take_descriptors(stage);
    stage_say(stage_client(stage->endpoint), "unlucky");
    assert_line(stage->rpd, "cannot accept clients (");
}

/* A sanitizer needs a descriptor at the end. */
void provoke_after_emfile(struct stage *stage, const char *variant)
{
    (void)variant;
    stage_wait_verdict(stage, STATE_DRAINING);
    if (is_slow())
        give_descriptors(stage, taken);
}

/* ---- rows 15 and 17: accept4() fails -------------------------------------------------- */

static int error_of(const char *variant)
{
    static const struct {
        const char *name;
        int number;
    } errors[] = {{"ENFILE", ENFILE}, {"ENOBUFS", ENOBUFS}, {"ENOMEM", ENOMEM},
                  {"EPROTO", EPROTO}, {"EPERM", EPERM},     {"ECONNABORTED", ECONNABORTED}};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(errors[i].name, variant) == 0)
            return errors[i].number;
    test_die("no error %s", variant);
}

static void let_accept_fail(struct stage *stage, const char *variant, int times)
{
    atomic_store(&stage->fault->error, error_of(variant));
    atomic_store(&stage->fault->left, times);
}

void provoke_accept_error(struct stage *stage, const char *variant)
{
    let_accept_fail(stage, variant, INT_MAX);
    struct crowd crowd = wait_without_descriptors(stage);
    const int64_t since = now_ns();
    cr_assert_gt(atomic_load(&stage->fault->failed), 0);
    atomic_store(&stage->fault->left, 0);
    assert_all_served(stage, &crowd, since);
}

void arrange_accept_error(struct stage *stage, const char *variant)
{
    let_accept_fail(stage, variant, INT_MAX);
    stage_say(stage_client(stage->endpoint), "unlucky");
    assert_line(stage->rpd, "cannot accept clients (");
}

/* More failures than clients are accepted in one turn of the loop. */
enum { HICCUPS = 200 };

static void wait_for_hiccups(struct stage *stage)
{
    const int64_t began = now_ns();

    while (atomic_load(&stage->fault->left) > 0) {
        cr_assert_lt(now_ns() - began, stage_patience_ns());
        stage_rest();
    }
    cr_assert_eq(atomic_load(&stage->fault->failed), HICCUPS);
}

void provoke_accept_hiccup(struct stage *stage, const char *variant)
{
    let_accept_fail(stage, variant, HICCUPS);
    const int fd = stage_client(stage->endpoint), tcp = stage_client(stage->tcp);

    stage_say(fd, "me, too");
    stage_say(tcp, "me, too");
    wait_for_hiccups(stage);
    if (stage->phase == LOADING) {
        stage_wait_page(stage, clients_held, 3);
        stage_open_gate(stage);
    }
    stage_expect_line(stage, fd, "me, too");
    stage_expect_line(stage, tcp, "me, too");
    cr_assert_eq(lines_with(process_stderr(stage->rpd), "cannot accept"), 0, "%s",
                 process_stderr(stage->rpd));
    close(fd);
    close(tcp);
}

/* The guest has the only place: the other clients are still queued when the stop begins. */
static int queued[3];

void arrange_accept_hiccup(struct stage *stage, const char *variant)
{
    for (size_t i = 0; i < 3; i++) {
        queued[i] = stage_client(i == 2 ? stage->tcp : stage->endpoint);
        stage_say(queued[i], "me, too");
    }
    let_accept_fail(stage, variant, HICCUPS);
}

void provoke_after_hiccup(struct stage *stage, const char *variant)
{
    (void)variant;
    for (size_t i = 0; i < 3; i++) {
        stage_expect_line(stage, queued[i], "me, too");
        close(queued[i]);
    }
    wait_for_hiccups(stage);
}

/* ---- row 26: the disk vanishes, or hangs ------------------------------------------------ */

static void assert_next_is(struct stage *stage, int fd, const char *wanted)
{
    stage_expect_line(stage, fd, wanted);
    close(fd);
}

/* During the load it is tried again, and succeeds once the file is there. Otherwise a job fails. */
void provoke_missing_file(struct stage *stage, const char *variant)
{
    (void)variant;
    if (stage->phase == LOADING) {
        stage_open_gate(stage);
        assert_line(stage->rpd, "No such file or directory; trying again in 1 s");
        stage_assert_alive(stage);
        write_text(stage->path, "state");
        return;
    }
    const int fd = stage_client(stage->endpoint);
    stage_say(fd, "job read");
    assert_next_is(stage, fd, "No such file or directory read");
}

static int waiting;

void arrange_missing_file(struct stage *stage, const char *variant)
{
    (void)variant;
    waiting = stage_client(stage->endpoint);
    stage_say(waiting, "wait read");
    stage_wait_page(stage, jobs, 2);
}

void provoke_after_missing_file(struct stage *stage, const char *variant)
{
    (void)variant;
    stage_go(stage);
    assert_next_is(stage, waiting, "No such file or directory read");
}

/* A FIFO without a writer. */
static void hang_disk(const struct stage *stage)
{
    cr_assert_eq(mkfifo(stage->path, 0600), 0);
}

void provoke_hung_load_of_file(struct stage *stage, const char *variant)
{
    hang_disk(stage);
    provoke_hung_load(stage, variant);
}

/* Two of four workers hang; all other clients are served as before. Then the disk is back. */
void provoke_hung_disk(struct stage *stage, const char *variant)
{
    const double normal_ms = measure_p99_ms(stage);
    int fds[2];

    (void)variant;
    hang_disk(stage);
    for (size_t i = 0; i < 2; i++) {
        fds[i] = stage_client(stage->endpoint);
        stage_say(fds[i], "job read");
    }
    stage_wait_page(stage, jobs, 2);
    assert_p99_is_near(stage, normal_ms);
    assert_text(ask_once(stage->endpoint, "job none"), "did none", stage->rpd);
    stage_assert_alive(stage);
    const int disk = open(stage->path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(disk, 0);
    /* Both have opened the FIFO; they see its end when the last writer closes it. */
    poll(NULL, 0, 100);
    close(disk);
    assert_next_is(stage, fds[0], "did read");
    assert_next_is(stage, fds[1], "did read");
}

void arrange_hung_disk(struct stage *stage, const char *variant)
{
    (void)variant;
    hang_disk(stage);
    stage_say(stage_client(stage->endpoint), "job read");
    stage_wait_page(stage, jobs, 2);
}

/* ---- row 27: a slow disk ----------------------------------------------------------------- */

/* 1 MB/s, for half a second or five. */
static void *feed(void *arg)
{
    enum { CHUNK = 10000, CHUNK_MS = 10 };
    static char chunk[CHUNK];
    const int fd = open(arg, O_WRONLY | O_CLOEXEC);

    for (int i = 0; i < (is_long() ? 500 : 50); i++) {
        if (write(fd, chunk, CHUNK) < 0)
            break;
        poll(NULL, 0, CHUNK_MS);
    }
    close(fd);
    return NULL;
}

static pthread_t slow_disk(const struct stage *stage)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, feed, (void *)(uintptr_t)stage->path), 0);
    return thread;
}

void arrange_slow_disk(struct stage *stage, const char *variant)
{
    (void)variant;
    hang_disk(stage);
    waiting = stage_client(stage->endpoint);
    stage_say(waiting, "wait read");
    stage_wait_page(stage, jobs, 2);
}

void provoke_slow_disk(struct stage *stage, const char *variant)
{
    const double normal_ms = stage->phase == DRAINING ? 0 : measure_p99_ms(stage);

    (void)variant;
    if (stage->phase != DRAINING)
        hang_disk(stage);
    const pthread_t disk = slow_disk(stage);
    if (stage->phase == LOADING) {
        stage_open_gate(stage);
        assert_p99_is_near(stage, normal_ms);
        pthread_join(disk, NULL);
        return;
    }
    if (stage->phase == DRAINING) {
        stage_go(stage);
    } else {
        waiting = stage_client(stage->endpoint);
        stage_say(waiting, "job read");
        assert_p99_is_near(stage, normal_ms);
    }
    assert_next_is(stage, waiting, "did read");
    pthread_join(disk, NULL);
}

/* ---- row 42: more jobs than can be ---------------------------------------------------------- */

enum { QUEUE = 10000, WORKERS = 4 };

/* A worker that starts its first job late leaves room in the queue: so of one job more than there
 * are workers, at least the last is refused. */
static void assert_busy(const struct stage *stage)
{
    struct pollfd asked[WORKERS + 1];

    for (int i = 0; i <= WORKERS; i++) {
        asked[i] = (struct pollfd){.fd = stage_client(stage->endpoint), .events = POLLIN};
        stage_say(asked[i].fd, "job none");
    }
    cr_assert_gt(poll(asked, WORKERS + 1, 60000), 0, "%s", process_stderr(stage->rpd));
    for (int i = 0; i <= WORKERS; i++) {
        if (asked[i].revents)
            assert_text(hear_line(asked[i].fd), "busy", stage->rpd);
        close(asked[i].fd);
    }
}

static void flood(struct stage *stage, bool loop_is_asked)
{
    const int fd = stage_client(stage->endpoint);
    const int wanted = is_long() ? 1000000 : 20000;
    const char *answer = ask(fd, textf("flood %d", wanted));
    const int accepted = answer ? atoi(answer) : 0;

    cr_assert(accepted >= QUEUE - 1 && accepted <= QUEUE + WORKERS, "%d were accepted", accepted);
    assert_busy(stage);
    stage_wait_page(stage, jobs_refused, (uint64_t)(wanted - accepted));
    if (loop_is_asked)
        stage_assert_alive(stage);
    close(fd);
}

void provoke_flood(struct stage *stage, const char *variant)
{
    (void)variant;
    flood(stage, true);
}

void arrange_flood(struct stage *stage, const char *variant)
{
    (void)variant;
    flood(stage, true);
}

/* All accepted jobs are done, each exactly once, and nearly all as cancelled. */
void provoke_after_flood(struct stage *stage, const char *variant)
{
    int accepted = 0, done = 0, cancelled = 0;

    (void)variant;
    stage_go(stage);
    stage_expect_line(stage, stage->guest, "did none");
    process_wait_exit(stage->rpd);
    const char *text = strstr(process_stderr(stage->rpd), "test: faulty: jobs accepted ");
    cr_assert(text && sscanf(text, "test: faulty: jobs accepted %d, done %d, cancelled %d",
                             &accepted, &done, &cancelled) == 3,
              "%s", process_stderr(stage->rpd));
    cr_assert(accepted >= QUEUE && accepted == done && accepted - cancelled <= 1, "%s", text);
}

/* ---- row 58: a plugin's own names -------------------------------------------------------- */

/* In load, or while draining, the plugin calls them by itself. */
void provoke_names(struct stage *stage, const char *variant)
{
    if (stage->phase == LOADING)
        stage_open_gate(stage);
    if (stage->phase == SERVING) {
        const int fd = stage_client(stage->endpoint);
        stage_say(fd, textf("%s names", strcmp(variant, "loop names") == 0 ? "now" : "job"));
        stage_expect_line(stage, fd, "did names");
        close(fd);
    }
    assert_line(stage->rpd, "test: names are its own");
    cr_assert_eq(lines_with(process_stderr(stage->rpd), "test: names are others'"), 0, "%s",
                 process_stderr(stage->rpd));
}
