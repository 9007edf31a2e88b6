/* The time until a client can connect, compared with the time that the state takes to load: for
 * rpd, for a program that binds after loading (late_bind), and for redis-server with a dump.
 *
 *     curve [--runs N] [--check] [--json FILE]
 *
 * The time runs from just before exec to the first connect(2) that succeeds, as in
 * tests/bench/start. The shortest run counts, because other programs on the machine disturb it
 * least. redis-server also binds before it loads, and answers -LOADING meanwhile; its load times
 * are those that it logs. If it is not installed, a line says that it is left out. --check: exit 1
 * if rpd's time with the longest load is more than 1.5 times its time with the shortest. */
#include "../support/process.h"
#include "json_figures.h"
#include "processors.h"
#include "rounds.h"
#include "start_run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 1.5
#define REDIS "/usr/bin/redis-server"

enum { MAX_RUNS = 99, LATE_RUNS = 1 /* for measurements that take seconds and vary little */ };

static const double loads_s[] = {0.01, 0.03, 0.1, 0.3, 1, 3, 10};
static const long redis_keys[] = {30000, 100000, 300000, 1000000};

enum { LOADS = sizeof loads_s / sizeof *loads_s, DUMPS = sizeof redis_keys / sizeof *redis_keys };

struct place {
    const char *dir, *path, *log;
};

static struct place make_place(const char *base, const char *name)
{
    struct place place = {.dir = textf("%s/%s", base, name)};

    place.path = textf("%s/s", place.dir);
    place.log = textf("%s/log", place.dir);
    if (mkdir(place.dir, 0700) != 0)
        test_die("mkdir: %s: %s", place.dir, strerror(errno));
    return place;
}

/* Prints a point of the curve. Returns its microseconds. */
static double measure(const char *label, const char *const *argv, const struct place *place,
                      double load_s, long runs)
{
    double us[MAX_RUNS];

    for (long run = 0; run < runs; run++) {
        us[run] = start_run(argv, place->dir, place->path, place->log, 0);
        if (us[run] < 0)
            test_die("%s: no client could connect: %s", label, file_read(place->log));
    }
    const double middle = median(us, runs); /* sorts them */
    printf("%-28s %10.3g %14.0f %10.0f\n", label, load_s, middle, us[0]);
    fflush(stdout);
    json_figure(label, textf("a load of %.3g s", load_s), "us", us[0]);
    return us[0];
}

/* ---- rpd, and what binds late ------------------------------------------ */

static double measure_rpd(const char *base, long runs)
{
    const struct place place = make_place(base, "rpd");
    double us[LOADS];

    for (int i = 0; i < LOADS; i++)
        us[i] = measure("rpd",
                        ARGS(build_path("rpd"), build_path("samples/slow_start.so"), "-l",
                             textf("unix:%s", place.path), "-o", textf("load_s=%g", loads_s[i])),
                        &place, loads_s[i], runs);
    return us[LOADS - 1] / us[0];
}

static void measure_late(const char *base, long runs)
{
    const struct place place = make_place(base, "late");

    for (int i = 0; i < LOADS; i++)
        measure("loads, then binds",
                ARGS(beside_path("late_bind"), place.path, textf("%g", loads_s[i])), &place,
                loads_s[i], loads_s[i] >= 1 && runs > LATE_RUNS ? LATE_RUNS : runs);
}

/* ---- redis-server ------------------------------------------------------ */

static struct process *redis_start(const struct place *place)
{
    return process_start(&(struct process_options){
        .argv = ARGS(REDIS, "--port", "0", "--unixsocket", place->path, "--save", "", "--dir",
                     place->dir, "--enable-debug-command", "local")});
}

static int redis_connect(struct process *redis, const char *endpoint)
{
    int fd;

    while ((fd = connect_to(endpoint)) < 0) {
        if (!process_alive(redis))
            test_die("redis-server: %s", process_stdout(redis));
        poll(NULL, 0, 1);
    }
    return fd;
}

static void redis_command(int fd, const char *command)
{
    char answer[256];

    if (send_all(fd, command, strlen(command)) != 0 || read_line(fd, answer, sizeof answer) <= 0 ||
        answer[0] != '+')
        test_die("redis-server: %s", command);
}

static void redis_make(const struct place *place, long keys)
{
    unlink(textf("%s/dump.rdb", place->dir));
    struct process *redis = redis_start(place);
    const int fd = redis_connect(redis, textf("unix:%s", place->path));

    redis_command(fd, textf("DEBUG POPULATE %ld\r\n", keys));
    redis_command(fd, "SAVE\r\n");
    close(fd);
    process_stop(redis);
    process_free(redis);
}

/* The seconds that its load took, according to its log. */
static double redis_load_s(const struct place *place)
{
    static const char loaded[] = "DB loaded from disk: ";
    struct process *redis = redis_start(place);
    const char *line = NULL;

    while (!line && process_alive(redis)) {
        process_poll(&redis, 1, INT64_C(100000000));
        line = strstr(process_stdout(redis), loaded);
    }
    const double seconds = line ? strtod(line + strlen(loaded), NULL) : 0;
    process_stop(redis);
    process_free(redis);
    return seconds;
}

static void measure_redis(const char *base, long runs)
{
    const struct place place = make_place(base, "redis");

    if (access(REDIS, X_OK) != 0) {
        printf("%-28s left out: not installed\n", "redis-server");
        return;
    }
    for (int i = 0; i < DUMPS; i++) {
        redis_make(&place, redis_keys[i]);
        measure("redis-server with a dump",
                ARGS(REDIS, "--port", "0", "--unixsocket", place.path, "--save", "", "--dir",
                     place.dir),
                &place, redis_load_s(&place), runs);
    }
}

int main(int argc, char **argv)
{
    struct rounds rounds = {.count = 15, .least = 1, .most = MAX_RUNS};

    rounds_parse(&rounds, "curve", argc, argv);
    processors_use_clients();
    const char *base = rounds_temp_dir_in_memory();
    printf("%-28s %10s %14s %10s\n", "exec to first connect", "load s", "median us", "least us");
    const double rise = measure_rpd(base, rounds.count);
    measure_late(base, rounds.count);
    measure_redis(base, rounds.count);
    temp_dir_remove(base);
    printf("curve: rpd, a load of %g s to one of %g s: %.2f (at most %.2f): %s\n",
           loads_s[LOADS - 1], loads_s[0], rise, LIMIT, rise <= LIMIT ? "ok" : "too much");
    json_figures_end("curve");
    return rounds.is_check && rise > LIMIT ? 1 : 0;
}
