/* A backend for the fault tests: it does a given act in a given place.
 *
 * Each line of a client is one of
 *     now ACT      on the loop; the answer is "did ACT" when the act is over
 *     job ACT      likewise, on a worker
 *     wait ACT     likewise, on a worker, once the file $go exists
 *     done ACT     likewise, on the loop, in the done of a job that has waited for $go
 *     big N        answers N bytes and a newline
 *     flood N      submits N jobs that end when they are cancelled; answers how many were
 *                  accepted
 *     worked       answers the processor time of the process so far, in nanoseconds
 *     other lines  are echoed
 * The options are
 *     gate=FILE    load waits until it exists; with reports=true it reports progress meanwhile
 *     load=ACT     then it does that; if the act fails, so does the load
 *     drain=ACT, unload=ACT   in on_drain; in unload
 *     go=FILE, path=FILE      for the above and for the acts "read" and "claim"
 *
 * At stop it writes to stderr how many jobs and connections began and ended. */
#include <rpd/backend.h>

#include "acts.h"
#include "offences.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("gate", "", "what load waits for"),
    RPD_OPTION_BOOLEAN("reports", 0, "whether load tells progress"),
    RPD_OPTION_STRING("load", "none", "what load does then"),
    RPD_OPTION_STRING("drain", "none", "what on_drain does"),
    RPD_OPTION_STRING("unload", "none", "what unload does"),
    RPD_OPTION_STRING("go", "", "what jobs wait for"),
    RPD_OPTION_STRING("path", "", "what is read"),
    RPD_OPTIONS_END,
};

enum { TURN_MS = 2 };

/* One per service; made by load. */
struct state {
    const struct rpd_service *service;
};

struct work {
    struct rpd_conn *conn; /* NULL: part of a flood */
    const struct rpd_service *service;
    char how[8], act[24];
    int result;
};

static atomic_int calls; /* code after a call, so that its caller's frame is kept */
static int opened, closed, accepted, done_count, cancelled_count;

/* ---- acts: 0, or errno's value ------------------------------------------------- */

__attribute__((noinline)) static void sleep_for_ever(void)
{
    for (;;)
        nanosleep(&(const struct timespec){.tv_sec = 1}, NULL);
}

__attribute__((noinline)) static void spin_for_ever(void)
{
    for (volatile uint64_t turns = 0;;)
        turns = turns + 1;
}

/* A thread that deadlocks itself: with a semaphore, because ThreadSanitizer detects that of
 * mutexes. */
__attribute__((noinline)) static void deadlock(void)
{
    sem_t lock;

    sem_init(&lock, 0, 1);
    while (sem_wait(&lock) == 0 || errno == EINTR)
        calls++;
}

/* A page of a file that has been truncated. */
static void bus_error(void)
{
    const int fd = memfd_create("short", MFD_CLOEXEC);
    volatile char *page = MAP_FAILED;

    if (ftruncate(fd, 4096) == 0)
        page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (ftruncate(fd, 0) == 0 && page != MAP_FAILED)
        (void)*page;
}

__attribute__((no_sanitize("undefined"))) static void divide_by_zero(void)
{
    static volatile int number = 7, zero;
    volatile int result = number / zero;

    (void)result;
}

static void illegal_instruction(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("ud2");
#else
    raise(SIGILL);
#endif
}

/* As assert(3) ends. */
static void failed_assertion(void)
{
    say("faulty.c: Assertion `false' failed.\n");
    abort();
}

/* Reads to the end; a FIFO plays a disk that hangs, or is slow. */
__attribute__((noinline)) static int read_all(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    char block[65536];
    ssize_t got = 1;

    if (fd < 0)
        return errno;
    while (got > 0 || (got < 0 && errno == EINTR))
        got = read(fd, block, sizeof block);
    close(fd);
    return got < 0 ? errno : 0;
}

