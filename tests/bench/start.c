/* The time until a client can connect: from just before exec to the first connect(2) that succeeds,
 * for rpd, for the smallest program that can do it (minimal_bind), and for the daemons that one
 * would use instead.
 *
 *     start [--runs N] [--planted-us N] [--check] [--json FILE]
 *
 * Sockets, locks and records lie in memory, as in a run-time directory that systemd makes. (On ext4
 * each new inode searches those that were deleted in the last 5 s, so that every run would pay for
 * the runs before it.)
 *
 * The runs are interleaved, in a different order each time. Each subject has one more run,
 * uncounted, to warm the page cache. Pairs are compared: in each round both run right after each
 * other, either one first in turn, and the median of the rounds' ratios counts, so that other work
 * on the machine affects both alike. It also measures what a service costs in a process that has a
 * thousand. For each program that is not installed, a line says that it is left out. If other
 * programs use the machine, a ratio may be missed by chance: its pair is then measured again, at
 * most ROUNDS times, and the ratio of the shortest times may meet the limit instead.
 *
 * --planted-us delays each measured start of rpd by that much; the check must detect it. --check:
 * exit 1 if rpd takes more than LIMIT_TO_MINIMAL times the smallest program, if the load time of a
 * backend changes rpd's time by more than 10 %, if a bind of the backend's own takes more than
 * LIMIT_TO_OWNED times an owned one, if a service of many costs too much, or if rpd could not be
 * measured. */
#include "../support/process.h"
#include "json_figures.h"
#include "processors.h"
#include "rounds.h"
#include "start_many.h"
#include "start_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_TO_MINIMAL 1.5
#define LIMIT_OF_LOAD 0.10
#define LIMIT_TO_OWNED 1.8

enum { MAX_ARGS = 16, MAX_RUNS = 1000, MANY = 1000, ROUNDS = 5 };

enum subject_id {
    MINIMAL,
    HELLO,
    LOAD_0,
    LOAD_10,
    OWNED,
    OWN,
    CONSTRUCTOR,
    MEMCACHED,
    REDIS,
    NGINX,
    SUBJECTS
};

struct subject {
    const char *label;
    const char *argv[MAX_ARGS];
    const char *dir, *path, *log;
    const char *left_out; /* the reason; NULL: measured */
    long planted_us;
    double us[MAX_RUNS];
    long runs;
};

/* ---- The subjects ----------------------------------------------------- */

