/* How rpdctl treats a service from another pid, time, mount, ipc or user namespace, with another
 * boot id, and without /proc: the service is alive as long as its lock is held, nothing is written
 * in its name, and an action that is impossible from here names the place where it is possible.
 * tests/README.md has the table. */
#include "rpdctl_run.h"

#include "environments.h"
#include "other_user.h"

#include <sched.h>
#include <sys/mount.h>

#define ELSEWHERE "alive, elsewhere"

/* ---- scenes ------------------------------------------------------------------------------- */

struct scene {
    const char *dir, *run, *history;
    const char *env[3];
    struct process *rpd;
};

static void need_root(void)
{
    if (geteuid() != 0)
        cr_skip_test("only root can make all of these namespaces");
}

TestSuite(namespaces, .init = need_root);

#define NEEDS(...)                                                                                 \
    do {                                                                                           \
        if (!can_run(ARGS(__VA_ARGS__, "true")))                                                   \
            cr_skip_test("this machine has no such namespace");                                    \
    } while (0)

/* READY: from here on the page does not change. */
static struct scene start_scene(const char *const *prefix)
{
    struct scene scene = {.dir = temp_dir_make()};
    const char *argv[24];
    size_t count = 0;

    scene.run = make_run(scene.dir);
    scene.history = textf("%s/demo.history", scene.run);
    while (*prefix)
        argv[count++] = *prefix++;
    for (const char *const *word =
             ARGS(build_path("rpd"), build_path("plugins/echo.so"), "-n", "demo");
         *word; word++)
        argv[count++] = *word;
    argv[count] = NULL;
    scene.env[0] = textf("BOOT_ID=%s/boot_id", scene.dir);
    scene.rpd = process_start(&(struct process_options){
        .argv = argv, .runtime_dir = scene.run, .env = scene.env, .notify = true});
    assert_line(scene.rpd, ": ready (");
    return scene;
}

#define START_IN(...) start_scene(ARGS(__VA_ARGS__))
#define START_HERE() start_scene(ARGS(NULL))