static void log_much(const struct rpd_service *service)
{
    for (int i = 0; i < 10000; i++)
        rpd_log(service, RPD_LOG_WARNING, "test line %d", i);
    rpd_log(service, RPD_LOG_INFO, "test: another cause");
}

/* Functions of its own with names of libevent, jansson, libc and rpd. */
RPD_API int event_new(void);
RPD_API int json_object_get(void);
RPD_API long a64l(const char *text);
RPD_API int rpd_main(void);

int event_new(void)
{
    return 42;
}

int json_object_get(void)
{
    return 42;
}

long a64l(const char *text)
{
    (void)text;
    return 42;
}

int rpd_main(void)
{
    return 42;
}

static int call_names(void)
{
    const bool own = event_new() == 42 && json_object_get() == 42 && a64l("z") == 42 &&
                     rpd_main() == 42;

    say(own ? "test: names are its own\n" : "test: names are others'\n");
    return own ? 0 : EINVAL;
}

__attribute__((noinline)) static int do_act(const struct rpd_service *service, const char *what)
{
    if (strcmp(what, "sleep") == 0)
        sleep_for_ever();
    else if (strcmp(what, "spin") == 0)
        spin_for_ever();
    else if (strcmp(what, "deadlock") == 0)
        deadlock();
    else if (strcmp(what, "bus") == 0)
        bus_error();
    else if (strcmp(what, "fpe") == 0)
        divide_by_zero();
    else if (strcmp(what, "ill") == 0)
        illegal_instruction();
    else if (strcmp(what, "assert") == 0)
        failed_assertion();
    else if (strcmp(what, "claim") == 0)
        return rpd_claim_state(service, rpd_option_string(service, "path")) == 0 ? 0 : EBUSY;
    else if (strcmp(what, "names") == 0)
        return call_names();
    else if (strcmp(what, "read") == 0)
        return read_all(rpd_option_string(service, "path"));
    else if (strcmp(what, "log") == 0)
        log_much(service);
    else if (!offend(service, what))
        act("faulty", what);
    calls++;
    return 0;
}

/* ---- state --------------------------------------------------------------------- */

static bool is_there(const char *file)
{
    return *file == '\0' || access(file, F_OK) == 0;
}

static void *load(struct rpd_load *load)
{
    const struct rpd_service *service = rpd_load_service(load);
    const char *gate = rpd_option_string(service, "gate");
    const char *what = rpd_option_string(service, "load");
    const bool reports = rpd_option_boolean(service, "reports");
    struct state *state;
    int failed;

    if (*gate)
        say("test: loads\n");
    for (uint64_t turn = 1; !is_there(gate); turn++) {
        if (reports)
            rpd_load_progress(load, turn, 0, "turns");
        if (!rpd_load_wait(load, TURN_MS)) {
            say("test: load cancelled\n");
            return NULL;
        }
    }
    failed = do_act(service, what);
    if (failed)
        return rpd_load_fail(load, "cannot read %s: %s", rpd_option_string(service, "path"),
                             strerror(failed));
    state = calloc(1, sizeof *state);
    if (!state)
        return rpd_load_fail(load, "out of memory");
    state->service = service;
    return state;
}

static void unload(void *arg)
{
    struct state *state = arg;

    do_act(state->service, rpd_option_string(state->service, "unload"));
    free(state);
}

/* ---- jobs ---------------------------------------------------------------------- */

static void run(struct rpd_job *job, void *arg)
{
    struct work *work = arg;
    const char *go = rpd_option_string(work->service, "go");
    const bool waits = strcmp(work->how, "job") != 0;

    while (waits && (!work->conn || !is_there(go)) && !rpd_job_cancelled(job))
        nanosleep(&(const struct timespec){.tv_nsec = TURN_MS * 1000000}, NULL);
    if (work->conn && strcmp(work->how, "done") != 0)
        work->result = do_act(work->service, work->act);
}

