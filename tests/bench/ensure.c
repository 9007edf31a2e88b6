/* What it costs to ensure a service that already runs: the time from just before a caller runs
 * `rpdctl ensure` to its end, compared with /bin/true, the smallest program there is; and what
 * rpd_ensure() costs in a program that already runs.
 *
 *     ensure [--runs N] [--check] [--json FILE]
 *
 * In each round all of them run right after each other. The median of the rounds' ratios to
 * /bin/true counts. --check: exit 1 if `rpdctl ensure` takes more than twice the time of
 * /bin/true. */
#include "../support/process.h"
#include "json_figures.h"
#include "rounds.h"

#include <rpd/client.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_TO_TRUE 2.0

enum { MAX_ARGS = 6, MAX_RUNS = 5000 };
enum subject_id { TRUE, ENSURE_CONFIG, ENSURE_READY, STATUS, SUBJECTS };

struct subject {
    const char *label;
    const char *argv[MAX_ARGS];
    double us[MAX_RUNS], cpu_us[MAX_RUNS], ratio[MAX_RUNS];
};

static struct subject subjects[SUBJECTS];

static double microseconds(const struct timeval *time)
{
    return (double)time->tv_sec * 1e6 + (double)time->tv_usec;
}

/* The child uses this process's memory until it calls exec. */
static __attribute__((noinline)) pid_t spawn(const char *const *argv, int null_fd)
{
    const pid_t pid = vfork();

    if (pid == 0) {
        if (dup2(null_fd, 1) < 0)
            _exit(126);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid;
}

static void run(struct subject *subject, long round, int null_fd)
{
    struct rusage usage;
    int status;
    const int64_t began = now_ns();
    const pid_t pid = spawn(subject->argv, null_fd);

    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
        test_die("vfork: %s", strerror(errno));
    subject->us[round] = (double)(now_ns() - began) / 1e3;
    subject->cpu_us[round] = microseconds(&usage.ru_utime) + microseconds(&usage.ru_stime);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        test_die("%s: status %d", subject->label, status);
    subject->ratio[round] = subject->us[round] / subjects[TRUE].us[round];
}

static void name(enum subject_id id, const char *label, const char *const *argv)
{
    subjects[id].label = label;
    for (size_t i = 0; argv[i]; i++)
        subjects[id].argv[i] = argv[i];
}

static void prepare(const char *dir)
{
    const char *config = textf("%s/c.json", dir);
    const char *text = textf("{\"services\":[{\"name\":\"hello\",\"plugin\":\"%s\"}]}",
                             build_path("samples/hello.so"));

    file_write(config, text, strlen(text));
    setenv("RPD_RUNTIME_DIR", dir, 1);
    setenv("XDG_STATE_HOME", dir, 1);
    name(TRUE, "/bin/true", ARGS("/bin/true"));
    name(ENSURE_CONFIG, "rpdctl ensure CONFIG", ARGS(build_path("rpdctl"), "ensure", config));
    name(ENSURE_READY, "rpdctl ensure --ready CONFIG",
         ARGS(build_path("rpdctl"), "ensure", "--ready", config));
    name(STATUS, "rpdctl status hello", ARGS(build_path("rpdctl"), "status", "hello"));
}

/* The child dies with this process, like any other. */
static struct process *start_daemon(const char *dir)
{
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", textf("%s/c.json", dir)), .runtime_dir = dir});

    if (process_wait_line(rpd, ": ready ") != 0)
        test_die("rpd: %s", process_stderr(rpd));
    return rpd;
}

static double measure_call(void)
{
    enum { CALLS = 2000 };
    const int64_t began = now_ns();

    for (int i = 0; i < CALLS; i++)
        if (rpd_ensure(NULL, "hello", NULL) < 0)
            test_die("rpd_ensure: it is not running");
    return (double)(now_ns() - began) / 1e3 / CALLS;
}

static void print(struct subject *subject, long runs)
{
    printf("%-34s %9.0f %9.0f %9.2f\n", subject->label, median(subject->us, runs),
           median(subject->cpu_us, runs), median(subject->ratio, runs));
    json_figure(subject->label, "one call", "us", median(subject->us, runs));
    json_figure(subject->label, "to /bin/true", "ratio", median(subject->ratio, runs));
}

int main(int argc, char **argv)
{
    struct rounds rounds = {.count = 301, .least = 11, .most = MAX_RUNS};
    const char *dir = temp_dir_make();
    const int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    double call_us, ratio;

    rounds_parse(&rounds, "ensure", argc, argv);
    prepare(dir);
    struct process *rpd = start_daemon(dir);
    for (int i = 0; i < SUBJECTS; i++)
        run(&subjects[i], 0, null_fd); /* to warm the page cache; overwritten */
    for (long round = 0; round < rounds.count; round++)
        for (int i = 0; i < SUBJECTS; i++)
            run(&subjects[i], round, null_fd);
    call_us = measure_call();
    process_stop(rpd);
    process_free(rpd);
    temp_dir_remove(dir);

    printf("%-34s %9s %9s %9s\n", "one call, a service that lives", "us", "CPU us", "to true");
    for (int i = 0; i < SUBJECTS; i++)
        print(&subjects[i], rounds.count);
    printf("%-34s %9.1f\n", "rpd_ensure() in a program", call_us);
    ratio = median(subjects[ENSURE_CONFIG].ratio, rounds.count);
    printf("ensure: %.2f times /bin/true (at most %.1f): %s\n", ratio, LIMIT_TO_TRUE,
           ratio <= LIMIT_TO_TRUE ? "ok" : "TOO MUCH");
    json_figure("rpd_ensure()", "one call", "us", call_us);
    json_figures_end("ensure");
    return rounds.is_check && ratio > LIMIT_TO_TRUE ? 1 : 0;
}
