/* Exactly one daemon per endpoint: many real starts at once on one unix path, among leftovers, with
 * SIGKILL at random moments. Counts every breach.
 *
 *     race [--rounds R] [--starters N] [--seed S] [--protocol rpd|broken]
 *          [--killers yes|no] [--rival yes|no] [--verbose]
 *
 * A round:
 *   1. a new directory, or the one of the round before as that left it;
 *   2. leftovers, each by chance: a socket without a listener, a garbage
 *      record, a record with the pid of another live process, temporary files,
 *      garbage in the lock files;
 *   3. N starts, under one service name or N, one after the other or, forked
 *      before, all at once. Some are victims, killed within 3 ms of that, or
 *      later while all of them crowd the processors, or at up to 1 ms after
 *      they announced BOUND; three in ten victims get SIGTERM instead, and
 *      must clean up in the crowd;
 *   4. each start that announced BOUND, at that moment and again at the end,
 *      if it was not killed: is alone, is what the path leads to (SO_PEERCRED),
 *      and echoes. Each that lost ended with 75. Without a kill, one wins;
 *   5. if none is left, one more start wins at the first try;
 *   6. the winner ends by SIGTERM with 0 and leaves lock files only.
 *
 * --rival yes: a rival process removes the run-time directory, alone or together with the
 * endpoint's directory, and makes it again, before and during the starts. For at most a second
 * after that two daemons may live, because one must notice first. Then one is left, and the others
 * have ended with 75 (or, if their directory went while they started, with 71 or 73). The path
 * leads to the one that is left, it echoes, and the record in the directory is its own.
 *
 * --protocol broken is the control: the same with tests/faults/broken_bind, which probes, unlinks
 * and binds. Then exit 0 means that the race caught it. */
#include "../support/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

enum { MAX_STARTERS = 1000, MAX_SHOWN = 20 };

enum kind {
    TWO_ALIVE,
    NOT_ON_PATH,
    NO_ECHO,
    WRONG_CODE,
    LEFT,
    NO_WINNER,
    BLOCKED,
    HUNG,
    BAD_STOP,
    LITTER,
    UNSEEN,
    KINDS
};

static const char *const kind_text[KINDS] = {
    [TWO_ALIVE] = "two announced BOUND and live",
    [NOT_ON_PATH] = "announced BOUND, lives, and is not what the path leads to",
    [NO_ECHO] = "is reached and does not echo",
    [WRONG_CODE] = "lost and did not end with 75",
    [LEFT] = "announced BOUND and ended unasked",
    [NO_WINNER] = "no start was killed, and none won",
    [BLOCKED] = "a fresh start did not win at the first try",
    [HUNG] = "neither bound nor ended, or did not end by SIGTERM, by the deadline",
    [BAD_STOP] = "SIGTERM did not end it with 0",
    [LITTER] = "left something behind",
    [UNSEEN] = "serves, and the record in the directory is not its own",
};

struct starter {
    struct process *process;
    int64_t spawned_at;
    int64_t kill_at;          /* 0: not planned */
    int64_t kill_after_bound; /* -1: not planned */
    int kill_signal;
    bool killed; /* the signal was sent */
    bool seen_bound;
};

struct race {
    long rounds, starters;
    uint64_t seed;
    bool broken, killers, rival, verbose;

    /* The round */
    long round;
    const char *base; /* with a rival: the parent of dir */
    const char *dir, *run_dir, *path, *endpoint;
    bool one_name;
    bool dirty[MAX_STARTERS + 1]; /* may have left files: killed, or planted. [0] is "race" */
    struct starter list[MAX_STARTERS];
    long started;
    int gate[2]; /* in some rounds all starts wait for it before exec */
    bool gated;
    pid_t last_pid;

    /* Counts */
    long violations[KINDS], shown;
    long starts, killed_early, killed_bound, no_survivor, planted;
    long removals, moves;
    int64_t longest_two; /* how long two lived at once after the rival's last act */
};

/* ---- Chance ----------------------------------------------------------- */

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 16) % limit;
}

