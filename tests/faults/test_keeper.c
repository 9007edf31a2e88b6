/* The keeper: what clients notice of crashes, and what is left when one of its processes is killed.
 *
 * Each client here gets a name from the kernel, connects, and waits for a greeting. The plugin
 * (admits.c) records by that name which clients it has admitted. A client that was not admitted
 * must be greeted in the end, however many runners die meanwhile: it is "lost" if it sees
 * end-of-file or a reset.
 *
 * Between accept() and the backend's code only the runner has a client, for some microseconds, just
 * as only the daemon has it without a keeper. The tests kill no runner in that window: they stop it
 * first, and kill it only if all its clients are admitted, or still in the keeper's queue. */
#include "../integration/common.h"
#include "../plugins/admits.h"
#include "observe/state_view.h"

#include <criterion/parameterized.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { CLIENT_THREADS = 8, KILL_EVERY_MS = 100, OWN_SOCKETS = 2, FOREVER_S = 60 };

struct scene {
    const char *dir, *run, *config, *endpoint, *gate;
    int run_fd;
    struct admits_board *board;
    struct process *rpd;
};

static bool is_long(void)
{
    return getenv("RPD_TEST_LONG") != NULL;
}

/* ---- the daemon ----------------------------------------------------------------------- */

static struct scene prepare(const char *top, const char *service)
{
    const char *dir = temp_dir_make();
    struct scene scene = {.dir = dir,
                          .run = textf("%s/run", dir),
                          .config = textf("%s/rpd.json", dir),
                          .endpoint = textf("unix:%s/x.sock", dir),
                          .gate = textf("%s/gate", dir)};
    const char *board = textf("%s/board", dir);
    const int fd = open(board, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_eq(mkdir(scene.run, 0700), 0);
    cr_assert_eq(ftruncate(fd, sizeof *scene.board), 0);
    scene.board = mmap(NULL, sizeof *scene.board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(scene.board, MAP_FAILED);
    close(fd);
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    write_text(scene.config,
               textf("{%s\"drain_s\":5,\"services\":[{\"name\":\"admits\",\"plugin\":\"%s\","
                     "\"listen\":[\"%s\"],%s\"options\":{\"board\":\"%s\",\"gate\":\"%s\"}}]}",
                     top, test_plugin("admits"), scene.endpoint, service, board, scene.gate));
    return scene;
}

static void begin(struct scene *scene)
{
    scene->rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", scene->config), .runtime_dir = scene->run, .notify = true});
    cr_assert_eq(process_wait_bound(scene->rpd), 0, "%s", process_stderr(scene->rpd));
}

static void end(struct scene *scene)
{
    cr_assert_eq(process_code(process_stop(scene->rpd)), 0, "%s", process_stderr(scene->rpd));
    process_free(scene->rpd);
    munmap(scene->board, sizeof *scene->board);
    close(scene->run_fd);
    temp_dir_remove(scene->dir);
}

static void open_gate(const struct scene *scene)
{
    write_text(scene->gate, "");
}

static struct rpd_state_page page_of(const struct scene *scene)
{
    struct rpd_state_page page;

    if (state_view_read(scene->run_fd, "admits", &page) < 0)
        memset(&page, 0, sizeof page);
    return page;
}

/* The runner that now runs, other than `before`; taken from the kernel, because the page is updated
 * later. */
static pid_t runner_of(const struct scene *scene, pid_t before)
{
    const pid_t keeper = process_pid(scene->rpd);
    const char *path = textf("/proc/%d/task/%d/children", (int)keeper, (int)keeper);
    const int64_t until = now_ns() + INT64_C(20000000000);

    while (now_ns() < until) {
        char text[64] = "";
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        const ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        const long pid = got > 0 ? strtol(text, NULL, 10) : 0;

        if (fd >= 0)
            close(fd);
        if (pid > 0 && pid != before)
            return (pid_t)pid;
        poll(NULL, 0, 1);
    }
    return 0;
}

#define wait_page(scene, condition)                                                                \
    do {                                                                                           \
        const int64_t until_ = now_ns() + INT64_C(20000000000);                                    \
        struct rpd_state_page page = page_of(scene);                                               \
        while (!(condition) && now_ns() < until_) {                                                \
            poll(NULL, 0, 1);                                                                      \
            page = page_of(scene);                                                                 \
        }                                                                                          \
        cr_assert((condition), "%s: phase %u, held %lu\n%s", #condition, page.phase,               \
                  (unsigned long)page.clients_held, process_stderr((scene)->rpd));                 \
    } while (0)

/* ---- killing a runner -------------------------------------------------------------------- */

struct inodes {
    uint64_t list[4096];
    size_t count;
};

static void list_sockets(pid_t pid, struct inodes *ret)
{
    char dir[64], path[128], link[64];
    DIR *stream;

    ret->count = 0;
    snprintf(dir, sizeof dir, "/proc/%d/fd", (int)pid);
    stream = opendir(dir);
    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        unsigned long inode;
        ssize_t size;

        snprintf(path, sizeof path, "%s/%.20s", dir, entry->d_name);
        size = readlink(path, link, sizeof link - 1);
        link[size > 0 ? size : 0] = '\0';
        if (sscanf(link, "socket:[%lu]", &inode) == 1 && ret->count < 4096)
            ret->list[ret->count++] = inode;
    }
    if (stream)
        closedir(stream);
}

static bool has(const struct inodes *inodes, uint64_t inode)
{
    for (size_t i = 0; i < inodes->count; i++)
        if (inodes->list[i] == inode)
            return true;
    return false;
}

static bool is_admitted(const struct scene *scene, uint64_t inode)
{
    for (size_t fd = 0; fd < 4096; fd++)
        if (__atomic_load_n(&scene->board->inodes[fd], __ATOMIC_SEQ_CST) == inode)
            return true;
    return false;
}

static bool has_a_client_between(const struct scene *scene, pid_t runner)
{
    static struct inodes of_runner, of_keeper;
    size_t unknown = 0;

    list_sockets(runner, &of_runner);
    list_sockets(process_pid(scene->rpd), &of_keeper);
    for (size_t i = 0; i < of_runner.count; i++)
        unknown += !has(&of_keeper, of_runner.list[i]) && !is_admitted(scene, of_runner.list[i]);
    return unknown > OWN_SOCKETS;
}

static void await_stopped(pid_t pid)
{
    const char *path = textf("/proc/%d/stat", (int)pid);

    for (int tries = 0; tries < 20000; tries++) {
        const char *text = file_read(path), *state = text ? strrchr(text, ')') : NULL;

        if (!state || strchr("TtZX", state[2]))
            return;
        poll(NULL, 0, 1);
    }
}

static void kill_runner(const struct scene *scene, pid_t runner)
{
    for (int tries = 0; tries < 1000; tries++) {
        kill(runner, SIGSTOP);
        await_stopped(runner);
        if (!has_a_client_between(scene, runner))
            break;
        kill(runner, SIGCONT);
        poll(NULL, 0, 1);
    }
    kill(runner, SIGKILL);
}

/* ---- clients -------------------------------------------------------------------------------- */

struct crowd {
    const struct scene *scene;
    size_t each;       /* clients of one thread, one after the other */
    unsigned pause_us; /* between two of them */
    _Atomic size_t greeted, cut, lost, refused, full, late;
    pthread_t threads[CLIENT_THREADS];
};

static unsigned bind_by_kernel(int fd)
{
    const struct sockaddr any = {.sa_family = AF_UNIX};
    struct sockaddr_un name = {0};
    socklen_t length = sizeof name;
    char digits[6] = "";

    if (bind(fd, &any, sizeof(sa_family_t)) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &length) != 0)
        return 0;
    memcpy(digits, name.sun_path + 1, 5);
    return (unsigned)strtoul(digits, NULL, 16) % ADMITS_NAMES;
}