static void end_scene(struct scene *scene)
{
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

/* rpdctl in an environment, with its own arguments. */
static struct outcome rpdctl_in(const struct scene *scene, const char *const *prefix,
                                const char *const *words)
{
    const char *argv[32];
    size_t count = 0;

    while (*prefix)
        argv[count++] = *prefix++;
    argv[count++] = build_path("rpdctl");
    while (*words)
        argv[count++] = *words++;
    argv[count] = NULL;
    return outcome_of(process_start(
        &(struct process_options){.argv = argv, .runtime_dir = scene->run, .env = scene->env}));
}

#define HERE ARGS(NULL)
#define IN(...) ARGS(__VA_ARGS__)

static const char *endpoint_of(const struct scene *scene)
{
    return textf("unix:%s/demo.sock", scene->run);
}

static void assert_serves(const struct scene *scene)
{
    const char *answer = ask_once(endpoint_of(scene), "hello");

    cr_assert(answer && strcmp(answer, "hello") == 0, "%s", process_stderr(scene->rpd));
}

/* Without how long the start took, which comes a moment after READY. */
static const char *history_of(const struct scene *scene)
{
    const char *text = file_read(scene->history), *result = "";

    for (const char *line = text; line && *line; line += strcspn(line, "\n") + 1)
        if (!memmem(line, strcspn(line, "\n"), " timed 0 ", 9))
            result = textf("%s%.*s\n", result, (int)strcspn(line, "\n"), line);
    return result;
}

/* Every command of one who cannot look at the process. */
static void assert_elsewhere(const struct scene *scene, const char *const *place, const char *why)
{
    const char *history = history_of(scene);
    const struct outcome status = rpdctl_in(scene, place, ARGS("status", "demo"));
    const struct outcome table = rpdctl_in(scene, place, ARGS("status"));
    const struct outcome json = rpdctl_in(scene, place, ARGS("status", "--json"));
    const struct outcome ensure = rpdctl_in(
        scene, place, ARGS("ensure", build_path("plugins/echo.so"), "-n", "demo"));
    const struct outcome ready = rpdctl_in(scene, place,
                                           ARGS("wait", "demo", "--ready", "--timeout", "20"));
    const struct outcome stopped = rpdctl_in(scene, place,
                                             ARGS("wait", "demo", "--stopped", "--timeout", "0.3"));
    const struct outcome stop = rpdctl_in(scene, place,
                                          ARGS("stop", "demo", "--force", "--timeout", "1"));

    assert_code(status, 0);
    assert_has(status.out, "state:     " ELSEWHERE "\n");
    assert_has(status.out, why);
    assert_has(status.out, "phase ready");
    assert_has_not(status.out, "stalled");
    assert_code(table, 0);
    assert_has(table.out, ELSEWHERE);
    assert_has(json.out, "\"state\": \"" ELSEWHERE "\"");
    assert_has(json.out, why);
    assert_code(ensure, 0);
    cr_assert_str_eq(ensure.out, textf("%s\n", endpoint_of(scene)));
    assert_code(ready, 0);
    assert_has(ready.out, "demo: ready, pid ");
    assert_code(stopped, 1);
    assert_has(stopped.err, "it is " ELSEWHERE);
    assert_code(stop, 1);
    assert_has(stop.err, "nothing was ended");
    assert_has(stop.err, "stop it from there");
    cr_assert_str_eq(history_of(scene), history, "an observer wrote to it");
    assert_serves(scene);
}

/* ---- pid namespaces ------------------------------------------------------------------------- */

/* Runs the command that stop advises: "kill PID". */
static void do_as_told(const char *said)
{
    const char *command = strstr(said, "kill ");

    cr_assert_not_null(command, "%s", said);
    assert_code(
        outcome_of(process_start(&(struct process_options){
            .argv = ARGS("sh", "-c", textf("%.*s", (int)strcspn(command, "\n"), command))})),
        0);
}

Test(namespaces, a_daemon_in_another_pid_namespace)
{
    NEEDS(PID_NAMESPACE);
    struct scene scene = START_IN(PID_NAMESPACE);

    assert_elsewhere(&scene, HERE, "another pid namespace");
    assert_has(rpdctl_in(&scene, HERE, ARGS("status", "demo")).out, "its loop turned 0.");
    const struct outcome stop = RPDCTL_ON(scene.run, "stop", "demo");
    struct process *waiter = RPDCTL_START(scene.run, "wait", "demo", "--stopped", "--timeout",
                                          "20");
    assert_waits(waiter);
    do_as_told(stop.err);
    assert_code(outcome_of(waiter), 0);
    assert_ends(scene.rpd, 0);
    assert_has(RPDCTL_ON(scene.run, "status", "demo").out, "state:     dead");
    assert_code(RPDCTL_ON(scene.run, "stop", "demo"), 0);
    assert_empty(scene.run);
    end_scene(&scene);
}

/* The daemon's end is visible to every observer: the lock is free. */
Test(namespaces, a_daemon_that_dies_in_another_pid_namespace)
{
    NEEDS(PID_NAMESPACE);
    struct scene scene = START_IN(PID_NAMESPACE);
    struct process *waiter = RPDCTL_START(scene.run, "wait", "demo", "--stopped");

    assert_waits(waiter);
    process_signal(scene.rpd, SIGKILL);
    assert_code(outcome_of(waiter), 0);
    const struct outcome status = RPDCTL_ON(scene.run, "status", "demo");
    assert_code(status, 1);
    assert_has(status.out, "state:     dead");
    /* The next daemon is started, and only now the end is recorded. */
    const struct outcome ensure = RPDCTL_ON(scene.run, "ensure", build_path("plugins/echo.so"),
                                            "-n", "demo");
    assert_code(ensure, 0);
    assert_has(history_of(&scene), "gone without a word");
    assert_code(RPDCTL_ON(scene.run, "stop", "demo"), 0);
    end_scene(&scene);
}

Test(namespaces, an_observer_in_another_pid_namespace)
{
    NEEDS(PID_NAMESPACE);
    struct scene scene = START_HERE();

    assert_elsewhere(&scene, IN(PID_NAMESPACE), "another pid namespace");
    assert_has_not(rpdctl_in(&scene, HERE, ARGS("status", "demo")).out, "elsewhere");
    assert_stops(scene.rpd);
    assert_has(rpdctl_in(&scene, IN(PID_NAMESPACE), ARGS("status", "demo")).out, "dead");
    end_scene(&scene);
}

/* The observer is in that namespace, but its /proc shows the processes outside, under other
 * pids. */
Test(namespaces, an_observer_whose_proc_is_another_namespaces)
{
    NEEDS(UNSHARE, "--pid");
    struct scene scene = START_HERE();

    assert_elsewhere(&scene, IN(UNSHARE, "--pid"), "without its /proc");
    assert_stops(scene.rpd);
    end_scene(&scene);
}

/* The page belongs to a daemon that was killed there; the process that now has the lock is about to
 * start. */
Test(namespaces, a_start_removes_what_a_dead_one_left_elsewhere)
{
    NEEDS(PID_NAMESPACE);
    struct scene scene = START_IN(PID_NAMESPACE);

    process_signal(scene.rpd, SIGKILL);
    cr_assert_neq(process_wait_exit(scene.rpd), -1);
    cr_assert_eq(RPDCTL_ON(scene.run, "wait", "demo", "--stopped").code, 0);
    cr_assert_eq(access(textf("%s/demo.state", scene.run), F_OK), 0);
    /* A start that claims the name, and then fails. */
    assert_code(outcome_of(process_start(&(struct process_options){
                    .argv = ARGS("rpd", test_plugin("undefined_symbol"), "-n", "demo"),
                    .runtime_dir = scene.run})),
                65);
    cr_assert_neq(access(textf("%s/demo.json", scene.run), F_OK), 0);
    cr_assert_neq(access(textf("%s/demo.state", scene.run), F_OK), 0);
    end_scene(&scene);
}

/* ---- time, boot id, /proc ------------------------------------------------------------------- */

Test(namespaces, an_observer_in_another_time_namespace)
{
    NEEDS(TIME_NAMESPACE);
    struct scene scene = START_HERE();

    assert_elsewhere(&scene, IN(TIME_NAMESPACE), "another time namespace");
    assert_stops(scene.rpd);
    end_scene(&scene);
}

Test(namespaces, a_daemon_in_another_time_namespace)
{
    NEEDS(TIME_NAMESPACE);
    struct scene scene = START_IN(TIME_NAMESPACE);

    assert_elsewhere(&scene, HERE, "another time namespace");
    assert_has_not(rpdctl_in(&scene, HERE, ARGS("status", "demo")).out, "turned");
    assert_code(rpdctl_in(&scene, HERE, ARGS("wait", "demo", "--bound")), 0);
    end_scene(&scene);
}

Test(namespaces, an_observer_with_another_boot_id)
{
    NEEDS(MOUNT_NAMESPACE);
    struct scene scene = START_HERE();

    assert_elsewhere(&scene, IN(OTHER_BOOT_ID), "another boot id");
    assert_stops(scene.rpd);
    end_scene(&scene);
}

Test(namespaces, an_observer_without_proc)
{
    NEEDS(WITHOUT_PROC);
    if (is_sanitized())
        cr_skip_test("a sanitizer's runtime needs /proc");
    struct scene scene = START_HERE();
    const char *history = history_of(&scene);
    const struct outcome status = rpdctl_in(&scene, IN(WITHOUT_PROC), ARGS("status", "demo"));
    const struct outcome wait = rpdctl_in(&scene, IN(WITHOUT_PROC),
                                          ARGS("wait", "demo", "--ready", "--timeout", "20"));
    const struct outcome stop = rpdctl_in(&scene, IN(WITHOUT_PROC),
                                          ARGS("stop", "demo", "--timeout", "1"));

    assert_code(status, 0);
    assert_has(status.out, "state:     " ELSEWHERE);
    assert_has(status.out, "/proc");
    assert_code(wait, 0);
    assert_code(stop, 1);
    assert_has(stop.err, "nothing was ended");
    cr_assert_str_eq(history_of(&scene), history);
    assert_serves(&scene);
    assert_stops(scene.rpd);
    assert_has(rpdctl_in(&scene, IN(WITHOUT_PROC), ARGS("status", "demo")).out, "state:     dead");
    end_scene(&scene);
}

Test(namespaces, a_daemon_without_proc_says_so)
{
    NEEDS(WITHOUT_PROC);
    if (is_sanitized())
        cr_skip_test("a sanitizer's runtime needs /proc");
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct outcome rpd = outcome_of(process_start(&(struct process_options){
        .argv = ARGS(WITHOUT_PROC, build_path("rpd"), build_path("plugins/echo.so")),
        .runtime_dir = run}));

    assert_code(rpd, 73);
    assert_has(rpd.err, "rpd: claim: /proc: ");
    cr_assert_eq(lines_with(rpd.err, ""), 1, "%s", rpd.err);
    assert_empty(run);
    temp_dir_remove(dir);
}

/* Other users' processes are hidden there: that a process is invisible does not prove its end. */
Test(namespaces, an_observer_from_whom_other_users_are_hidden)
{
    const char *const prefix[] = {MOUNT_NAMESPACE,
                                  AFTER("mount -t proc -o hidepid=invisible proc "
                                        "/proc"),
                                  "setpriv",
                                  "--reuid=12345",
                                  "--regid=12345",
                                  "--clear-groups",
                                  NULL};

    NEEDS(MOUNT_NAMESPACE, AFTER("mount -t proc -o hidepid=invisible proc /proc"));
    if (!others_reach_the_build())
        cr_skip_test("other users cannot run this build");
    struct scene scene = START_HERE();
    cr_assert_eq(chmod(scene.dir, 0755), 0);
    cr_assert_eq(chmod(scene.run, 0755), 0);
    struct outcome status = rpdctl_in(&scene, prefix, ARGS("status", "demo"));
    assert_code(status, 0);
    assert_has(status.out, "state:     alive\n");
    process_signal(scene.rpd, SIGKILL);
    cr_assert_neq(process_wait_exit(scene.rpd), -1);
    status = rpdctl_in(&scene, prefix, ARGS("status", "demo"));
    assert_code(status, 1);
    end_scene(&scene);
}

/* ---- environments that hide no process ------------------------------------------------------ */

static void assert_as_ever(const struct scene *scene, const char *const *place)
{
    struct outcome status = rpdctl_in(scene, place, ARGS("status", "demo"));

    assert_code(status, 0);
    assert_has(status.out, "state:     alive\n");
    assert_code(rpdctl_in(scene, place, ARGS("wait", "demo", "--ready", "--timeout", "20")), 0);
    status = rpdctl_in(scene, place, ARGS("stop", "demo"));
    assert_code(status, 0);
    assert_has(status.out, "demo: stopped");
    assert_has(rpdctl_in(scene, place, ARGS("status", "demo")).out, "state:     dead");
    assert_empty(scene->run);
}

Test(namespaces, mount_and_ipc_namespaces_hide_no_process)
{
    NEEDS(MOUNT_NAMESPACE, "--ipc");
    struct scene scene = START_IN(MOUNT_NAMESPACE, "--ipc");
    assert_as_ever(&scene, HERE);
    end_scene(&scene);
    scene = START_HERE();
    assert_as_ever(&scene, IN(MOUNT_NAMESPACE, "--ipc"));
    end_scene(&scene);
}

Test(namespaces, a_user_namespace_hides_no_process)
{
    NEEDS(USER_NAMESPACE);
    struct scene scene = START_IN(USER_NAMESPACE);
    assert_as_ever(&scene, HERE);
    end_scene(&scene);
    scene = START_HERE();
    assert_as_ever(&scene, IN(USER_NAMESPACE));
    end_scene(&scene);
}

/* ---- owners outside the id map -------------------------------------------------------------- */

/* A user in a user namespace that contains only this user: root is not in it. */
#define USER_ALONE                                                                                 \
    "setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "--pdeathsig=KILL", "unshare",  \
        "--user", "--map-current-user"

static const char *own_place(uid_t owner)
{
    const char *dir = temp_dir_make(), *rpd = textf("%s/rpd", dir);
    const char *plugin = textf("%s/echo.so", dir);

    copy_file(build_path("rpd"), rpd, 0755);
    copy_file(build_path("plugins/echo.so"), plugin, 0755);
    cr_assert_eq(chown(plugin, owner, owner), 0);
    cr_assert_eq(chown(dir, owner, owner), 0);
    cr_assert_eq(chmod(dir, 0755), 0);
    return dir;
}

static struct outcome check_alone(const char *rpd_dir, const char *plugin, const char *const *env)
{
    return outcome_of(process_start(&(struct process_options){
        .argv = ARGS(USER_ALONE, AFTER("true"), textf("%s/rpd", rpd_dir), "-t", plugin),
        .env = env}));
}

Test(namespaces, the_systems_directories_in_a_user_namespace_without_root)
{
    NEEDS(USER_ALONE);
    const char *own = own_place(OTHER_USER), *run = textf("%s/run", own);

    assert_code(check_alone(own, textf("%s/echo.so", own), NULL), 0);
    cr_assert_eq(mkdir(run, 0700), 0);
    cr_assert_eq(chown(run, OTHER_USER, OTHER_USER), 0);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS(USER_ALONE, textf("%s/rpd", own), textf("%s/echo.so", own)),
        .runtime_dir = run,
        .notify = true});
    assert_line(rpd, ": ready (");
    assert_has(RPDCTL_ON(run, "status", "echo").out, "state:     alive\n");
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(own);
}

