/* The exit of an unused daemon: when it comes, what prevents it, and that it loses no client,
 * however late the client connects. */
#include "warm_scene.h"

#include <pthread.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

static const char left_line[] = "stopping: no client came for idle_exit_s";

static struct warm idle_warm(void)
{
    return bound_warm(&(struct warm_start){.service = "\"idle_exit_s\":1,"});
}

static double seconds_since(int64_t began)
{
    return (double)(now_ns() - began) / 1e9;
}

static void assert_stays(const struct warm *warm, int ms, const char *why)
{
    pass_ms(ms);
    cr_assert(process_alive(warm->rpd) && !strstr(process_stderr(warm->rpd), left_line), "%s\n%s",
              why, process_stderr(warm->rpd));
}

static void assert_leaves(struct warm *warm, double least_s)
{
    const int64_t began = now_ns();

    assert_line(warm->rpd, left_line);
    cr_assert_geq(seconds_since(began), least_s, "after %f s only\n%s", seconds_since(began),
                  process_stderr(warm->rpd));
    end_warm_with(warm, 0);
}

Test(idle_exit, comes_after_its_time)
{
    struct warm warm = idle_warm();

    make_ready(&warm);
    assert_leaves(&warm, 0.9);
}

/* Ready at once, before the first tick of the loop's clock. */
Test(idle_exit, is_not_early)
{
    struct warm warm = idle_warm();

    open_gate(&warm, "load");
    assert_line(warm.rpd, ": ready");
    assert_stays(&warm, 800, "it left early");
    assert_leaves(&warm, 0);
}

static struct process *start_idles(const char *member, const char **ret_dir)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);

    write_text(config,
               textf("{\"services\":[{\"plugin\":\"%s\",%s\"listen\":[\"unix:%s/x.sock\"]}]}",
                     test_plugin("idles"), member, dir));
    *ret_dir = dir;
    return RPD_START(textf("%s/run", dir), "-c", config);
}

/* The backend's own time is the default, and no more than that. */
Test(idle_exit, as_its_backend_says_unless_the_user_does)
{
    const char *dir, *other_dir;
    struct process *rpd = start_idles("", &dir);
    struct process *other = start_idles("\"idle_exit_s\":0,", &other_dir);

    assert_bound(rpd);
    assert_bound(other);
    const int64_t began = now_ns();
    const int fd = client(textf("unix:%s/x.sock", dir));
    assert_text(ask(fd, "here"), "here", rpd);
    pass_ms(1300);
    cr_assert(process_alive(rpd), "it left its client: %s", process_stderr(rpd));
    close(fd);
    assert_line(rpd, left_line);
    cr_assert_geq(seconds_since(began), 2.2, "%f s", seconds_since(began));
    assert_ends(rpd, 0);
    assert_text(ask_once(textf("unix:%s/x.sock", other_dir), "here"), "here", other);
    cr_assert_not(strstr(process_stderr(other), left_line), "%s", process_stderr(other));
    assert_stops(other);
    process_free(rpd);
    process_free(other);
    temp_dir_remove(dir);
    temp_dir_remove(other_dir);
}

Test(idle_exit, is_not_early_without_a_load)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", temp_dir_make());

    write_text(config, textf("{\"services\":[{\"plugin\":\"echo.so\",\"idle_exit_s\":1,"
                             "\"listen\":[\"unix:%s/x.sock\"]}]}",
                             dir));
    struct process *rpd = RPD_START(dir, "-c", config);
    assert_bound(rpd);
    const int64_t began = now_ns();
    assert_line(rpd, left_line);
    cr_assert_geq(seconds_since(began), 0.9, "%f s", seconds_since(began));
    assert_ends(rpd, 0);
    assert_empty(dir);
}

Test(idle_exit, waits_for_a_load_and_those_who_are_held)
{
    struct warm warm = idle_warm();

    assert_stays(&warm, 1600, "it was not ready");
    const int fd = client_of(warm.endpoint);
    wait_page(&warm, page.clients_held == 1);
    assert_stays(&warm, 1500, "a client was held");
    make_ready(&warm);
    assert_text(ask(fd, "a"), "1 a 0", warm.rpd);
    close(fd);
    assert_leaves(&warm, 0.7);
}

Test(idle_exit, waits_for_clients_and_jobs)
{
    struct warm warm = idle_warm();
    const int fd = client_of(warm.tcp);

    make_ready(&warm);
    assert_stays(&warm, 1600, "a client was connected");
    assert_text(ask(fd, "work 1600"), "1 work 1600 0", warm.rpd);
    close(fd);
    assert_stays(&warm, 1400, "a job was running");
    assert_leaves(&warm, 0.5);
}