/* Returns a connected descriptor; or -1 and errno. */
static int connect_named(const struct scene *scene, unsigned *ret_name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", scene->endpoint + strlen("unix:"));
    *ret_name = bind_by_kernel(fd);
    __atomic_store_n(&scene->board->admitted[*ret_name], 0, __ATOMIC_SEQ_CST);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    const int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

/* 1: greeted; 0: closed before that; -1: neither, within a minute. */
static int await_greeting(int fd)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    char text[16];

    if (poll(&input, 1, FOREVER_S * 1000) <= 0)
        return -1;
    return recv(fd, text, sizeof text, 0) > 0;
}

static void be_client(struct crowd *crowd)
{
    unsigned name;
    const int fd = connect_named(crowd->scene, &name);
    int greeted;

    if (fd < 0) {
        atomic_fetch_add(errno == EAGAIN ? &crowd->full : &crowd->refused, 1);
        return;
    }
    greeted = await_greeting(fd);
    if (greeted > 0)
        atomic_fetch_add(&crowd->greeted, 1);
    else if (greeted < 0)
        atomic_fetch_add(&crowd->late, 1);
    else if (__atomic_load_n(&crowd->scene->board->admitted[name], __ATOMIC_SEQ_CST))
        atomic_fetch_add(&crowd->cut, 1);
    else
        atomic_fetch_add(&crowd->lost, 1);
    close(fd);
}

