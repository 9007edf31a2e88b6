/* Services of other users: which users may look at them, connect to them and end them. Each test
 * has a mount namespace with its own /run, as on a booted system. */
#include "rpdctl_run.h"

#include "other_user.h"

#include <rpd/client.h>
#include <sched.h>
#include <sys/mount.h>

/* A system service: its directory belongs to its user, root has made it, and its socket is for a
 * group. */
static const char SYSTEM_RUN[] = "/run/rpd-cache";

struct place {
    const char *dir, *rpd, *rpdctl, *plugin, *config; /* every user can reach it */
};

static struct place make_place(void)
{
    struct place place = {.dir = temp_dir_make()};

    place.rpd = textf("%s/rpd", place.dir);
    place.rpdctl = textf("%s/rpdctl", place.dir);
    place.plugin = textf("%s/echo.so", place.dir);
    place.config = textf("%s/rpd.json", place.dir);
    copy_file(build_path("rpd"), place.rpd, 0755);
    copy_file(build_path("rpdctl"), place.rpdctl, 0755);
    copy_file(build_path("plugins/echo.so"), place.plugin, 0755);
    write_text(place.config, textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\",\"listen\":"
                                   "[{\"endpoint\":\"unix:demo.sock\",\"mode\":\"0660\"}]}]}",
                                   place.plugin));
    cr_assert_eq(chmod(place.config, 0644), 0);
    cr_assert_eq(chmod(place.dir, 0755), 0);
    return place;
}