/* Each visit is shorter than a tick of the loop's clock. */
Test(idle_exit, waits_for_short_visits)
{
    struct warm warm = idle_warm();

    make_ready(&warm);
    for (int i = 1; i <= 4; i++) {
        assert_stays(&warm, 600, "it was visited");
        assert_text(ask_once(warm.endpoint, "a"), textf("%d a 0", i), warm.rpd);
    }
    assert_leaves(&warm, 0.7);
}

/* A stop while no client can find the path leaves no files either. */
Test(idle_exit, a_stop_meanwhile)
{
    struct warm warm = idle_warm();

    make_ready(&warm);
    while (access(warm.path, F_OK) == 0 && process_alive(warm.rpd))
        poll(NULL, 0, 1);
    process_signal(warm.rpd, SIGTERM);
    end_warm_with(&warm, 0);
}

/* ---- several services --------------------------------------------------------------- */

static struct process *start_two(const char *dir, int first_s, int second_s)
{
    const char *config = textf("%s/c.json", temp_dir_make());

    write_text(config,
               textf("{\"services\":[{\"name\":\"one\",\"plugin\":\"echo.so\",\"idle_exit_s\":%d,"
                     "\"listen\":[\"unix:%s/1\"]},{\"name\":\"two\",\"plugin\":\"echo.so\","
                     "\"idle_exit_s\":%d,\"listen\":[\"unix:%s/2\"]}]}",
                     first_s, dir, second_s, dir));
    struct process *rpd = RPD_START(dir, "-c", config);
    assert_bound(rpd);
    return rpd;
}

Test(idle_exit, of_several_services_when_all_are_idle)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_two(dir, 1, 1);
    const int fd = connect_to(textf("unix:%s/2", dir));

    assert_text(ask(fd, "a"), "a", rpd);
    pass_ms(1700);
    cr_assert(process_alive(rpd) && !strstr(process_stderr(rpd), left_line));
    assert_text(ask_once(textf("unix:%s/1", dir), "b"), "b", rpd);
    close(fd);
    assert_line(rpd, left_line);
    assert_ends(rpd, 0);
    assert_empty(dir);
}

Test(idle_exit, not_with_a_service_that_has_none)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_two(dir, 1, 0);

    pass_ms(2000);
    cr_assert(process_alive(rpd) && !strstr(process_stderr(rpd), left_line));
    assert_text(ask_once(textf("unix:%s/1", dir), "b"), "b", rpd);
    assert_stops(rpd);
    assert_empty(dir);
}

/* ---- clients that come at the last moment ------------------------------------------- */

enum {
    ROUNDS = 60,
    BEFORE_MS = 60,
    AFTER_MS = 110,      /* the 50 ms for which it hides, and 60 */
    AFTER_FOUND_MS = 30, /* for clients that have found the path: well before the exit */
};

enum ending { ANSWERED, NOT_THERE, LOST };

struct visit {
    struct warm warm;
    pthread_t thread;
    int64_t when_ns;
    int path_fd;  /* the descriptor of a client that has already found the path; otherwise -1 */
    int pause_ms; /* from connect to the request */
    enum ending ending;
    int error;
    char answer[64];
};

static void sleep_until(int64_t ns)
{
    const struct timespec when = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        continue;
}

/* A client has found the path, but connects late: it connects through the descriptor of the socket
 * file, which works whatever the file's name is. */
static int connect_through(int path_fd)
{
    return connect_to(textf("unix:/proc/self/fd/%d", path_fd));
}

static void *visit_it(void *arg)
{
    struct visit *visit = arg;
    int fd;

    sleep_until(visit->when_ns);
    fd = visit->path_fd < 0 ? connect_to(visit->warm.endpoint) : connect_through(visit->path_fd);
    if (fd < 0) {
        visit->error = errno;
        visit->ending = errno == ENOENT || errno == ECONNREFUSED ? NOT_THERE : LOST;
        return NULL;
    }
    if (visit->pause_ms > 0)
        sleep_until(now_ns() + visit->pause_ms * NS_PER_MS);
    visit->ending = LOST;
    if (send_all(fd, "a\n", 2) == 0 && read_line(fd, visit->answer, sizeof visit->answer) > 0 &&
        strcmp(visit->answer, "1 a 0\n") == 0)
        visit->ending = ANSWERED;
    else
        visit->error = errno;
    close(fd);
    return NULL;
}

/* The path goes at the first tick of the loop's clock (four per second) that is a second after
 * READY. */
static int64_t when_it_hides_ns(const struct warm *warm)
{
    const struct rpd_state_page seen = page_of(warm);
    uint64_t at_us = seen.turned_us;

    while (at_us < seen.ready_us + 1000000)
        at_us += 250000;
    return (int64_t)at_us * 1000;
}