static void *be_clients(void *arg)
{
    struct crowd *crowd = arg;

    for (size_t i = 0; i < crowd->each; i++) {
        be_client(crowd);
        usleep(crowd->pause_us);
    }
    return NULL;
}

static void send_crowd(struct crowd *crowd, const struct scene *scene, size_t count,
                       unsigned pause_us)
{
    *crowd = (struct crowd){.scene = scene, .each = count / CLIENT_THREADS, .pause_us = pause_us};
    for (size_t i = 0; i < CLIENT_THREADS; i++)
        cr_assert_eq(pthread_create(&crowd->threads[i], NULL, be_clients, crowd), 0);
}

static void await_crowd(struct crowd *crowd)
{
    for (size_t i = 0; i < CLIENT_THREADS; i++)
        pthread_join(crowd->threads[i], NULL);
}

static const char *describe(const struct crowd *crowd)
{
    return textf("%zu greeted, %zu cut after admission, %zu lost, %zu refused, %zu full, %zu late",
                 crowd->greeted, crowd->cut, crowd->lost, crowd->refused, crowd->full, crowd->late);
}

static void assert_unharmed(const struct crowd *crowd, const struct scene *scene)
{
    cr_assert(crowd->lost + crowd->refused + crowd->full + crowd->late == 0, "%s\n%s",
              describe(crowd), process_stderr(scene->rpd));
    cr_assert_gt(crowd->greeted, 0);
}

/* ---- the runner is killed again and again --------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* Waits until a client that connects at the kill is greeted. */
static int64_t gap_ns(const struct scene *scene)
{
    const int64_t from = now_ns();
    unsigned name;
    int fd, greeted = 0;

    /* A client that a runner greeted just before it was killed proves nothing. */
    fd = connect_named(scene, &name);
    cr_assert_geq(fd, 0, "%s", strerror(errno));
    greeted = await_greeting(fd);
    cr_assert_eq(greeted, 1, "%s", process_stderr(scene->rpd));
    close(fd);
    return now_ns() - from;
}