static bool chance(unsigned percent)
{
    return random_below(100) < percent;
}

/* ---- Reporting -------------------------------------------------------- */

static void violation(struct race *race, enum kind kind, struct process *process,
                      const char *detail)
{
    race->violations[kind]++;
    if (race->broken && !race->verbose)
        return;
    if (race->shown++ >= MAX_SHOWN && !race->verbose)
        return;
    printf("race: round %ld: %s: pid %d: %s\n", race->round, kind_text[kind],
           process ? (int)process_pid(process) : 0, detail);
    if (process && *process_stderr(process))
        printf("    stderr: %s", process_stderr(process));
    fflush(stdout);
}

/* ---- Leftovers -------------------------------------------------------- */

static const char *name_of(const struct race *race, long index)
{
    return race->one_name || index < 0 ? "race" : textf("race-%ld", index);
}

static bool *dirty_of(struct race *race, long index)
{
    return &race->dirty[race->one_name || index < 0 ? 0 : index + 1];
}

/* To the kernel, the leftover of a dead process is a closed socket and its name. */
static void plant_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 8) != 0)
        test_die("plant: %s: %s", path, strerror(errno));
    close(fd);
}

static void plant_garbage(const char *path)
{
    char bytes[300];
    const size_t size = random_below(sizeof bytes);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)random_below(256);
    file_write(path, bytes, size);
}

/* This pid is alive but has nothing to do with rpd: it is our own, or init's. */
static void plant_record(struct race *race, const char *path)
{
    const char *boot_id = file_read("/proc/sys/kernel/random/boot_id");
    const char *text = textf("{\"version\": 1, \"pid\": %d, \"start_time\": 1, "
                             "\"boot_id\": \"%.36s\", \"endpoints\": [\"%s\"], "
                             "\"state\": \"ready\", \"plugin\": \"echo.so\", "
                             "\"config\": null, \"control\": null}\n",
                             chance(50) ? (int)getpid() : 1, boot_id ? boot_id : "",
                             race->endpoint);
    const size_t whole = strlen(text);

    file_write(path, text, chance(70) ? whole : random_below(whole)); /* or torn */
}

static void plant(struct race *race)
{
    if (chance(50))
        plant_socket(race->path);
    if (chance(50)) {
        plant_socket(textf("%s/.s.%d.tmp", race->dir, 1 + (int)random_below(9999)));
        plant_garbage(textf("%s/.s.%d.tmp", race->dir, 10000 + (int)random_below(9999)));
        /* Some of the next starts will have these pids. */
        for (int i = 1; race->last_pid > 0 && i <= 20; i++)
            plant_socket(textf("%s/.s.%d.tmp", race->dir, (int)race->last_pid + i * 2));
    }
    if (chance(50))
        plant_garbage(textf("%s/.s.lock", race->dir));
    for (int i = 0; i < 4; i++) {
        const long index = (long)random_below((uint64_t)race->starters);
        const char *name = name_of(race, index);
        const unsigned what = (unsigned)random_below(6);
        if (what > 2)
            continue;
        if (what == 0)
            plant_garbage(textf("%s/%s.json", race->run_dir, name));
        else if (what == 1)
            plant_record(race, textf("%s/%s.json", race->run_dir, name));
        else
            plant_garbage(textf("%s/%s.lock", race->run_dir, name));
        *dirty_of(race, index) = true;
        race->planted++;
    }
}

static void make_directory(struct race *race)
{
    if (race->dir && chance(50))
        return;
    if (race->dir)
        temp_dir_remove(race->dir);
    memset(race->dirty, 0, sizeof race->dirty);
    race->dir = temp_dir_make();
    race->run_dir = textf("%s/run", race->dir);
    race->path = textf("%s/s", race->dir);
    race->endpoint = textf("unix:%s", race->path);
    if (mkdir(race->run_dir, 0700) != 0)
        test_die("mkdir: %s: %s", race->run_dir, strerror(errno));
}

/* ---- The starts ------------------------------------------------------- */