static void answer(const struct work *work, bool cancelled)
{
    rpd_conn_printf(work->conn, "%s %s\n",
                    cancelled      ? "cancelled"
                    : work->result ? strerror(work->result)
                                   : "did",
                    work->act);
    rpd_conn_release(work->conn);
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct work *work = arg;

    done_count++;
    cancelled_count += cancelled;
    if (work->conn && strcmp(work->how, "done") == 0)
        work->result = do_act(service, work->act);
    if (work->conn)
        answer(work, cancelled);
    free(work);
}

static int submit(struct rpd_service *service, struct rpd_conn *conn, const char *how,
                  const char *what)
{
    struct work *work = calloc(1, sizeof *work);

    if (!work)
        return -1;
    work->service = service;
    work->conn = conn;
    snprintf(work->how, sizeof work->how, "%s", how);
    snprintf(work->act, sizeof work->act, "%s", what);
    if (rpd_job_submit(service, run, done, work) < 0) {
        free(work);
        return -1;
    }
    accepted++;
    return 0;
}

/* ---- clients ------------------------------------------------------------------- */

static void submit_for(struct rpd_conn *conn, const char *how, const char *what)
{
    rpd_conn_keep(conn);
    if (submit(rpd_conn_service(conn), conn, how, what) < 0) {
        rpd_conn_printf(conn, "busy\n");
        rpd_conn_release(conn);
    }
}

static void flood(struct rpd_conn *conn, int count)
{
    const int before = accepted;

    for (int i = 0; i < count; i++)
        (void)!submit(rpd_conn_service(conn), NULL, "wait", "none");
    rpd_conn_printf(conn, "%d\n", accepted - before);
}

static void write_many(struct rpd_conn *conn, long size)
{
    char block[65536];

    memset(block, 'x', sizeof block);
    for (long left = size; left > 0; left -= (long)sizeof block)
        rpd_conn_write(conn, block, left < (long)sizeof block ? (size_t)left : sizeof block);
    rpd_conn_write(conn, "\n", 1);
}

static void tell_work(struct rpd_conn *conn)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    rpd_conn_printf(conn, "%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
}

static void command(struct rpd_conn *conn, const struct rpd_span *line)
{
    char text[64], *rest;

    snprintf(text, sizeof text, "%.*s", (int)line->size, line->data);
    rest = strchr(text, ' ');
    if (rest)
        *rest++ = '\0';
    if (rest && strcmp(text, "now") == 0) {
        do_act(rpd_conn_service(conn), rest);
        rpd_conn_printf(conn, "did %s\n", rest);
    } else if (rest && (strcmp(text, "job") == 0 || strcmp(text, "wait") == 0 ||
                        strcmp(text, "done") == 0)) {
        submit_for(conn, text, rest);
    } else if (rest && strcmp(text, "big") == 0) {
        write_many(conn, atol(rest));
    } else if (rest && strcmp(text, "flood") == 0) {
        flood(conn, atoi(rest));
    } else if (strcmp(text, "worked") == 0) {
        tell_work(conn);
    } else {
        rpd_conn_write(conn, line->data, line->size);
        rpd_conn_write(conn, "\n", 1);
    }
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)conn, (void)state;
    opened++;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        command(conn, &line);
}

static void on_close(struct rpd_conn *conn, void *state)
{
    (void)conn, (void)state;
    closed++;
}

static void on_drain(struct rpd_service *service, void *state)
{
    (void)state;
    do_act(service, rpd_option_string(service, "drain"));
}

static void stop(struct rpd_service *service, void *state)
{
    char line[128];

    (void)state;
    snprintf(line, sizeof line,
             "test: %s: jobs accepted %d, done %d, cancelled %d; clients opened %d, closed %d\n",
             rpd_service_name(service), accepted, done_count, cancelled_count, opened, closed);
    say(line);
}

RPD_BACKEND(faulty, .summary = "Does what it is told to, where it is told to", .options = options,
            .serves_without_state = true, .load = load, .unload = unload, .on_connect = on_connect,
            .on_data = on_data, .on_close = on_close, .on_drain = on_drain, .stop = stop);