Test(keeper, killed_every_100_ms)
{
    const size_t kills = is_long() ? 600 : 40, clients = is_long() ? 2000 : 400;
    struct scene scene = prepare("\"keeper\":true,\"on_crash_loop\":\"wait\",", "");
    int64_t gaps[600] = {0};
    struct crowd crowd;
    pid_t runner = 0;

    open_gate(&scene);
    begin(&scene);
    send_crowd(&crowd, &scene, clients,
               (unsigned)(kills * KILL_EVERY_MS * 1000 * CLIENT_THREADS / clients));
    for (size_t i = 0; i < kills; i++) {
        poll(NULL, 0, KILL_EVERY_MS);
        runner = runner_of(&scene, runner);
        cr_assert_gt(runner, 0, "no runner: %s", process_stderr(scene.rpd));
        kill_runner(&scene, runner);
        gaps[i] = gap_ns(&scene);
    }
    await_crowd(&crowd);
    qsort(gaps, kills, sizeof *gaps, compare_times);
    fprintf(stderr, "killed %zu times: %s; gap median %.1f ms, p99 %.1f ms\n", kills,
            describe(&crowd), (double)gaps[kills / 2] / 1e6, (double)gaps[kills * 99 / 100] / 1e6);
    assert_unharmed(&crowd, &scene);
    cr_assert_eq(page_of(&scene).restarts, kills);
    end(&scene);
}

/* The control: without a keeper the same crowd is refused, or lost. */
Test(keeper, without_one_clients_notice)
{
    struct scene scene = prepare("", "");
    struct crowd crowd;
    struct process *before;

    open_gate(&scene);
    begin(&scene);
    send_crowd(&crowd, &scene, 400, 20000);
    for (size_t i = 0; i < 5; i++) {
        poll(NULL, 0, KILL_EVERY_MS);
        before = scene.rpd;
        process_signal(before, SIGKILL);
        process_wait_exit(before);
        begin(&scene);
        process_free(before);
    }
    await_crowd(&crowd);
    cr_assert_gt(crowd.refused + crowd.lost, 0, "%s", describe(&crowd));
    end(&scene);
}

Test(keeper, killed_while_it_loads)
{
    struct scene scene = prepare("\"keeper\":true,", "");
    struct crowd crowd;
    pid_t runner = 0;

    begin(&scene);
    send_crowd(&crowd, &scene, CLIENT_THREADS, 0);
    wait_page(&scene, page.clients_held == CLIENT_THREADS);
    for (size_t i = 0; i < 3; i++) {
        runner = runner_of(&scene, runner);
        wait_page(&scene, page.runner_pid == (uint32_t)runner && page.phase == RPD_PHASE_WARMING);
        kill(runner, SIGKILL);
        wait_page(&scene, page.restarts == i + 1);
    }
    wait_page(&scene, page.clients_held == CLIENT_THREADS && page.crash_code == 128 + SIGKILL);
    open_gate(&scene);
    await_crowd(&crowd);
    assert_unharmed(&crowd, &scene);
    cr_assert_eq(crowd.greeted, (size_t)CLIENT_THREADS);
    wait_page(&scene, page.phase == RPD_PHASE_READY && page.clients_held == 0);
    end(&scene);
}

/* ---- shortages ------------------------------------------------------------------------------ */

