/* Faults that end the daemon, or seem to: kills, crashes, code that does not return, signals. See
 * provoke.h. */
#include "provoke.h"

#include <sys/syscall.h>
#include <time.h>

const char *last_word(const char *variant)
{
    const char *space = strrchr(variant, ' ');

    return space ? space + 1 : variant;
}

static bool is_on_loop(const char *variant)
{
    return strncmp(variant, "loop", 4) == 0;
}

/* ---- row 1: SIGKILL at any system call ------------------------------------------- */

/* strace kills the daemon at the Nth of these calls from now on, in any thread. Without strace, or
 * where it may not trace, the kill comes at a random time. A leak sanitizer cannot work in a traced
 * process. */
void arrange_kill(struct stage *stage, const char *variant)
{
    if (is_slow() || strcmp(variant, "at random") == 0)
        return;
    stage->killer = process_start(&(struct process_options){
        .argv = ARGS("strace", "-f", "-o", "/dev/null", "-e", textf("trace=%s", variant), "-e",
                     textf("inject=%s:signal=KILL:when=%u", variant, 1 + stage->round % 5), "-p",
                     textf("%d", (int)process_pid(stage->rpd)))});
    if (process_wait_line(stage->killer, "attached") != 0) {
        process_free(stage->killer);
        stage->killer = NULL;
    }
}

/* Every kind of activity that the phase has. */
static void keep_busy(struct stage *stage)
{
    char line[64];

    if (stage->phase == LOADING)
        stage_open_gate(stage);
    stage_go(stage);
    for (int i = 0; stage->phase != DRAINING && i < 20; i++) {
        const int fd = connect_to(stage->endpoint);

        if (fd < 0)
            return;
        if (send_all(fd, "x\njob none\n", 11) == 0 && read_line(fd, line, sizeof line) > 0)
            read_line(fd, line, sizeof line);
        close(fd);
    }
}

static void pause_at_random(void)
{
    static const long most_ns = 5000000;
    const struct timespec pause = {.tv_nsec = (long)(now_ns() / 64 * 7919 % most_ns)};

    nanosleep(&pause, NULL);
}

void provoke_kill(struct stage *stage, const char *variant)
{
    int status = 0;

    if (stage->phase != DRAINING)
        arrange_kill(stage, variant);
    if (!stage->killer) {
        if (stage->phase == LOADING)
            stage_open_gate(stage);
        stage_go(stage);
        pause_at_random();
    } else {
        keep_busy(stage);
        if (stage->phase == DRAINING)
            process_wait_exit(stage->rpd);
        else
            process_poll(&stage->rpd, 1, 100000000);
    }
    cr_log_info("%s: %s", variant,
                !process_alive(stage->rpd) ? "killed there, or ended" : "killed from outside");
    /* The daemon may make fewer than N of these calls. */
    process_signal(stage->rpd, SIGKILL);
    process_wait_exit(stage->rpd);
    process_exited(stage->rpd, &status);
    stage->spared = stage->phase == DRAINING && process_code(status) == 0;
}

/* ---- rows 2 to 4: crashes -------------------------------------------------------- */

int signal_of_act(const char *variant)
{
    static const struct {
        const char *act;
        int number;
    } acts[] = {{"segv", SIGSEGV},  {"bus", SIGBUS},     {"fpe", SIGFPE},      {"ill", SIGILL},
                {"abort", SIGABRT}, {"assert", SIGABRT}, {"overflow", SIGSEGV}};

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].act, last_word(variant)) == 0)
            return acts[i].number;
    return SIGKILL;
}

void arrange_crash(struct stage *stage, const char *variant)
{
    const int fd = stage_client(stage->endpoint);

    stage_say(fd, textf("%s %s", is_on_loop(variant) ? "done" : "wait", last_word(variant)));
    stage_wait_page(stage, jobs, 2);
}

/* During the load, the loop crashes in the other service, or a worker crashes in load. */
void provoke_crash(struct stage *stage, const char *variant)
{
    if (stage->phase == DRAINING) {
        stage_go(stage);
    } else if (is_on_loop(variant)) {
        const int fd = stage_client(stage->phase == LOADING ? stage->witness_endpoint
                                                            : stage->endpoint);
        stage_say(fd, textf("now %s", last_word(variant)));
    } else if (stage->phase == LOADING) {
        stage_open_gate(stage);
    } else {
        stage_say(stage->guest, textf("job %s", last_word(variant)));
    }
}

/* ---- rows 6 and 7: code that does not return ------------------------------------- */

/* The log reports it, and until the daemon ends all other clients are served. */
void provoke_hung_load(struct stage *stage, const char *variant)
{
    (void)variant;
    stage_open_gate(stage);
    assert_line(stage->rpd, "no progress for 1 s; its worker is in ");
    stage_assert_alive(stage);
    cr_assert_eq(stage_page(stage, "faulty").parts[0].state, RPD_PART_STALLED);
    cr_assert_eq(stage_verdict(stage), STATE_WARMING);
    assert_line(stage->rpd, "stopping: a service cannot go on");
    witness_end(&stage->witness);
}

void provoke_stall(struct stage *stage, const char *variant)
{
    stage_say(stage->guest, textf("now %s", variant));
    stage_wait_verdict(stage, STATE_STALLED);
    assert_line(stage->rpd, "has been standing still for 1 s in ");
}

