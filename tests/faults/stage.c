/* Stages for faults. See stage.h. */
#include "stage.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>

const char *const phase_names[PHASES] = {[LOADING] = "LD", [SERVING] = "SRV", [DRAINING] = "DRN"};

static const char question[] = "are you there?";

bool is_long(void)
{
    const char *value = getenv("RPD_TEST_LONG");

    return value && strcmp(value, "1") == 0;
}

bool is_tsan(void)
{
    return strstr(build_path(""), "tsan") != NULL;
}

bool is_slow(void)
{
    return is_sanitized();
}

int64_t stage_patience_ns(void)
{
    const char *text = getenv("RPD_TEST_DEADLINE_S");

    return (text ? atoi(text) : 20) * INT64_C(1000000000);
}

void stage_rest(void)
{
    poll(NULL, 0, 2);
}

/* ---- start --------------------------------------------------------------------- */

struct stage *stage_make(enum phase phase, const struct setup *setup)
{
    struct stage *stage = calloc(1, sizeof *stage);

    stage->phase = phase;
    stage->setup = *setup;
    if (setup->has_mounts &&
        (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0))
        cr_skip_test("it needs mounts of its own: %s", strerror(errno));
    stage->dir = temp_dir_make();
    stage->ep = textf("%s/ep", stage->dir);
    stage->run = textf("%s/run", stage->dir);
    stage->config = textf("%s/c.json", stage->dir);
    stage->gate = textf("%s/gate", stage->dir);
    stage->go = textf("%s/go", stage->dir);
    stage->path = textf("%s/data", stage->dir);
    stage->endpoint = textf("unix:%s/x.sock", stage->ep);
    stage->witness_endpoint = textf("unix:%s/w.sock", stage->ep);
    stage->guest = -1;
    cr_assert_eq(mkdir(stage->ep, 0700), 0);
    cr_assert_eq(mkdir(stage->run, 0700), 0);
    stage->run_fd = open(stage->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(stage->run_fd, 0);
    return stage;
}

static const char *or_nothing(const char *text)
{
    return text ? text : "";
}

static void write_config(const struct stage *stage, const struct setup *setup)
{
    const char *gate = stage->phase == LOADING ? textf("\"gate\":\"%s\",", stage->gate) : "";
    const char *listen = or_nothing(setup->listen);

    write_text(stage->config,
               textf("{%s\"services\":["
                     "{\"plugin\":\"%s\",%s\"listen\":[{\"endpoint\":\"%s\"%s},"
                     "{\"endpoint\":\"tcp:127.0.0.1:0\"%s}],"
                     "\"options\":{%s%s\"go\":\"%s\",\"path\":\"%s\"}},"
                     "{\"plugin\":\"%s\",\"name\":\"witness\",\"listen\":[\"%s\"],"
                     "\"options\":{\"go\":\"%s\",\"path\":\"%s\"}}]}",
                     or_nothing(setup->top), test_plugin("faulty"), or_nothing(setup->service),
                     stage->endpoint, listen, listen, gate, or_nothing(setup->options), stage->go,
                     stage->path, test_plugin("faulty"), stage->witness_endpoint, stage->go,
                     stage->path));
}

static const char *shim_path(void)
{
    return beside_path("libaccept_shim.so");
}

/* ---- row 59: tools and environments. Each execs the daemon ----------------------------- */

static const char *library(const char *name)
{
    static const char *const directories[] = {
        "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"};

    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        if (access(textf("%s/%s", directories[i], name), R_OK) == 0)
            return textf("%s/%s", directories[i], name);
    return NULL;
}

static const char *malloc_library(void)
{
    return library("libjemalloc.so.2");
}

bool stage_has_tool(const char *tool)
{
    if (strcmp(tool, "sigchld") == 0)
        return true;
    if (is_sanitized())
        return false;
    if (strcmp(tool, "malloc") == 0)
        return malloc_library() != NULL;
    return strcmp(tool, "tls") == 0 || access(textf("/usr/bin/%s", tool), X_OK) == 0;
}

static struct process *start_within(const struct stage *stage)
{
    const char *tool = stage->setup.tool, *rpd = build_path("rpd");
    const char *config = stage->config;
    const char *jemalloc = malloc_library();
    const struct {
        const char *tool;
        const char *const *argv, *const *env;
    } ways[] = {
        {"valgrind", ARGS("valgrind", "-q", "--error-exitcode=99", rpd, "-c", config), NULL},
        {"strace", ARGS("strace", "-D", "-f", "-o", "/dev/null", rpd, "-c", config), NULL},
        {"sigchld", ARGS("env", "--ignore-signal=CHLD", rpd, "-c", config), NULL},
        {"malloc", ARGS(rpd, "-c", config), ARGS(textf("LD_PRELOAD=%s", jemalloc ? jemalloc : ""))},
        {"tls", ARGS(rpd, "-c", config),
         ARGS("GLIBC_TUNABLES=glibc.rtld.optional_static_tls=200000")},
    };
    size_t at = 0;