/* The kernel silently drops descriptors for which the receiver has no room. */
Test(keeper, the_runner_has_no_descriptors)
{
    enum { HELD = 60, ROOM = 20 };
    struct scene scene = prepare("\"keeper\":true,", "");
    struct rlimit few, before;
    int fds[HELD];
    unsigned name;
    pid_t runner;

    begin(&scene);
    for (size_t i = 0; i < HELD; i++)
        cr_assert_geq(fds[i] = connect_named(&scene, &name), 0);
    wait_page(&scene, page.clients_held == HELD && page.runner_pid > 0);
    runner = (pid_t)page_of(&scene).runner_pid;
    cr_assert_eq(prlimit(runner, RLIMIT_NOFILE, NULL, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)count_fds(runner) + ROOM;
    cr_assert_eq(prlimit(runner, RLIMIT_NOFILE, &few, NULL), 0);
    open_gate(&scene);
    cr_assert_eq(process_wait_line(scene.rpd, "the runner has no descriptors"), 0);
    cr_assert_eq(prlimit(runner, RLIMIT_NOFILE, &before, NULL), 0);
    for (size_t i = 0; i < HELD; i++) {
        cr_assert_eq(await_greeting(fds[i]), 1, "client %zu: %s", i, process_stderr(scene.rpd));
        close(fds[i]);
    }
    end(&scene);
}

/* A client that is queued when the runner dies is in no process. */
Test(keeper, a_full_backlog)
{
    enum { ROOM = 64 };
    struct scene scene = prepare("\"keeper\":true,", "");
    int fds[ROOM];
    unsigned name;
    size_t queued = 0;
    pid_t runner;

    open_gate(&scene);
    begin(&scene);
    wait_page(&scene, page.phase == RPD_PHASE_READY && page.runner_pid > 0);
    cr_assert_lt(gap_ns(&scene), INT64_C(20000000000)); /* the runner accepts */
    runner = (pid_t)page_of(&scene).runner_pid;
    kill(runner, SIGSTOP);
    await_stopped(runner);
    while (queued < ROOM && (fds[queued] = connect_named(&scene, &name)) >= 0)
        queued++;
    cr_assert_eq(queued, (size_t)ROOM);
    kill(runner, SIGKILL);
    for (size_t i = 0; i < queued; i++) {
        cr_assert_eq(await_greeting(fds[i]), 1, "client %zu: %s", i, process_stderr(scene.rpd));
        close(fds[i]);
    }
    end(&scene);
}

/* ---- the keeper dies ------------------------------------------------------------------------ */

Test(keeper, its_runner_dies_with_it)
{
    struct scene scene = prepare("\"keeper\":true,", "");
    const int64_t limit = INT64_C(20000000000);
    struct process *dead;
    pid_t runner;

    open_gate(&scene);
    begin(&scene);
    wait_page(&scene, page.runner_pid > 0);
    runner = (pid_t)page_of(&scene).runner_pid;
    process_signal(scene.rpd, SIGKILL);
    process_wait_exit(scene.rpd);
    for (const int64_t until = now_ns() + limit; now_ns() < until; poll(NULL, 0, 1)) {
        const char *text = file_read(textf("/proc/%d/stat", (int)runner));
        const char *state = text ? strrchr(text, ')') : NULL;

        if (!state || state[2] == 'Z' || state[2] == 'X')
            break;
    }
    dead = scene.rpd;
    begin(&scene); /* at the first try */
    process_free(dead);
    cr_assert_lt(gap_ns(&scene), limit);
    end(&scene);
}

/* While a runner that is hard to kill holds the lock, the name is not free: the service is
 * draining. */
Test(keeper, a_lock_that_only_the_runner_holds_reads_as_draining)
{
    struct scene scene = prepare("\"keeper\":true,", "");
    struct rpd_state_page seen;
    enum state_verdict verdict;
    int lock, held;

    open_gate(&scene);
    begin(&scene);
    wait_page(&scene, page.runner_pid > 0 && page.generation == 1);
    process_signal(scene.rpd, SIGKILL);
    process_wait_exit(scene.rpd);
    /* The test takes the runner's place, because a runner is gone too soon to be observed. */
    lock = open(textf("%s/admits.lock", scene.run), O_RDWR | O_CLOEXEC);
    do
        held = fcntl(lock, F_OFD_SETLKW, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET});
    while (held < 0 && errno == EINTR);
    cr_assert_eq(held, 0);
    state_view_look(scene.run_fd, "admits", &seen, &verdict);
    cr_assert_eq(verdict, STATE_DRAINING);
    close(lock);
    state_view_look(scene.run_fd, "admits", &seen, &verdict);
    cr_assert_eq(verdict, STATE_DEAD);
    process_free(scene.rpd);
    begin(&scene);
    end(&scene);
}

/* ---- killed at each step -------------------------------------------------------------------- */

enum when { AT_START, AT_CRASH, AT_STOP };

/* The runner is killed by the plugin, in one of its callbacks. The keeper is killed by strace, at
 * the Nth of a system call. */
struct point {
    enum when when;
    const char *step, *call;
    unsigned nth;
};