static struct process *start(struct race *race, const char *name)
{
    const char *program = race->broken ? beside_path("broken_bind") : build_path("rpd");
    const char *plugin = race->broken ? "-" : build_path("plugins/echo.so");

    race->starts++;
    return process_start(&(struct process_options){
        .argv = ARGS(program, plugin, "-l", race->endpoint, "-n", name),
        .runtime_dir = race->run_dir,
        .notify = true,
        .gate_fd = race->gated ? race->gate[0] : 0,
    });
}

static void check_path(struct race *race, struct process *process)
{
    const int fd = connect_to(race->endpoint);
    if (fd < 0) {
        violation(race, NOT_ON_PATH, process, textf("connect: %s", strerror(errno)));
        return;
    }
    const pid_t peer = peer_pid(fd);
    if (peer != process_pid(process))
        violation(race, NOT_ON_PATH, process, textf("the path leads to pid %d", (int)peer));
    close(fd);
}

static void check_echo(struct race *race, struct process *process)
{
    static const char message[] = "who is there?\n";
    char answer[sizeof message] = "";
    const int fd = connect_to(race->endpoint);
    if (fd < 0)
        return; /* check_path has said so */

    if (send_all(fd, message, sizeof message - 1) != 0 ||
        read_exactly(fd, answer, sizeof message - 1) != sizeof message - 1 ||
        strcmp(answer, message) != 0)
        violation(race, NO_ECHO, process, textf("got \"%s\"", answer));
    close(fd);
}

static void on_bound(struct race *race, struct starter *starter)
{
    starter->seen_bound = true;
    if (starter->kill_after_bound >= 0)
        starter->kill_at = process_bound_ns(starter->process) + starter->kill_after_bound;
    if (starter->killed || race->rival || !process_alive(starter->process))
        return;
    for (long i = 0; i < race->started; i++) {
        const struct starter *other = &race->list[i];
        if (other != starter && other->seen_bound && !other->killed &&
            process_alive(other->process) && process_alive(starter->process))
            violation(race, TWO_ALIVE, starter->process,
                      textf("and pid %d", (int)process_pid(other->process)));
    }
    check_path(race, starter->process);
}

/* Sends the signals that are due. Returns when the next one is due, or `latest`. */
static int64_t kill_due(struct race *race, int64_t latest)
{
    int64_t next = latest;

    for (long i = 0; i < race->started; i++) {
        struct starter *starter = &race->list[i];
        if (starter->kill_at == 0 || starter->killed)
            continue;
        if (starter->kill_at > now_ns()) {
            next = starter->kill_at < next ? starter->kill_at : next;
            continue;
        }
        starter->killed = true;
        if (starter->kill_signal == SIGKILL)
            *dirty_of(race, i) = true;
        process_signal(starter->process, starter->kill_signal);
        if (starter->seen_bound)
            race->killed_bound++;
        else
            race->killed_early++;
    }
    return next;
}

static void attend(struct race *race, int64_t until)
{
    static struct process *processes[MAX_STARTERS];

    const int64_t next = kill_due(race, until);
    for (long i = 0; i < race->started; i++)
        processes[i] = race->list[i].process;
    process_poll(processes, (size_t)race->started, next - now_ns());
    for (long i = 0; i < race->started; i++) {
        struct starter *starter = &race->list[i];
        if (process_bound(starter->process) && !starter->seen_bound)
            on_bound(race, starter);
    }
}

static void choose_fate(struct starter *starter, unsigned victims_percent)
{
    starter->spawned_at = now_ns();
    starter->kill_signal = chance(70) ? SIGKILL : SIGTERM;
    starter->kill_after_bound = -1;
    if (chance(victims_percent))
        starter->kill_at = starter->spawned_at +
                           (int64_t)random_below(chance(60) ? 3 * MS : 60 * MS);
    if (chance(victims_percent)) /* if it gets that far */
        starter->kill_after_bound = chance(40) ? 0 : (int64_t)random_below(MS);
}

static bool settled(const struct race *race)
{
    for (long i = 0; i < race->started; i++) {
        const struct starter *starter = &race->list[i];
        if (process_exited(starter->process, NULL))
            continue;
        if (!starter->seen_bound || starter->kill_at != 0)
            return false;
    }
    return true;
}