static const char *installed(const char *name)
{
    static const char *const dirs[] = {"/usr/bin", "/usr/sbin", "/usr/local/bin",
                                       "/usr/local/sbin"};

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        const char *path = textf("%s/%s", dirs[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

static const char *nginx_configuration(const struct subject *subject)
{
    const char *path = textf("%s/nginx.conf", subject->dir);
    const char *text = textf("daemon off;\nmaster_process off;\npid %1$s/nginx.pid;\n"
                             "error_log %1$s/error.log;\nevents { worker_connections 64; }\n"
                             "http {\n    access_log off;\n    client_body_temp_path %1$s/body;\n"
                             "    proxy_temp_path %1$s/proxy;\n"
                             "    fastcgi_temp_path %1$s/fastcgi;\n"
                             "    uwsgi_temp_path %1$s/uwsgi;\n    scgi_temp_path %1$s/scgi;\n"
                             "    server { listen unix:%1$s/s; }\n}\n",
                             subject->dir);

    file_write(path, text, strlen(text));
    return path;
}

static void set(struct subject *subject, const char *label, const char *const *argv)
{
    subject->label = label;
    for (size_t i = 0; argv[i] && i + 1 < MAX_ARGS; i++)
        subject->argv[i] = argv[i];
}

static void set_rpd(struct subject *subject, const char *label, const char *plugin,
                    const char *option, const char *value)
{
    set(subject, label,
        ARGS(build_path("rpd"), build_path(plugin), "-l", textf("unix:%s", subject->path), "-n",
             "start", option, value));
    for (int i = 0; i < 2; i++) {
        if (access(subject->argv[i], R_OK) != 0)
            subject->left_out = textf("%s: %s", subject->argv[i], strerror(errno));
    }
}

static void set_other(struct subject *subject, const char *name, const char *const *arguments)
{
    const char *program = installed(name);

    set(subject, name, arguments);
    subject->argv[0] = program;
    if (!program)
        subject->left_out = "not installed";
}

static void prepare(struct subject *list)
{
    processors_use_clients(); /* ask without a pause */
    const char *dir = rounds_temp_dir_in_memory();

    for (int i = 0; i < SUBJECTS; i++) {
        list[i].dir = textf("%s/%d", dir, i);
        list[i].path = textf("%s/s", list[i].dir);
        list[i].log = textf("%s/log", list[i].dir);
        if (mkdir(list[i].dir, 0700) != 0)
            test_die("mkdir: %s: %s", list[i].dir, strerror(errno));
    }
    set(&list[MINIMAL], "minimal_bind", ARGS(beside_path("minimal_bind"), list[MINIMAL].path));
    set_rpd(&list[HELLO], "rpd hello", "samples/hello.so", NULL, NULL);
    set_rpd(&list[LOAD_0], "rpd slow_start, load_s=0", "samples/slow_start.so", "-o", "load_s=0");
    set_rpd(&list[LOAD_10], "rpd slow_start, load_s=10", "samples/slow_start.so", "-o",
            "load_s=10");
    set_rpd(&list[OWNED], "rpd, an owned endpoint", "tests/plugins/talk.so", NULL, NULL);
    set_rpd(&list[OWN], "rpd, a sealed bind of its own", "tests/plugins/own_bind.so", NULL, NULL);
    set_rpd(&list[CONSTRUCTOR], "rpd, 400 ms constructor", "tests/plugins/slow_constructor.so",
            NULL, NULL);
    const bool root = geteuid() == 0;
    set_other(&list[MEMCACHED], "memcached",
              ARGS("", "-s", list[MEMCACHED].path, root ? "-u" : NULL, "root"));
    set_other(&list[REDIS], "redis-server",
              ARGS("", "--port", "0", "--unixsocket", list[REDIS].path, "--save", "", "--dir",
                   list[REDIS].dir));
    set_other(&list[NGINX], "nginx",
              ARGS("", "-p", list[NGINX].dir, "-e", textf("%s/error.log", list[NGINX].dir), "-c",
                   nginx_configuration(&list[NGINX])));
}

/* ---- Measuring and reporting ------------------------------------------- */

static const struct group {
    int count;
    enum subject_id members[2]; /* two make a pair */
} groups[] = {
    {2, {MINIMAL, HELLO}}, {2, {LOAD_0, LOAD_10}}, {2, {OWNED, OWN}}, {1, {CONSTRUCTOR}},
    {1, {MEMCACHED}},      {1, {REDIS}},           {1, {NGINX}},
};

enum { GROUPS = sizeof groups / sizeof *groups };

static void measure_one(struct subject *subject, bool counts)
{
    const double us = subject->left_out ? 0
                                        : start_run(subject->argv, subject->dir, subject->path,
                                                    subject->log, subject->planted_us);

    if (us < 0) {
        const char *log = file_read(subject->log);
        subject->left_out = textf("never accepted: %.*s", (int)strcspn(log ? log : "", "\n"),
                                  log ? log : "");
    } else if (counts && !subject->left_out) {
        subject->us[subject->runs++] = us;
    }
}

static void measure(struct subject *list, long rounds)
{
    int order[GROUPS];
    for (int i = 0; i < GROUPS; i++)
        order[i] = i;

    srand(1);
    for (long round = 0; round <= rounds; round++) {
        for (int left = GROUPS; left > 0; left--) {
            /* The end of the previous process must not always affect the same subject. */
            const int chosen = rand() % left;
            const struct group *group = &groups[order[chosen]];
            order[chosen] = order[left - 1];
            order[left - 1] = (int)(group - groups);
            for (int i = 0; i < group->count; i++)
                measure_one(&list[group->members[(round + i) % group->count]], round > 0);
        }
    }
}

static double middle_of(const struct subject *subject)
{
    double us[MAX_RUNS];

    memcpy(us, subject->us, sizeof us);
    return subject->left_out ? 0 : median(us, subject->runs);
}

static double least_of(const struct subject *subject)
{
    double least = subject->us[0];

    for (long i = 1; i < subject->runs; i++)
        least = subject->us[i] < least ? subject->us[i] : least;
    return least;
}

static void print_table(const struct subject *list)
{
    const double minimal = middle_of(&list[MINIMAL]);

    printf("%-28s %10s %10s %10s\n", "exec to first connect", "median us", "min us", "to minimal");
    for (int i = 0; i < SUBJECTS; i++) {
        const struct subject *subject = &list[i];
        if (subject->left_out)
            printf("%-28s left out: %s\n", subject->label, subject->left_out);
        else
            printf("%-28s %10.0f %10.0f %10.2f\n", subject->label, middle_of(subject),
                   least_of(subject), minimal > 0 ? middle_of(subject) / minimal : 0);
        if (subject->left_out)
            continue;
        json_figure(subject->label, "exec to first connect", "us", middle_of(subject));
        json_figure(subject->label, "to minimal_bind", "ratio",
                    minimal > 0 ? middle_of(subject) / minimal : 0);
        json_figure(subject->label, "to minimal_bind, least of both", "ratio",
                    least_of(subject) / least_of(&list[MINIMAL]));
    }
}

/* How many times as long `of` takes as `to`, round by round: the median, and the range of the
 * middle half of the rounds. 0: one of them was not measured. */
struct ratio {
    double median, from, until;
    double of_least; /* the shortest times: they suffer least from other programs */
};

static struct ratio ratio_of(const struct subject *of, const struct subject *to)
{
    double ratios[MAX_RUNS];
    const long count = of->runs;

    if (of->left_out || to->left_out || count == 0)
        return (struct ratio){0};
    for (long i = 0; i < count; i++)
        ratios[i] = of->us[i] / to->us[i];
    const double middle = median(ratios, count);
    return (struct ratio){middle, ratios[count / 4], ratios[count - 1 - count / 4],
                          least_of(of) / least_of(to)};
}

/* Pairs whose ratio has a limit. */
static const struct aim {
    const char *what;
    enum subject_id of, to;
    double least, most;
} aims[] = {
    {"rpd / minimal", HELLO, MINIMAL, 0, LIMIT_TO_MINIMAL},
    {"load_s=10 / load_s=0", LOAD_10, LOAD_0, 1 - LIMIT_OF_LOAD, 1 + LIMIT_OF_LOAD},
    {"own bind / owned", OWN, OWNED, 0, LIMIT_TO_OWNED},
};

static bool is_within(const struct aim *aim, double ratio)
{
    return ratio > 0 && ratio >= aim->least && ratio <= aim->most;
}

static bool is_reached(const struct aim *aim, struct ratio ratio)
{
    return is_within(aim, ratio.median) || is_within(aim, ratio.of_least);
}

static void print_ratio(const struct aim *aim, struct ratio ratio, long rounds)
{
    printf("start: %s: %.2f in the median of %ld rounds, %.2f to %.2f in the middle half; of the "
           "least times %.2f (%.2f to %.2f): %s\n",
           aim->what, ratio.median, rounds, ratio.from, ratio.until, ratio.of_least, aim->least,
           aim->most, is_reached(aim, ratio) ? "ok" : "missed");
}

static void measure_pair_again(struct subject *of, struct subject *to, long rounds)
{
    for (long round = 0; round < rounds; round++) {
        measure_one(round % 2 ? of : to, true);
        measure_one(round % 2 ? to : of, true);
    }
}

static bool check_aim(struct subject *list, const struct aim *aim, long rounds)
{
    struct subject *of = &list[aim->of], *to = &list[aim->to];
    struct ratio ratio = ratio_of(of, to);

    for (int round = 1; round < ROUNDS && ratio.median > 0 && !is_reached(aim, ratio) &&
                        of->runs + rounds <= MAX_RUNS;
         round++) {
        measure_pair_again(of, to, rounds);
        ratio = ratio_of(of, to);
    }
    if (ratio.median <= 0)
        printf("start: %s: not measured\n", aim->what);
    else
        print_ratio(aim, ratio, of->runs);
    return is_reached(aim, ratio);
}

static bool check(struct subject *list, long rounds)
{
    bool good = true;

    for (size_t i = 0; i < sizeof aims / sizeof *aims; i++)
        good = check_aim(list, &aims[i], rounds) && good;
    return good;
}

int main(int argc, char **argv)
{
    static struct subject list[SUBJECTS];
    struct rounds rounds = {.count = 51, .least = 15, .most = MAX_RUNS};

    rounds_parse(&rounds, "start", argc, argv);
    prepare(list);
    list[HELLO].planted_us = list[OWN].planted_us = rounds.planted_us;
    measure(list, rounds.count);
    print_table(list);
    const bool is_fast = check(list, rounds.count), is_cheap = measure_many(MANY);
    const bool good = is_fast && is_cheap;
    json_figures_end("start");
    return rounds.is_check && !good ? 1 : 0;
}