/* clang-format off */
static const struct point points[] = {
    {AT_START, "constructor", NULL, 0}, {AT_START, "serve", NULL, 0}, {AT_START, "load", NULL, 0},
    {AT_START, "ready", NULL, 0},       {AT_START, "connect", NULL, 0}, {AT_START, "data", NULL, 0},
    {AT_CRASH, "constructor", NULL, 0}, {AT_CRASH, "serve", NULL, 0}, {AT_CRASH, "load", NULL, 0},
    {AT_CRASH, "ready", NULL, 0},       {AT_CRASH, "connect", NULL, 0},
    {AT_STOP, "drain", NULL, 0}, {AT_STOP, "stop", NULL, 0}, {AT_STOP, "unload", NULL, 0},
    {AT_START, NULL, "bind", 1},        {AT_START, NULL, "renameat,renameat2", 1},
    {AT_START, NULL, "socketpair", 1},  {AT_START, NULL, "sendmsg", 1},
    {AT_START, NULL, "sendmsg", 4},     {AT_START, NULL, "epoll_ctl", 1},
    {AT_CRASH, NULL, "socketpair", 1},  {AT_CRASH, NULL, "sendmsg", 2},
    {AT_CRASH, NULL, "renameat,renameat2", 1},   {AT_CRASH, NULL, "waitid,wait4", 1},
    {AT_STOP, NULL, "renameat,renameat2", 1},    {AT_STOP, NULL, "sendmsg", 1},
    {AT_STOP, NULL, "unlinkat", 1},
};
/* clang-format on */

enum { POINTS = sizeof points / sizeof *points };

static bool is_traced(pid_t pid)
{
    const char *text = file_read(textf("/proc/%d/status", (int)pid));
    const char *tracer = text ? strstr(text, "TracerPid:\t") : NULL;

    return tracer && tracer[strlen("TracerPid:\t")] != '0';
}

/* The keeper alone, not its runner. */
static struct process *trace(const struct point *point, pid_t pid)
{
    struct process *strace = process_start(&(struct process_options){
        .argv = ARGS("strace", "-o", "/dev/null", "-e", textf("trace=%s", point->call), "-e",
                     textf("inject=%s:signal=KILL:when=%u", point->call, point->nth), "-p",
                     textf("%d", (int)pid))});
    int status;

    while (!is_traced(pid) && !process_exited(strace, &status))
        process_poll(&strace, 1, INT64_C(1000000));
    if (process_exited(strace, &status))
        cr_skip("strace is missing, or cannot trace here");
    return strace;
}

static void begin_at(struct scene *scene, const struct point *point, struct process **ret_strace)
{
    const char *file = textf("%s/dies", scene->dir);
    int gate[2];

    cr_assert_eq(pipe2(gate, O_CLOEXEC), 0);
    if (point->step && point->when == AT_START)
        write_text(file, "");
    scene->rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", scene->config),
        .env = ARGS(textf("TEST_DIES_AT=%s", point->step ? point->step : "-"),
                    textf("TEST_DIES_FILE=%s", file)),
        .runtime_dir = scene->run,
        .notify = true,
        .gate_fd = gate[0]});
    if (point->call && point->when == AT_START)
        *ret_strace = trace(point, process_pid(scene->rpd));
    cr_assert_eq(write(gate[1], "x", 1), 1);
    close(gate[0]);
    close(gate[1]);
}

/* A healthy daemon is brought to this step. */
static void strike(struct scene *scene, const struct point *point, struct process **ret_strace)
{
    cr_assert_eq(process_wait_bound(scene->rpd), 0, "%s", process_stderr(scene->rpd));
    cr_assert_lt(gap_ns(scene), INT64_C(30000000000));
    if (point->step)
        write_text(textf("%s/dies", scene->dir), "");
    else
        *ret_strace = trace(point, process_pid(scene->rpd));
    if (point->when == AT_STOP)
        process_signal(scene->rpd, SIGTERM);
    else
        kill(runner_of(scene, 0), SIGKILL);
}

/* A client that is greeted and answered. False: it was not, because the daemon has ended or the
 * runner died meanwhile. */