static void open_gate(struct race *race)
{
    static const char bytes[MAX_STARTERS];

    if (write(race->gate[1], bytes, (size_t)race->started) != race->started)
        test_die("gate: %s", strerror(errno));
    for (long i = 0; i < race->started; i++) {
        struct starter *starter = &race->list[i];
        if (starter->kill_at != 0)
            starter->kill_at += now_ns() - starter->spawned_at;
    }
}

static void run_starts(struct race *race)
{
    static const unsigned percents[] = {0, 10, 30, 50, 90};
    const unsigned victims = race->killers ? percents[random_below(5)] : 0;

    race->gated = chance(60);
    if (pipe2(race->gate, O_CLOEXEC) != 0)
        test_die("pipe: %s", strerror(errno));
    memset(race->list, 0, sizeof race->list);
    for (long i = 0; i < race->starters; i++) {
        struct starter *starter = &race->list[i];
        starter->process = start(race, name_of(race, i));
        choose_fate(starter, victims);
        race->last_pid = process_pid(starter->process);
        race->started++;
        if (!race->gated)
            attend(race, 0);
    }
    if (race->gated)
        open_gate(race);
    race->gated = false;
    close(race->gate[0]);
    close(race->gate[1]);

    const int64_t deadline = now_ns() + 20000 * MS;
    while (!settled(race) && now_ns() < deadline)
        attend(race, deadline);
}

/* ---- The verdict ------------------------------------------------------ */

static void check_starter(struct race *race, long index)
{
    const struct starter *starter = &race->list[index];
    int status = 0;

    if (!process_exited(starter->process, &status)) {
        if (!starter->seen_bound || starter->killed)
            violation(race, HUNG, starter->process, "20 s");
        return;
    }
    const int code = process_code(status);
    if (starter->killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return;
    if (starter->killed && starter->kill_signal == SIGTERM) {
        /* Until rpd has installed its handler, SIGTERM has its default effect. */
        const bool early = code == 128 + SIGTERM && !starter->seen_bound;
        if (early)
            *dirty_of(race, index) = true;
        if (code == 0 || early)
            return;
    }
    if (starter->seen_bound)
        violation(race, LEFT, starter->process, textf("code %d", code));
    else if (code != 75)
        violation(race, WRONG_CODE, starter->process, textf("code %d", code));
}

/* The owner of a file in the run-time directory: ".race-7.json.tmp" is race-7's. */
static long owner_of(const char *file)
{
    long index = -1;

    file += *file == '.';
    if (sscanf(file, "race-%ld", &index) == 1)
        return index + 1;
    return strncmp(file, "race", 4) == 0 ? 0 : -1;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void check_litter(struct race *race, struct process *winner)
{
    DIR *dir = opendir(race->dir);
    if (!dir)
        test_die("opendir: %s: %s", race->dir, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "run") != 0 &&
            strcmp(name, ".s.lock") != 0)
            violation(race, LITTER, winner, textf("%s/%s", race->dir, name));
    }
    closedir(dir);

    dir = opendir(race->run_dir);
    if (!dir)
        test_die("opendir: %s: %s", race->run_dir, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        const long owner = owner_of(name);
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || ends_with(name, ".lock") ||
            ends_with(name, ".history"))
            continue;
        if (owner < 0 || owner > MAX_STARTERS || !race->dirty[owner])
            violation(race, LITTER, winner, textf("%s/%s", race->run_dir, name));
    }
    closedir(dir);
}

static long lines_with_text(const char *text, const char *part)
{
    long count = 0;

    while ((text = strstr(text, part))) {
        text += strlen(part);
        count++;
    }
    return count;
}

static void stop_winner(struct race *race, struct process *winner, bool *dirty)
{
    const int status = process_stop(winner);

    if (status != 0)
        violation(race, BAD_STOP, winner, textf("code %d", process_code(status)));
    /* Only names that were killed or planted may have left files. */
    *dirty = false;
    if (status == 0 && !race->broken)
        check_litter(race, winner);
}