/* The stop takes drain_s plus one second, and no longer. */
void provoke_forced_end(struct stage *stage, const char *variant)
{
    const int64_t began = now_ns();

    (void)variant;
    stage_wait_verdict(stage, STATE_DRAINING);
    stage_go(stage);
    process_wait_exit(stage->rpd);
    const int64_t took = now_ns() - began;
    cr_assert(took > 1500000000 && took < (is_slow() ? 10000000000 : 4000000000),
              "%ld ms; stderr:\n%s", (long)(took / 1000000), process_stderr(stage->rpd));
}

void arrange_deadlocked_job(struct stage *stage, const char *variant)
{
    (void)variant;
    stage_say(stage_client(stage->endpoint), "job deadlock");
    stage_wait_page(stage, jobs, 2);
}

/* The only worker is lost: the queue is bounded, and further jobs are refused; the loop serves. The
 * log names the job; the stop does not wait for it. */
void provoke_deadlocked_job(struct stage *stage, const char *variant)
{
    const int fd = stage_client(stage->endpoint);

    (void)variant;
    stage_say(stage->guest, "job deadlock");
    stage_wait_page(stage, jobs, 1);
    const char *answer = ask(fd, "flood 20000");
    cr_assert(answer && atoi(answer) == 10000, "%s were accepted", answer);
    assert_text(ask(fd, "job none"), "busy", stage->rpd);
    stage_assert_alive(stage);
    cr_assert_geq(stage_page(stage, "faulty").jobs_refused, 10001);
    assert_line(stage->rpd, "job of service faulty has been running for ");
    stage_assert_alive(stage);
    close(fd);
    stage_drain(stage);
}

/* ---- row 28: SIGTERM ------------------------------------------------------------- */

static void signal_often(struct stage *stage, int number, int times)
{
    for (int i = 0; i < times; i++)
        process_signal(stage->rpd, number);
}

/* While the daemon serves, a client waits for an answer, and gets it. */
void provoke_sigterm(struct stage *stage, const char *variant)
{
    const int times = atoi(variant);

    if (stage->phase == SERVING) {
        stage_say(stage->guest, "wait none");
        stage_wait_page(stage, jobs, 1);
    }
    if (stage->phase == DRAINING) {
        signal_often(stage, SIGTERM, times);
        return;
    }
    witness_end(&stage->witness);
    const int64_t began = now_ns();
    signal_often(stage, SIGTERM, times);
    if (stage->phase == SERVING) {
        assert_line(stage->rpd, "stopping: ");
        stage_go(stage);
        stage_expect_line(stage, stage->guest, "did none");
    }
    process_wait_exit(stage->rpd);
    const int64_t took = now_ns() - began;
    if (stage->phase == LOADING)
        cr_assert_lt(took, is_long() && times == 1 && !is_slow() ? 100000000 : 2000000000,
                     "the load was not cancelled in time: %ld ms", (long)(took / 1000000));
    cr_assert_eq(lines_with(process_stderr(stage->rpd), "stopping: "), 1, "%s",
                 process_stderr(stage->rpd));
    assert_eof(stage->guest);
}

void provoke_second_sigint(struct stage *stage, const char *variant)
{
    (void)variant;
    signal_often(stage, SIGINT, 1);
    stage_assert_alive(stage);
    signal_often(stage, SIGINT, 1);
}

/* ---- row 30: signals without a meaning --------------------------------------------- */

/* glibc has no wrapper for tgkill before 2.30. The threads in the list may end meanwhile. */
static void signal_all_threads(struct stage *stage, int number)
{
    const pid_t pid = process_pid(stage->rpd);
    DIR *tasks = opendir(textf("/proc/%d/task", (int)pid));

    cr_assert_not_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));)
        if (entry->d_name[0] != '.')
            syscall(SYS_tgkill, pid, atoi(entry->d_name), number);
    closedir(tasks);
}

static void send_one(struct stage *stage, const char *variant, int number)
{
    if (strcmp(variant, "threads") == 0)
        signal_all_threads(stage, number);
    else
        process_signal(stage->rpd, number);
    cr_assert(process_alive(stage->rpd), "signal %d ended it; stderr:\n%s", number,
              process_stderr(stage->rpd));
}

void provoke_harmless_signals(struct stage *stage, const char *variant)
{
    static const int numbers[] = {SIGPIPE,   SIGCHLD,  SIGUSR1, SIGUSR2,  SIGALRM,
                                  SIGXFSZ,   SIGWINCH, SIGURG,  SIGCONT,  SIGIO,
                                  SIGVTALRM, SIGPROF,  SIGPWR,  SIGSTKFLT};

    for (int times = 0; times < 3; times++) {
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            send_one(stage, variant, numbers[i]);
        for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
            send_one(stage, variant, number);
        stage_assert_alive(stage);
    }
}

/* ---- row 31: SIGSTOP ---------------------------------------------------------------- */

/* The elapsed time matters here: it is longer than any limit of the daemon. */
void provoke_sigstop(struct stage *stage, const char *variant)
{
    const struct timespec pause = {.tv_sec = is_long() ? 60 : 4};

    (void)variant;
    process_signal(stage->rpd, SIGSTOP);
    stage_wait_verdict(stage, STATE_STALLED);
    nanosleep(&pause, NULL);
    process_signal(stage->rpd, SIGCONT);
    stage_wait_verdict(stage, stage->phase == LOADING   ? STATE_WARMING
                              : stage->phase == SERVING ? STATE_ALIVE
                                                        : STATE_DRAINING);
    stage_assert_alive(stage);
    cr_assert_eq(lines_with(process_stderr(stage->rpd), "stood still"), 0, "%s",
                 process_stderr(stage->rpd));
}