    while (strcmp(ways[at].tool, tool) != 0)
        at++;
    return process_start(&(struct process_options){
        .argv = ways[at].argv, .env = ways[at].env, .runtime_dir = stage->run, .notify = true});
}

static struct process *start(struct stage *stage, bool has_shim)
{
    const char *const *plain = ARGS("rpd", "-c", stage->config);
    const char *files = textf("--nofile=%d:%d", stage->setup.nofile, stage->setup.nofile);
    const char *const *limited = ARGS("prlimit", files, build_path("rpd"), "-c", stage->config);
    const char *const *preload = ARGS(
        textf("LD_PRELOAD=%s", shim_path()), textf("TEST_ACCEPT_FAULT=%s/fault", stage->dir),
        textf("ASAN_OPTIONS=%s:verify_asan_link_order=0", or_nothing(getenv("ASAN_OPTIONS"))));
    const char *const *managed = ARGS(textf("NOTIFY_SOCKET=%s", stage_manager_path(stage)),
                                      "WATCHDOG_USEC=1500000");

    const char *const *denied = ARGS(RPD_BUILD_DIR "/tests/support/deny", "EPERM",
                                     or_nothing(stage->setup.denied), build_path("rpd"), "-c",
                                     stage->config);

    if (stage->setup.tool && has_shim == stage->setup.has_shim && !stage->rpd)
        return start_within(stage);
    /* The manager gets the same READY message as the notification descriptor. */
    return process_start(&(struct process_options){
        .argv = stage->setup.denied   ? denied
                : stage->setup.nofile ? limited
                                      : plain,
        .runtime_dir = stage->run,
        .env = has_shim                   ? preload
               : stage->setup.has_manager ? managed
                                          : NULL,
        .notify = !stage->setup.has_manager,
    });
}

static void map_fault(struct stage *stage)
{
    const struct accept_fault none = {0};
    const char *path = textf("%s/fault", stage->dir);

    file_write(path, &none, sizeof none);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    stage->fault = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq((void *)stage->fault, MAP_FAILED);
    close(fd);
}

const char *stage_manager_path(const struct stage *stage)
{
    return textf("%s/manager", stage->dir);
}

static void open_manager(struct stage *stage)
{
    const struct timeval patience = {.tv_sec = 60};

    stage->manager = listen_at(stage_manager_path(stage), SOCK_DGRAM, -1);
    cr_assert_geq(stage->manager, 0, "%s", strerror(errno));
    setsockopt(stage->manager, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

void stage_start(struct stage *stage)
{
    if (stage->setup.has_manager)
        open_manager(stage);
    write_config(stage, &stage->setup);
    if (stage->setup.has_shim)
        map_fault(stage);
    stage->rpd = start(stage, stage->setup.has_shim);
    assert_bound(stage->rpd);
    assert_line(stage->rpd, "faulty: bound ");
    stage->tcp = process_endpoint(stage->rpd, "tcp:");
    assert_line(stage->rpd, "witness: ready (");
    assert_line(stage->rpd, stage->phase == LOADING ? "test: loads" : "faulty: ready (");
}

/* ---- the witness ----------------------------------------------------------------- */

static void give_evidence(struct witness *witness, const char *why)
{
    snprintf(witness->why, sizeof witness->why, "%s (%s)", why, strerror(errno));
    atomic_store(&witness->failed, true);
}

static void *watch(void *arg)
{
    struct witness *witness = arg;
    const char *line = textf("%s\n", question);
    char answer[64];
    const struct timeval patience = {.tv_sec = 100}; /* the daemon may be stopped for a minute */
    const int fd = connect_to(witness->endpoint);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd < 0)
        give_evidence(witness, "cannot connect");
    while (fd >= 0 && !atomic_load(&witness->ending)) {
        const int64_t asked = now_ns();
        const size_t count = atomic_load(&witness->count);

        errno = 0;
        if (send_all(fd, line, strlen(line)) != 0 || read_line(fd, answer, sizeof answer) <= 0 ||
            strcmp(answer, line) != 0) {
            give_evidence(witness, "no answer");
            break;
        }
        witness->latencies_us[count % LATENCIES_MAX] = (uint32_t)((now_ns() - asked) / 1000);
        atomic_store(&witness->count, count + 1);
        poll(NULL, 0, 1);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void witness_begin(struct stage *stage)
{
    struct witness *witness = &stage->witness;

    witness->endpoint = stage->witness_endpoint;
    witness->latencies_us = calloc(LATENCIES_MAX, sizeof *witness->latencies_us);
    witness->runs = pthread_create(&witness->thread, NULL, watch, witness) == 0;
    cr_assert(witness->runs);
    witness_wait_for(stage, 3);
}

void witness_end(struct witness *witness)
{
    atomic_store(&witness->ending, true);
    if (witness->runs)
        pthread_join(witness->thread, NULL);
    witness->runs = false;
}

/* A latency that the thread records meanwhile may be lost. */
void witness_reset(struct witness *witness)
{
    atomic_store(&witness->count, 0);
}

static int compare_latencies(const void *a, const void *b)
{
    const uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return (first > second) - (first < second);
}

double witness_p99_ms(const struct witness *witness)
{
    const size_t count = atomic_load(&witness->count);
    uint32_t *sorted = calloc(count + 1, sizeof *sorted);

    memcpy(sorted, witness->latencies_us, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_latencies);
    const double p99 = sorted[count * 99 / 100] / 1000.0;
    free(sorted);
    return p99;
}

void witness_wait_for(const struct stage *stage, size_t answers)
{
    const struct witness *witness = &stage->witness;
    const size_t wanted = atomic_load(&witness->count) + answers;
    const int64_t began = now_ns();

    while (atomic_load(&witness->count) < wanted) {
        cr_assert(!atomic_load(&witness->failed), "the witness: %s\n%s", witness->why,
                  process_stderr(stage->rpd));
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "the witness waits\n%s",
                     process_stderr(stage->rpd));
        stage_rest();
    }
}

/* ---- into the phase ---------------------------------------------------------------- */

int stage_client(const char *endpoint)
{
    const int fd = connect_to(endpoint);

    cr_assert_geq(fd, 0, "%s: %s", endpoint, strerror(errno));
    return fd;
}

void stage_say(int fd, const char *line)
{
    const char *whole = textf("%s\n", line);

    cr_assert_eq(send_all(fd, whole, strlen(whole)), 0, "%s: %s", line, strerror(errno));
}

void stage_expect_line(struct stage *stage, int fd, const char *wanted)
{
    char line[256] = "";
    const ssize_t got = read_line(fd, line, sizeof line);

    cr_assert(got > 0 && strcmp(line, textf("%s\n", wanted)) == 0,
              "\"%s\" instead of \"%s\" (%s); stderr:\n%s", line, wanted,
              got < 0 ? strerror(errno) : "end", process_stderr(stage->rpd));
}

void stage_drain(struct stage *stage)
{
    witness_end(&stage->witness);
    process_signal(stage->rpd, SIGTERM);
    if (process_wait_line(stage->rpd, "stopping: ") != 0 && !stage->killer)
        cr_assert_fail("it does not stop:\n%s", process_stderr(stage->rpd));
}

void stage_enter(struct stage *stage)
{
    stage->guest = stage_client(stage->endpoint);
    stage_say(stage->guest, stage->phase == DRAINING ? "wait none" : question);
    if (stage->phase == SERVING)
        stage_expect_line(stage, stage->guest, question);
    if (stage->phase == DRAINING)
        stage_wait_page(stage, jobs, 1);
    witness_begin(stage);
}

void stage_open_gate(struct stage *stage)
{
    write_text(stage->gate, "");
}

void stage_go(struct stage *stage)
{
    write_text(stage->go, "");
}

/* ---- the page ------------------------------------------------------------------------ */

struct rpd_state_page stage_page(struct stage *stage, const char *service)
{
    struct rpd_state_page page;

    cr_assert_eq(state_view_read(stage->run_fd, service, &page), 0,
                 "no state page: %s; stderr:\n%s", strerror(errno), process_stderr(stage->rpd));
    return page;
}

enum state_verdict stage_verdict(struct stage *stage)
{
    struct rpd_state_page page;
    enum state_verdict verdict;

    state_view_look(stage->run_fd, "faulty", &page, &verdict);
    return verdict;
}

/* This also reads the daemon's output: it must not wait for room in a pipe. */
void stage_wait_verdict(struct stage *stage, enum state_verdict wanted)
{
    const int64_t began = now_ns();

    while (stage_verdict(stage) != wanted) {
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "%s instead of %s; stderr:\n%s",
                     state_verdict_text(stage_verdict(stage)), state_verdict_text(wanted),
                     process_stderr(stage->rpd));
        process_poll(&stage->rpd, 1, 1000000);
    }
}

void stage_assert_alive(struct stage *stage)
{
    const uint64_t turns = stage_page(stage, "faulty").turns;

    int waker;

    if (stage->witness.runs)
        witness_wait_for(stage, 3);
    /* A loop that rests would answer late. */
    waker = connect_to(textf("unix:%s/faulty.control", stage->run));
    stage_wait_page(stage, turns, turns + 2);
    close(waker);
}

void stage_wait_fds(struct stage *stage, int most)
{
    const int64_t began = now_ns();

    while (count_fds(process_pid(stage->rpd)) > most) {
        cr_assert_lt(now_ns() - began, stage_patience_ns(), "%d descriptors, not %d; stderr:\n%s",
                     count_fds(process_pid(stage->rpd)), most, process_stderr(stage->rpd));
        stage_rest();
    }
}

/* ---- the end --------------------------------------------------------------------------- */

void stage_assert_ended(struct stage *stage, int code)
{
    assert_ends(stage->rpd, code);
}

static bool has_words(const char *line, size_t size, const char *const *words)
{
    for (; *words; words++)
        if (!memmem(line, size, *words, strlen(*words)))
            return false;
    return true;
}

void stage_assert_told(struct stage *stage, const char *const *words)
{
    const char *text = process_stderr(stage->rpd);
    size_t lines = 0;

    for (const char *line = text; *line;) {
        const size_t size = strcspn(line, "\n");
        lines += has_words(line, size, words);
        line += size + (line[size] == '\n');
    }
    cr_assert_eq(lines, 1, "%zu lines with \"%s\" and the other words in:\n%s", lines, *words,
                 text);
}

/* Files that the tests themselves put there are not the daemon's. */
void stage_assert_clean(struct stage *stage)
{
    unlink(stage->config);
    unlink(stage->gate);
    unlink(stage->go);
    unlink(stage->path);
    unlink(textf("%s/fault", stage->dir));
    unlink(stage_manager_path(stage));
    const char *left = listing(stage->dir);
    cr_assert_str_eq(left, textf("%s/ep/\n%s/run/\n", stage->dir, stage->dir), "left behind:\n%s",
                     left);
}

void stage_assert_next_start_wins(struct stage *stage)
{
    const struct setup plain = {0};

    process_free(stage->rpd);
    stage->setup = plain;
    stage->phase = SERVING;
    write_config(stage, &plain);
    stage->rpd = start(stage, false);
    cr_assert_eq(process_wait_bound(stage->rpd), 0, "the next start failed:\n%s",
                 process_stderr(stage->rpd));
    assert_text(ask_once(stage->endpoint, "alive"), "alive", stage->rpd);
    assert_text(ask_once(stage->witness_endpoint, "alive"), "alive", stage->rpd);
    assert_stops(stage->rpd);
    stage_assert_clean(stage);
}

static void end_of_phase(struct stage *stage)
{
    switch (stage->phase) {
    case LOADING:
        stage_assert_alive(stage);
        stage_open_gate(stage);
        assert_line(stage->rpd, "faulty: ready (");
        stage_expect_line(stage, stage->guest, question);
        break;
    case SERVING:
        stage_assert_alive(stage);
        stage_say(stage->guest, question);
        stage_expect_line(stage, stage->guest, question);
        break;
    default:
        stage_go(stage);
        stage_expect_line(stage, stage->guest, "did none");
        break;
    }
}

void stage_assert_unharmed(struct stage *stage)
{
    end_of_phase(stage);
    witness_end(&stage->witness);
    cr_assert(!atomic_load(&stage->witness.failed), "the witness: %s", stage->witness.why);
    if (stage->phase != DRAINING) {
        assert_text(ask_once(stage->endpoint, "another"), "another", stage->rpd);
        assert_text(ask_once(stage->tcp, "another"), "another", stage->rpd);
        process_signal(stage->rpd, SIGTERM);
    }
    stage_assert_ended(stage, 0);
    assert_eof(stage->guest);
    stage_assert_clean(stage);
}

void stage_free(struct stage *stage)
{
    witness_end(&stage->witness);
    if (stage->guest >= 0)
        close(stage->guest);
    close(stage->run_fd);
    process_free(stage->rpd);
    process_free(stage->killer);
    temp_dir_remove(stage->dir);
    free(stage->witness.latencies_us);
    free(stage);
}