static void run_fresh(struct race *race)
{
    struct process *process = start(race, "race");

    race->no_survivor++;
    if (process_wait_bound(process) != 0) {
        int status = -1;
        process_exited(process, &status);
        violation(race, BLOCKED, process, textf("code %d", process_code(status)));
    } else {
        check_path(race, process);
        check_echo(race, process);
        stop_winner(race, process, &race->dirty[0]);
    }
    process_free(process);
}

static void run_round(struct race *race)
{
    race->one_name = chance(50);
    make_directory(race);
    plant(race);
    run_starts(race);

    long survivors = 0, killed = 0;
    for (long i = 0; i < race->started; i++) {
        struct starter *starter = &race->list[i];
        check_starter(race, i);
        killed += starter->killed;
        if (starter->killed || !starter->seen_bound || process_exited(starter->process, NULL))
            continue;
        survivors++;
        check_path(race, starter->process);
        check_echo(race, starter->process);
    }
    if (survivors == 0 && killed == 0)
        violation(race, NO_WINNER, NULL, race->endpoint);
    for (long i = 0; i < race->started; i++) {
        struct starter *starter = &race->list[i];
        if (survivors > 1 && !process_exited(starter->process, NULL))
            process_stop(starter->process); /* counted already; leftovers would add nothing */
        else if (!process_exited(starter->process, NULL) && starter->seen_bound)
            stop_winner(race, starter->process, dirty_of(race, i));
    }
    for (long i = 0; i < race->started; i++)
        process_free(race->list[i].process);
    race->started = 0;
    if (survivors == 0)
        run_fresh(race);
    if (survivors > 1) {
        temp_dir_remove(race->dir);
        race->dir = NULL;
    }
}

/* ---- The rival -------------------------------------------------------- */

static void make_base(struct race *race)
{
    const char *base = temp_dir_make();

    race->base = base;
    race->dir = textf("%s/d", base);
    race->run_dir = textf("%s/d/run", base);
    race->path = textf("%s/d/s", base);
    race->endpoint = textf("unix:%s", race->path);
    memset(race->dirty, 0, sizeof race->dirty);
    if (mkdir(race->dir, 0700) != 0 || mkdir(race->run_dir, 0700) != 0)
        test_die("mkdir: %s: %s", race->run_dir, strerror(errno));
}

/* A daemon may make the run-time directory again first, but not the endpoint's. */
static void make_again(const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        test_die("mkdir: %s: %s", path, strerror(errno));
}

static void remove_by_rename(struct race *race, const char *path)
{
    const char *gone = textf("%s/gone.%ld", race->base, race->removals);

    if (rename(path, gone) != 0)
        test_die("rename: %s: %s", path, strerror(errno));
}

/* Removes file by file, as rm -r does: live daemons make theirs again. Returns whether the
 * directory is gone. */
static bool remove_by_files(const char *path)
{
    for (int i = 0; i < 20; i++) {
        DIR *dir = opendir(path);

        for (const struct dirent *entry; dir && (entry = readdir(dir));)
            unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
            closedir(dir);
        if (rmdir(path) == 0)
            return true;
    }
    return false;
}

static void act_as_rival(struct race *race)
{
    race->removals++;
    if (chance(40)) {
        remove_by_rename(race, race->dir);
        make_again(race->dir);
        make_again(race->run_dir);
    } else if (chance(60)) {
        remove_by_rename(race, race->run_dir);
        make_again(race->run_dir);
    } else if (remove_by_files(race->run_dir)) {
        make_again(race->run_dir);
    }
}

static void attend_for(struct race *race, int64_t time)
{
    const int64_t until = now_ns() + time;

    do
        attend(race, until);
    while (now_ns() < until);
}

static void start_some(struct race *race, long count, unsigned victims)
{
    for (long i = 0; i < count && race->started < race->starters; i++) {
        struct starter *starter = &race->list[race->started];
        starter->process = start(race, name_of(race, race->started));
        choose_fate(starter, victims);
        race->started++;
        attend(race, 0);
    }
}