static void make_directory(const char *path, uid_t owner, mode_t mode)
{
    cr_assert_eq(mkdir(path, 0755), 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(chown(path, owner, owner), 0);
    cr_assert_eq(chmod(path, mode), 0);
}

static void enter_run_of_its_own(void)
{
    if (geteuid() != 0)
        cr_skip_test("only root can be another user");
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/run", "tmpfs", 0, "mode=0755") != 0)
        cr_skip_test("no mount namespace can be had here");
    make_directory("/run/user", 0, 0755);
    make_directory("/run/user/23456", THIRD_USER, 0700);
}

TestSuite(other_users, .init = enter_run_of_its_own);

/* Runs a program as a user, in one group and, perhaps, one more. */
static struct process *start_as(uid_t user, gid_t group, const char *run, bool notify,
                                const char *const *words)
{
    const char *argv[20] = {"setpriv", textf("--reuid=%d", (int)user),
                            textf("--regid=%d", (int)group), "--clear-groups", "--pdeathsig=KILL"};
    size_t count = 5;

    if (group == OTHER_GROUP)
        argv[3] = textf("--groups=%d", OTHER_GROUP);
    while (*words)
        argv[count++] = *words++;
    return process_start(
        &(struct process_options){.argv = argv, .runtime_dir = run, .notify = notify});
}

static struct process *start_system_service(const struct place *place)
{
    make_directory(SYSTEM_RUN, OTHER_USER, 0755);
    struct process *rpd = start_as(OTHER_USER, OTHER_GROUP, SYSTEM_RUN, true,
                                   ARGS(place->rpd, "-c", place->config));
    assert_line(rpd, ": ready (");
    return rpd;
}

#define RPDCTL_AS(user, run, ...)                                                                  \
    outcome_of(start_as((user), (user), (run), false, ARGS(__VA_ARGS__)))

static void assert_dies(struct process *rpd)
{
    process_signal(rpd, SIGKILL);
    cr_assert_neq(process_wait_exit(rpd), -1);
}

/* ---- looking ------------------------------------------------------------------------------ */

Test(other_users, root_sees_a_system_service)
{
    const struct place place = make_place();
    struct process *rpd = start_system_service(&place);
    const struct outcome status = RPDCTL("-d", SYSTEM_RUN, "status", "demo");
    const struct outcome variable = RPDCTL_ON(SYSTEM_RUN, "status", "demo");

    assert_code(status, 0);
    assert_has(status.out, "alive");
    assert_has(status.out, "unix:/run/rpd-cache/demo.sock");
    assert_has_not(status.out, "elsewhere");
    assert_code(variable, 0);
    assert_code(RPDCTL("-d", SYSTEM_RUN, "wait", "demo", "--ready", "--timeout", "10"), 0);
    assert_dies(rpd);
    assert_code(RPDCTL("-d", SYSTEM_RUN, "status", "demo"), 1);
    process_free(rpd);
    temp_dir_remove(place.dir);
}

/* A user that may not open the lock finds in /proc/locks whether it is held. */
Test(other_users, every_user_sees_a_system_service)
{
    const struct place place = make_place();
    struct process *rpd = start_system_service(&place);
    const struct outcome alive = RPDCTL_AS(THIRD_USER, SYSTEM_RUN, place.rpdctl, "status", "demo");
    const struct outcome stop = RPDCTL_AS(THIRD_USER, SYSTEM_RUN, place.rpdctl, "stop", "demo",
                                          "--timeout", "2");

    assert_code(alive, 0);
    assert_has(alive.out, "alive");
    assert_code(stop, 1);
    assert_has(stop.err, "Operation not permitted");
    cr_assert(process_alive(rpd));
    assert_dies(rpd);
    const struct outcome dead = RPDCTL_AS(THIRD_USER, SYSTEM_RUN, place.rpdctl, "status", "demo");
    assert_code(dead, 1);
    assert_has(dead.out, "dead");
    process_free(rpd);
    temp_dir_remove(place.dir);
}

/* A directory that any user could have made, in /tmp, is not believed by others. */
Test(other_users, a_directory_in_a_place_where_everybody_can_make_one)
{
    const struct place place = make_place();
    const char *run = textf("%s/run", place.dir);

    make_directory(run, OTHER_USER, 0755);
    struct process *rpd = start_as(OTHER_USER, OTHER_USER, run, true,
                                   ARGS(place.rpd, place.plugin, "-n", "demo"));
    assert_bound(rpd);
    const struct outcome refused = RPDCTL_AS(THIRD_USER, run, place.rpdctl, "status", "demo");
    assert_code(refused, 1);
    assert_has(refused.err, "belongs to user 12345");
    assert_code(RPDCTL_ON(run, "status", "demo"), 0); /* root trusts every user's directory */
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(place.dir);
}

/* ---- connecting ---------------------------------------------------------------------------- */

/* In a child that is a user, and a member of that group: 0, or the code of rpd_connect(). */
static int connect_as(uid_t user, gid_t more)
{
    int status;
    const pid_t pid = fork();

    if (pid == 0) {
        struct rpd_client_error error = {0};

        become_member(user, user, more);
        setenv("RPD_RUNTIME_DIR", SYSTEM_RUN, 1);
        const int fd = rpd_connect(NULL, "demo", 10000, &error);
        const char *answer = fd >= 0 ? ask(fd, "hello") : NULL;
        _exit(answer && strcmp(answer, "hello") == 0 ? 0 : error.code);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

Test(other_users, a_member_of_the_sockets_group_connects)
{
    const struct place place = make_place();
    struct process *rpd = start_system_service(&place);

    cr_expect_eq(connect_as(THIRD_USER, OTHER_GROUP), 0);
    cr_expect_eq(connect_as(THIRD_USER, 0), 71, "its mode lets a stranger in");
    assert_stops(rpd);
    cr_expect_eq(connect_as(THIRD_USER, OTHER_GROUP), RPD_CLIENT_NOT_RUNNING);
    process_free(rpd);
    temp_dir_remove(place.dir);
}

/* ---- starting and ending -------------------------------------------------------------------- */

Test(other_users, root_ends_a_users_service)
{
    const struct place place = make_place();
    struct process *rpd = start_system_service(&place);
    const struct outcome stop = RPDCTL("-d", SYSTEM_RUN, "stop", "demo");

    assert_code(stop, 0);
    assert_has(stop.out, "stopped");
    assert_ends(rpd, 0);
    process_free(rpd);
    temp_dir_remove(place.dir);
}

Test(other_users, ensure_finds_a_users_service_and_starts_none)
{
    const struct place place = make_place();
    struct process *rpd = start_system_service(&place);
    const struct outcome found = RPDCTL("-d", SYSTEM_RUN, "ensure", place.config);
    const struct outcome restart = RPDCTL("-d", SYSTEM_RUN, "restart", "demo");

    assert_code(found, 0);
    assert_has(found.out, "unix:/run/rpd-cache/demo.sock");
    assert_code(restart, 77);
    assert_has(restart.err, "belongs to user 12345; start services there as that user");
    cr_assert(process_alive(rpd));
    assert_stops(rpd);
    const struct outcome refused = RPDCTL("-d", SYSTEM_RUN, "ensure", place.config);
    assert_code(refused, 77);
    assert_has(refused.err, "belongs to user 12345");
    cr_assert_neq(access("/run/rpd-cache/demo.ensure.lock", F_OK), 0);
    assert_code(RPDCTL_ON(SYSTEM_RUN, "status", "demo"), 1);
    const struct outcome third = RPDCTL_AS(THIRD_USER, SYSTEM_RUN, place.rpdctl, "ensure",
                                           place.config);
    assert_code(third, 77);
    process_free(rpd);
    temp_dir_remove(place.dir);
}

/* ---- all of them ---------------------------------------------------------------------------- */

Test(other_users, status_of_all_users)
{
    const struct place place = make_place();
    struct process *system = start_system_service(&place);
    const char *third_run = "/run/user/23456/rpd";
    make_directory("/run/rpd-open", OTHER_USER, 01777);
    make_directory(third_run, THIRD_USER, 0700);
    write_text("/run/rpd-other.sock", "");
    struct process *third = start_as(THIRD_USER, THIRD_USER, third_run, true,
                                     ARGS(place.rpd, place.plugin, "-n", "third"));
    assert_bound(third);
    const struct outcome all = RPDCTL("status", "--all-users");
    const struct outcome json = RPDCTL("status", "--all-users", "--json");
    const struct outcome other = RPDCTL_AS(OTHER_USER, NULL, place.rpdctl, "status", "--all-users");

    assert_code(all, 0);
    assert_has(all.out, "/run/rpd-cache:\ndemo");
    assert_has(all.out, "/run/user/23456/rpd:\nthird");
    assert_has(all.err, "chmod go-w '/run/rpd-open'");
    assert_has_not(all.err, "rpd-other.sock");
    assert_code(json, 0);
    assert_has(json.out, "\"runtime_dir\": \"/run/rpd-cache\"");
    assert_has(json.out, "\"runtime_dir\": \"/run/user/23456/rpd\"");
    assert_code(other, 0);
    assert_has(other.out, "demo");
    assert_has_not(other.out, "third");
    assert_stops(third);
    assert_stops(system);
    process_free(third);
    process_free(system);
    assert_code(RPDCTL("status", "--all-users", "demo"), 64);
    temp_dir_remove(place.dir);
}

/* A user without a session has a directory under /tmp, where other users can make a similar one. */
Test(other_users, status_of_users_without_a_session)
{
    cr_assert_eq(setenv("TMPDIR", "/var/tmp", 1), 0);
    cr_assert_eq(mount("none", "/tmp", "tmpfs", 0, "mode=1777"), 0);
    const struct place place = make_place();
    const char *third_run = textf("/tmp/rpd-%d", THIRD_USER), *forged_run = "/tmp/rpd-777";

    make_directory(third_run, THIRD_USER, 0700);
    make_directory(forged_run, OTHER_USER, 0755);
    struct process *third = start_as(THIRD_USER, THIRD_USER, third_run, true,
                                     ARGS(place.rpd, place.plugin, "-n", "third"));
    struct process *forged = start_as(OTHER_USER, OTHER_USER, forged_run, true,
                                      ARGS(place.rpd, place.plugin, "-n", "forged"));
    assert_bound(third);
    assert_bound(forged);
    const struct outcome all = RPDCTL("status", "--all-users");
    const struct outcome own = RPDCTL_AS(THIRD_USER, "/run/none", place.rpdctl, "status",
                                         "--all-users");
    const struct outcome other = RPDCTL_AS(OTHER_USER, NULL, place.rpdctl, "status", "--all-users");

    assert_has(all.out, textf("%s:\nthird", third_run));
    assert_has_not(all.out, "forged");
    assert_has(own.out, "third");
    assert_has_not(other.out, "third");
    cr_assert_str_empty(other.err);
    assert_stops(forged);
    assert_stops(third);
    process_free(forged);
    process_free(third);
    temp_dir_remove(place.dir);
}

/* A directory that we may not open is not reported as one with a wrong mode: it is not ours. */
Test(other_users, a_directory_that_is_closed_to_us)
{
    const struct place place = make_place();
    const char *run = textf("%s/run", place.dir), *link = textf("%s/link", place.dir);

    make_directory(run, OTHER_USER, 0700);
    cr_assert_eq(symlink(run, link), 0);
    const struct outcome ensure = RPDCTL_AS(THIRD_USER, run, place.rpdctl, "ensure", place.config);
    const struct outcome linked = RPDCTL_AS(OTHER_USER, link, place.rpdctl, "ensure", place.config);
    assert_code(ensure, 77);
    assert_has(ensure.err, "belongs to user 12345; set RPD_RUNTIME_DIR to one of your own");
    assert_code(linked, 73);
    assert_has(linked.err, "is a symbolic link; set RPD_RUNTIME_DIR to the directory itself");
    temp_dir_remove(place.dir);
}

/* ---- rpdctl -d ------------------------------------------------------------------------------ */

Test(other_users, the_directory_of_one_command)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));

    assert_code(RPDCTL("-d", run, "status", "demo"), 0);
    assert_code(run_in(dir, ARGS("rpdctl", "-d", "run", "status", "demo"), NULL), 0);
    assert_code(RPDCTL("-d", textf("%s/none", dir), "status", "demo"), 1);
    assert_code(RPDCTL("-d"), 64);
    assert_code(RPDCTL("-d", "", "status"), 64);
    assert_code(RPDCTL("-d", run), 64);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}
