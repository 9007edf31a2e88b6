/* What a plugin does to its own process while it serves: each offence is reported once, with
 * service and callback, and the daemon continues, or ends with 70; legal acts are not reported.
 * tests/faults, row 64, has the phases of load and drain. */
#include "common.h"

#include <criterion/parameterized.h>

struct scene {
    const char *dir, *endpoint;
    struct process *rpd;
};

static struct scene start(void)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    const struct scene scene = {
        dir, endpoint,
        RPD_START(textf("%s/run", dir), test_plugin("faulty"), "-l", endpoint, "-n", "kv")};

    assert_bound(scene.rpd);
    assert_line(scene.rpd, "kv: ready (");
    return scene;
}

/* ---- offences after which the daemon continues ---- */

static const struct offence {
    const char *say, *answer;
    const char *line;   /* exactly one line with this */
    const char *healed; /* and one line with this; NULL: none */
} offences[] = {
    /* clang-format off */
    {"now fork", "did fork",
     "faulty.so: its on_data forked a child that returned to rpd; the child was ended", NULL},
    {"job fork", "did fork",
     "faulty.so: its run forked a child that returned to rpd; the child was ended", NULL},
    {"done fork", "did fork",
     "faulty.so: its done forked a child that returned to rpd; the child was ended", NULL},
    {"now signals", "did signals",
     "faulty.so: its on_data, or other code of the last second, changed the signal mask, the "
     "handler of SIGTERM", NULL},
    {"job signals", "did signals", "changed the handler of SIGTERM", NULL},
    {"job foreign", "did foreign",
     "offend+", NULL},
    {"job leave", "cancelled leave",
     "faulty.so: its run called pthread_exit() on a worker; it counts as failed", NULL},
    {"now close:unix:x.sock", "did close:unix:x.sock",
     "faulty.so: its on_data, or other code of the last second, closed descriptor ",
     "x.sock was closed; recreated"},
    {"now close:unix:kv.control", "did close:unix:kv.control", ", the control socket ",
     "kv.control was closed; recreated"},
    {"now close:/kv.lock", "did close:/kv.lock", ", the lock of service kv; ", NULL},
    {"now close:.x.sock.lock", "did close:.x.sock.lock", ", the lock of unix:", NULL},
    {"now close:[eventfd]", "did close:[eventfd]", ", the loop's, for workers;", NULL},
    {"now close:inotify", "did close:inotify", ", the loop's, for changes of files;", NULL},
    /* clang-format on */
};
enum { OFFENCES = sizeof offences / sizeof *offences };

ParameterizedTestParameters(offence, goes_on)
{
    static size_t at[OFFENCES];

    for (size_t i = 0; i < OFFENCES; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, OFFENCES);
}

ParameterizedTest(size_t *at, offence, goes_on)
{
    const struct offence *offence = &offences[*at];
    const struct scene scene = start();
    const bool is_foreign = strstr(offence->say, "foreign");
    const int fd = connect_to(scene.endpoint);

    cr_assert_geq(fd, 0);
    assert_text(ask(fd, offence->say), offence->answer, scene.rpd);
    assert_line(scene.rpd, is_foreign ? "called rpd_client_gone()" : offence->line);
    if (offence->healed)
        assert_line(scene.rpd, offence->healed);
    /* The loop, a worker, a new client, the lock and the control socket all still work. */
    assert_text(ask(fd, "alive"), "alive", scene.rpd);
    assert_text(ask(fd, "job none"), "did none", scene.rpd);
    assert_text(ask_once(scene.endpoint, "alive"), "alive", scene.rpd);
    struct process *second = RPD_START(textf("%s/run", scene.dir), test_plugin("faulty"), "-l",
                                       scene.endpoint, "-n", "kv");
    assert_ends(second, 75);
    assert_stops(scene.rpd);
    const char *text = process_stderr(scene.rpd);
    cr_assert_eq(lines_with(text, is_foreign ? "called rpd_conn_write() on the thread of a worker; "
                                               "refused"
                                             : offence->line),
                 1, "%s", text);
    cr_assert(!strstr(text, "test: it was not refused"), "%s", text);
    close(fd);
}

/* ---- offences after which it cannot continue ---- */

static const char *const fatal[][2] = {
    {"now close:[eventpoll]", "rpd: loop: event loop: "},
    {"now close:tcp", "rpd: loop: kv: a listener was closed, and cannot be made again"},
};

ParameterizedTestParameters(offence, ends)
{
    static size_t at[] = {0, 1};

    return cr_make_param_array(size_t, at, 2);
}

ParameterizedTest(size_t *at, offence, ends)
{
    const char *dir = temp_dir_make();
    const char *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = RPD_START(textf("%s/run", dir), test_plugin("faulty"), "-l", endpoint,
                                    "-l", "tcp:127.0.0.1:0", "-n", "kv");

    assert_bound(rpd);
    assert_line(rpd, "kv: ready (");
    const int fd = connect_to(endpoint);
    cr_assert_eq(send_all(fd, textf("%s\n", fatal[*at][0]), strlen(fatal[*at][0]) + 1), 0);
    close(fd);
    assert_ends(rpd, 70);
    const char *text = process_stderr(rpd);
    cr_assert_eq(lines_with(text, fatal[*at][1]), 1, "%s", text);
    cr_assert_geq(lines_with(text, "faulty.so: its on_"), 1, "%s", text);
    cr_expect_str_eq(listing(dir), textf("%s/run/\n", dir), "left:\n%s", listing(dir));
}

/* ---- legal acts ---- */

Test(offence, what_is_legal_is_not_named)
{
    const struct scene scene = start();
    const int fd = connect_to(scene.endpoint);

    cr_assert_geq(fd, 0);
    assert_text(ask(fd, "now nothing"), "did nothing", scene.rpd);
    const int before = count_fds(process_pid(scene.rpd));

    for (int64_t began = now_ns(); now_ns() - began < 2500000000;) {
        assert_text(ask(fd, "now nothing"), "did nothing", scene.rpd);
        assert_text(ask(fd, "job nothing"), "did nothing", scene.rpd);
        assert_text(ask(fd, "done nothing"), "did nothing", scene.rpd);
    }
    cr_assert_eq(count_fds(process_pid(scene.rpd)), before);
    assert_stops(scene.rpd);
    const char *text = process_stderr(scene.rpd);
    cr_assert_eq(lines_with(text, "warning"), 0, "%s", text);
    close(fd);
}