static long count_alive(const struct race *race)
{
    long alive = 0;

    for (long i = 0; i < race->started; i++)
        alive += !race->list[i].killed && process_alive(race->list[i].process);
    return alive;
}

/* The broken control never leaves. */
static int64_t patience(const struct race *race)
{
    return race->broken ? 1500 * MS : 20000 * MS;
}

/* Waits until at most one is left and no start is under way. */
static void await_one(struct race *race)
{
    const int64_t began = now_ns(), deadline = began + patience(race);

    while ((count_alive(race) > 1 || !settled(race)) && now_ns() < deadline)
        attend(race, now_ns() + 5 * MS);
    if (now_ns() - began > race->longest_two)
        race->longest_two = now_ns() - began;
}

static void check_loser(struct race *race, const struct starter *starter)
{
    int status = 0;

    if (starter->killed || !process_exited(starter->process, &status))
        return;
    const int code = process_code(status);
    const bool is_early = !starter->seen_bound && (code == 71 || code == 73);
    if (code != 75 && !is_early)
        violation(race, starter->seen_bound ? LEFT : WRONG_CODE, starter->process,
                  textf("code %d", code));
    race->moves += lines_with_text(process_stderr(starter->process), "are all there again");
}

/* The daemon may be about to move. */
static bool is_reached(const struct race *race, const struct process *process)
{
    const int fd = connect_to(race->endpoint);
    const bool is_it = fd >= 0 && peer_pid(fd) == process_pid(process);

    if (fd >= 0)
        close(fd);
    return is_it;
}

static bool has_record(const struct race *race, const struct starter *starter)
{
    const long index = starter - race->list;
    const char *text = file_read(textf("%s/%s.json", race->run_dir, name_of(race, index)));

    return text && strstr(text, textf("\"pid\": %d,", (int)process_pid(starter->process)));
}

static void check_survivor(struct race *race, struct starter *starter)
{
    const int64_t deadline = now_ns() + patience(race);

    while ((!is_reached(race, starter->process) || (!race->broken && !has_record(race, starter))) &&
           process_alive(starter->process) && now_ns() < deadline)
        attend(race, now_ns() + 5 * MS);
    if (!process_alive(starter->process))
        return; /* it was about to leave: another one, since killed, had its name */
    check_path(race, starter->process);
    check_echo(race, starter->process);
    if (!race->broken && !has_record(race, starter))
        violation(race, UNSEEN, starter->process, race->run_dir);
    race->moves += lines_with_text(process_stderr(starter->process), "are all there again");
}

static void check_all(struct race *race)
{
    struct starter *survivor = NULL;

    for (long i = 0; i < race->started; i++) {
        struct starter *starter = &race->list[i];
        if (starter->killed || !process_alive(starter->process))
            continue;
        if (survivor)
            violation(race, TWO_ALIVE, starter->process,
                      textf("and pid %d", (int)process_pid(survivor->process)));
        survivor = starter;
    }
    if (survivor && count_alive(race) == 1)
        check_survivor(race, survivor);
    attend(race, 0);
    for (long i = 0; i < race->started; i++)
        check_loser(race, &race->list[i]);
}

static void stop_all(struct race *race)
{
    for (long i = 0; i < race->started; i++) {
        struct starter *starter = &race->list[i];
        int status = 0;

        if (!starter->killed && process_alive(starter->process)) {
            status = process_stop(starter->process);
            if (status != 0 && process_code(status) != 75)
                violation(race, BAD_STOP, starter->process, textf("code %d", process_code(status)));
        }
        process_free(starter->process);
    }
    race->started = 0;
}