static bool is_served(const struct scene *scene)
{
    unsigned name;
    const int fd = connect_named(scene, &name);
    char text[16];
    bool served;

    if (fd < 0)
        return false;
    fcntl(fd, F_SETFL, 0);
    served = await_greeting(fd) == 1 && send_all(fd, "line\n", 5) == 0 &&
             read_line(fd, text, sizeof text) == 5;
    close(fd);
    return served;
}

/* The daemon either continues to serve, or has ended and said why. */
static bool goes_on(const struct scene *scene)
{
    const int64_t until = now_ns() + INT64_C(30000000000);

    do {
        if (is_served(scene))
            return true;
        if (!process_alive(scene->rpd))
            return false;
    } while (now_ns() < until);
    cr_assert(false, "it neither serves nor ends: %s", process_stderr(scene->rpd));
    return false;
}

static void assert_only_one(const struct scene *scene, const char *name)
{
    struct process *second = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", scene->config), .runtime_dir = scene->run, .notify = true});

    cr_assert_eq(process_code(process_wait_exit(second)), 75, "%s: a second: %s", name,
                 process_stderr(second));
    process_free(second);
}

/* The next start wins at the first try. */
static void assert_free(struct scene *scene, const char *name)
{
    struct process *dead = scene->rpd;

    begin(scene);
    cr_assert(is_served(scene), "%s: %s", name, process_stderr(scene->rpd));
    process_free(dead);
}

static void run_point(const struct point *point)
{
    const char *name = textf("%s %s %u",
                             point->when == AT_START   ? "start"
                             : point->when == AT_CRASH ? "crash"
                                                       : "stop",
                             point->step ? point->step : point->call, point->nth);
    struct scene scene = prepare("\"keeper\":true,", "");
    struct process *strace = NULL;
    int status = 0;

    open_gate(&scene);
    begin_at(&scene, point, &strace);
    if (point->when != AT_START)
        strike(&scene, point, &strace);
    if (point->when == AT_STOP || point->call) {
        status = process_wait_exit(scene.rpd);
        cr_assert_neq(status, -1, "%s: %s", name, process_stderr(scene.rpd));
        /* strace may not be allowed to trace here: then the daemon was only stopped. */
        if (!point->call)
            cr_assert_eq(process_code(status), 128 + SIGKILL, "%s: %d %s", name, status,
                         process_stderr(scene.rpd));
    }
    if (status == 0 && goes_on(&scene)) {
        assert_only_one(&scene, name);
        cr_assert_neq(page_of(&scene).restarts, 0, "%s: nothing was killed", name);
    } else {
        cr_assert(status != 0 || process_wait_exit(scene.rpd) != 0, "%s", name);
        assert_free(&scene, name);
    }
    process_free(strace);
    end(&scene);
}

ParameterizedTestParameters(keeper, killed_at)
{
    static size_t numbers[POINTS];

    for (size_t i = 0; i < POINTS; i++)
        numbers[i] = i;
    return cr_make_param_array(size_t, numbers, POINTS);
}

ParameterizedTest(size_t *number, keeper, killed_at)
{
    const struct point *point = &points[*number];

    if (point->call && is_sanitized())
        cr_skip("a sanitizer makes calls of its own");
    run_point(point);
}

/* ---- what it costs -------------------------------------------------------------------------- */

Test(keeper, memory)
{
    struct scene scene = prepare("\"keeper\":true,", "");
    const char *text, *line;
    long private_kib = 0;

    if (is_sanitized())
        cr_skip("a sanitizer has memory of its own");
    open_gate(&scene);
    begin(&scene);
    wait_page(&scene, page.phase == RPD_PHASE_READY);
    text = file_read(textf("/proc/%d/smaps_rollup", (int)process_pid(scene.rpd)));
    cr_assert(text);
    for (line = strstr(text, "Private_"); line; line = strstr(line + 1, "Private_"))
        private_kib += strtol(strchr(line, ':') + 1, NULL, 10);
    cr_assert_leq(private_kib, 1024, "%ld KiB\n%s", private_kib, text);
    end(&scene);
}