/* Files that root has installed. */
Test(namespaces, the_systems_plugin_in_a_user_namespace_without_root)
{
    NEEDS(USER_ALONE);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/usr/local", "tmpfs", 0, "mode=0755") != 0)
        cr_skip_test("no mount namespace can be had here");
    const char *own = own_place(OTHER_USER);

    copy_file(build_path("plugins/echo.so"), "/usr/local/echo.so", 0755);
    assert_code(check_alone(own, "/usr/local/echo.so", NULL), 0);
    cr_assert_eq(chmod("/usr/local/echo.so", 0775), 0);
    assert_code(check_alone(own, "/usr/local/echo.so", NULL), 77);
    temp_dir_remove(own);
}

Test(namespaces, an_attackers_plugin_in_a_user_namespace_without_root)
{
    NEEDS(USER_ALONE);
    const char *own = own_place(OTHER_USER), *theirs = own_place(THIRD_USER);
    const char *plugin = textf("%s/echo.so", theirs);
    const struct outcome refused = check_alone(own, plugin, NULL);

    assert_code(refused, 77);
    assert_has(refused.err, "not in the id map of this user namespace");
    assert_has(refused.err, "RPD_TRUST_USER_NAMESPACE");
    /* The opt-out names the namespace. */
    assert_code(check_alone(own, plugin, ARGS("RPD_TRUST_USER_NAMESPACE=user:[1]")), 77);
    assert_code(outcome_of(process_start(&(struct process_options){
                    .argv = ARGS(USER_ALONE, "sh", "-c",
                                 "RPD_TRUST_USER_NAMESPACE=$(readlink /proc/self/ns/user) "
                                 "exec \"$@\"",
                                 "sh", textf("%s/rpd", own), "-t", plugin)})),
                0);
    /* Outside a namespace the owner is visible. */
    assert_code(
        outcome_of(process_start(&(struct process_options){.argv = ARGS("rpd", "-t", plugin)})),
        77);
    temp_dir_remove(own);
    temp_dir_remove(theirs);
}

/* If the user is not in the map either, every owner looks like the user. */
Test(namespaces, a_user_namespace_without_a_map)
{
    NEEDS("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "--user");
    const char *theirs = own_place(THIRD_USER), *own = own_place(OTHER_USER);
    const struct outcome refused = outcome_of(process_start(&(struct process_options){
        .argv = ARGS("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare",
                     "--user", textf("%s/rpd", own), "-t", textf("%s/echo.so", theirs))}));

    assert_code(refused, 77);
    assert_has(refused.err, "id map");
    temp_dir_remove(theirs);
    temp_dir_remove(own);
}