static void run_rival_round(struct race *race)
{
    static const unsigned percents[] = {0, 0, 10, 30};
    const unsigned victims = race->killers ? percents[random_below(4)] : 0;
    const long acts = 1 + (long)random_below(3);

    race->one_name = chance(50);
    make_base(race);
    memset(race->list, 0, sizeof race->list);
    for (long i = 0; i < acts; i++) {
        start_some(race, 1 + (long)random_below((uint64_t)race->starters / 2), victims);
        attend_for(race, (int64_t)random_below(chance(50) ? 4 * MS : 40 * MS));
        act_as_rival(race);
        if (chance(50))
            attend_for(race, (int64_t)random_below(chance(50) ? 2 * MS : 300 * MS));
    }
    start_some(race, race->starters - race->started, victims);
    await_one(race);
    check_all(race);
    const bool none = count_alive(race) == 0;
    stop_all(race);
    if (none)
        run_fresh(race);
    temp_dir_remove(race->base);
    race->dir = NULL;
}

/* ---- The command ------------------------------------------------------ */

static int usage(void)
{
    fputs("usage: race [--rounds R] [--starters N] [--seed S] [--protocol rpd|broken]\n"
          "            [--killers yes|no] [--rival yes|no] [--verbose]\n",
          stderr);
    return 64;
}

static bool parse(struct race *race, int argc, char **argv)
{
    static const struct option options[] = {
        {"rounds", required_argument, NULL, 'r'},  {"starters", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},    {"protocol", required_argument, NULL, 'p'},
        {"killers", required_argument, NULL, 'k'}, {"rival", required_argument, NULL, 'd'},
        {"verbose", no_argument, NULL, 'v'},       {NULL, 0, NULL, 0},
    };

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'r': race->rounds = strtol(optarg, NULL, 10); break;
        case 'n': race->starters = strtol(optarg, NULL, 10); break;
        case 's': race->seed = strtoull(optarg, NULL, 10); break;
        case 'v': race->verbose = true; break;
        case 'p':
            race->broken = strcmp(optarg, "broken") == 0;
            if (!race->broken && strcmp(optarg, "rpd") != 0)
                return false;
            break;
        case 'k':
            race->killers = strcmp(optarg, "yes") == 0;
            if (!race->killers && strcmp(optarg, "no") != 0)
                return false;
            break;
        case 'd':
            race->rival = strcmp(optarg, "yes") == 0;
            if (!race->rival && strcmp(optarg, "no") != 0)
                return false;
            break;
        default: return false;
        }
    }
    return optind == argc && race->rounds > 0 && race->starters > 0 &&
           race->starters <= MAX_STARTERS;
}

static int report(const struct race *race)
{
    long all = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        if (race->violations[kind] > 0)
            printf("race: %6ld  %s\n", race->violations[kind], kind_text[kind]);
        all += race->violations[kind];
    }
    printf("race: %ld starts; killed %ld before and %ld after BOUND was seen; %ld leftovers in the "
           "run-time directory; %ld rounds without a survivor\n",
           race->starts, race->killed_early, race->killed_bound, race->planted, race->no_survivor);
    if (race->rival)
        printf("race: the rival removed a directory %ld times; %ld moves; two lived at once for at "
               "most %.3f s after its last\n",
               race->removals, race->moves, (double)race->longest_two / 1e9);
    const bool caught = race->violations[TWO_ALIVE] + race->violations[NOT_ON_PATH] > 0;
    if (race->broken)
        printf("race: the control was %s\n", caught ? "caught, as it must be" : "NOT caught");
    printf("race: %ld rounds, %ld starters: %ld violations\n", race->rounds, race->starters, all);
    return race->broken ? !caught : all > 0;
}

int main(int argc, char **argv)
{
    static struct race race = {.rounds = 100, .starters = 40, .killers = true};
    race.seed = (uint64_t)now_ns();
    if (!parse(&race, argc, argv))
        return usage();

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    random_state = race.seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    printf("race: protocol %s, %ld rounds, %ld starters, killers %s, rival %s, --seed %llu\n",
           race.broken ? "broken" : "rpd", race.rounds, race.starters, race.killers ? "yes" : "no",
           race.rival ? "yes" : "no", (unsigned long long)race.seed);
    fflush(stdout);
    for (race.round = 1; race.round <= race.rounds; race.round++) {
        if (race.rival)
            run_rival_round(&race);
        else
            run_round(&race);
    }
    if (race.dir)
        temp_dir_remove(race.dir);
    return report(&race);
}