static void begin_visit(struct visit *visit, bool has_found, unsigned *seed)
{
    const unsigned window_ms = BEFORE_MS + (has_found ? AFTER_FOUND_MS : AFTER_MS);

    visit->warm = idle_warm();
    visit->path_fd = has_found ? open(visit->warm.path, O_PATH | O_CLOEXEC) : -1;
    make_ready(&visit->warm);
    wait_page(&visit->warm, page.turns > 0 && page.ready_us > 0);
    visit->when_ns = when_it_hides_ns(&visit->warm) - BEFORE_MS * NS_PER_MS +
                     (int64_t)((unsigned)rand_r(seed) % (window_ms * 1000)) * 1000;
    visit->pause_ms = rand_r(seed) % 3 == 0 ? rand_r(seed) % 80 : 0;
    cr_assert_eq(pthread_create(&visit->thread, NULL, visit_it, visit), 0);
}

static void end_visit(struct visit *visit, int *counts, int *called_off)
{
    pthread_join(visit->thread, NULL);
    cr_assert_neq(visit->ending, LOST, "\"%s\", %s, %d ms after its connect\n%s", visit->answer,
                  strerror(visit->error), visit->pause_ms, process_stderr(visit->warm.rpd));
    counts[visit->ending]++;
    if (visit->path_fd >= 0)
        close(visit->path_fd);
    assert_ends(visit->warm.rpd, 0);
    *called_off += strstr(process_stderr(visit->warm.rpd), "idle exit cancelled: a client came") !=
                   NULL;
    end_warm_with(&visit->warm, 0);
}

Test(idle_exit, loses_nobody)
{
    static struct visit visits[ROUNDS];
    int counts[3] = {0}, called_off = 0;
    unsigned seed = (unsigned)getpid();

    for (int i = 0; i < ROUNDS; i++)
        begin_visit(&visits[i], i % 2, &seed);
    for (int i = 0; i < ROUNDS; i++)
        end_visit(&visits[i], counts, &called_off);
    cr_log_info("%d visits: %d answered, of which %d cancelled the exit; %d found no daemon",
                ROUNDS, counts[ANSWERED], called_off, counts[NOT_THERE]);
}

Test(idle_exit, is_called_off_and_the_path_is_back)
{
    struct warm warm = idle_warm();
    const int path_fd = open(warm.path, O_PATH | O_CLOEXEC);

    cr_assert_geq(path_fd, 0);
    make_ready(&warm);
    const uint64_t ready_us = page_of(&warm).ready_us;
    while (access(warm.path, F_OK) == 0)
        poll(NULL, 0, 1);
    const int fd = connect_through(path_fd);
    if (fd < 0) {
        cr_log_info("too late: %s", strerror(errno));
        end_warm_with(&warm, 0);
        close(path_fd);
        return;
    }
    assert_line(warm.rpd, "idle exit cancelled: a client came");
    while (access(warm.path, F_OK) != 0)
        poll(NULL, 0, 1);
    assert_text(ask_once(warm.endpoint, "new"), "2 new 0", warm.rpd);
    assert_text(ask(fd, "a"), "1 a 0", warm.rpd);
    cr_assert_eq(page_of(&warm).phase, RPD_PHASE_READY);
    cr_assert_eq(page_of(&warm).ready_us, ready_us);
    close(fd);
    close(path_fd);
    assert_leaves(&warm, 0.7);
}

/* A client that finds no path finds the reason in the page. */
Test(idle_exit, hides_and_says_so)
{
    struct warm warm = idle_warm();
    bool was_hidden = false;

    make_ready(&warm);
    while (!was_hidden && process_alive(warm.rpd)) {
        was_hidden = access(warm.path, F_OK) != 0;
        if (was_hidden) {
            struct rpd_state_page page = {.phase = RPD_PHASE_DRAINING};
            state_view_read(warm.run_fd, "warm", &page);
            /* All zero: the daemon has ended meanwhile. */
            cr_assert(page.phase == RPD_PHASE_DRAINING || page.phase == RPD_PHASE_STOPPING ||
                          page.pid == 0,
                      "phase %u", page.phase);
        }
    }
    cr_assert(was_hidden);
    end_warm_with(&warm, 0);
}

/* No event reports files that are removed while it hides; the daemon checks afterwards. */
Test(idle_exit, is_called_off_and_heals_what_was_removed)
{
    struct warm warm = idle_warm();
    const int path_fd = open(warm.path, O_PATH | O_CLOEXEC);

    make_ready(&warm);
    while (access(warm.path, F_OK) == 0)
        poll(NULL, 0, 1);
    const int fd = connect_through(path_fd);
    cr_assert_eq(unlink(textf("%s/.x.sock.lock", warm.dir)), 0, "%s", strerror(errno));
    if (fd >= 0) {
        assert_line(warm.rpd, "idle exit cancelled: a client came");
        assert_text(ask_once(warm.endpoint, "new"), "2 new 0", warm.rpd);
        cr_assert_eq(access(textf("%s/.x.sock.lock", warm.dir), F_OK), 0);
        assert_text(ask(fd, "a"), "1 a 0", warm.rpd);
        close(fd);
    }
    close(path_fd);
    end_warm_with(&warm, 0);
}
