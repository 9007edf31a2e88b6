/* Which files rpd and rpdctl trust: what another user has put into a run-time directory, or near a
 * configuration, is no service, leads nowhere and ends no process. Files of the user or of root
 * still work (the controls). */
#include "rpdctl_run.h"

#include "other_user.h"

#include <criterion/parameterized.h>
#include <rpd/client.h>

#define NEEDS_ROOT()                                                                               \
    do {                                                                                           \
        if (geteuid() != 0)                                                                        \
            cr_skip_test("only root can be another user");                                         \
    } while (0)

/* ---- a forged service ------------------------------------------------------------------ */

struct forgery {
    const char *run, *endpoint;
    pid_t victim; /* the process that its page names */
};

/* Everything that a living service shows: its lock is held, its page is updated, its record has a
 * socket. */
static void forge(const void *arg)
{
    const struct forgery *forgery = arg;
    struct rpd_state_page page = page_for(forgery->victim, RPD_PHASE_READY);

    hold_lock(forgery->run, "demo");
    listen_at(strchr(forgery->endpoint, '/'), SOCK_STREAM, 8);
    chmod(strchr(forgery->endpoint, '/'), 0777);
    page.turned_us += 3600u * 1000000u; /* so that it is not stalled */
    put_page(forgery->run, "demo", &page);
    put_record(forgery->run, "demo", forgery->victim,
               textf(",\"endpoints\":[\"%s\"]", forgery->endpoint));
    write_text(textf("%s/demo.history", forgery->run), "1700000000000 1 1 ended 0 forged\n");
    for (const char *const *name = ARGS("demo.state", "demo.json", "demo.history"); *name; name++)
        chmod(textf("%s/%s", forgery->run, *name), 0644);
}

struct scene {
    const char *dir, *run;
    struct process *victim; /* in root's directory */
    struct forgery forgery;
    pid_t attacker;
};

static struct scene open_scene(uid_t owner, mode_t mode)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = make_run(scene.dir);
    cr_assert_eq(chmod(scene.dir, 0755), 0);
    cr_assert_eq(chown(scene.run, owner, OTHER_GROUP), 0);
    cr_assert_eq(chmod(scene.run, mode), 0);
    scene.victim = process_start(&(struct process_options){.argv = ARGS("sleep", "600")});
    scene.forgery = (struct forgery){.run = scene.run,
                                     .endpoint = textf("unix:%s/forged.sock", scene.run),
                                     .victim = process_pid(scene.victim)};
    return scene;
}

static void forge_as(struct scene *scene, gid_t group)
{
    if (group != OTHER_USER)
        cr_assert_eq(chown(scene->run, 0, OTHER_USER), 0); /* the user's own group */
    scene->attacker = stay_as_user(OTHER_USER, forge, &scene->forgery);
}

static void close_scene(struct scene *scene)
{
    end_user_process(scene->attacker);
    process_free(scene->victim);
    temp_dir_remove(scene->dir);
}

static void assert_nothing_ended(struct scene *scene)
{
    cr_assert(process_alive(scene->victim), "a process of the attacker's choice was ended");
}

/* The error of every command about a directory that other users can write to. */
static void assert_refused(struct scene *scene, const char *chmod_text)
{
    struct outcome ensure = RPDCTL_ON(scene->run, "ensure", test_plugin("../../samples/hello"),
                                      "-n", "demo");
    struct outcome stop = RPDCTL_ON(scene->run, "stop", "demo", "--timeout", "2");
    struct outcome status = RPDCTL_ON(scene->run, "status", "demo");
    struct rpd_client_error error;

    assert_code(ensure, 77);
    assert_has(ensure.err, chmod_text);
    assert_has_not(ensure.out, "forged.sock");
    assert_code(stop, 1);
    assert_has(stop.err, chmod_text);
    assert_nothing_ended(scene);
    assert_code(status, 1);
    assert_has(status.err, chmod_text);
    assert_has_not(status.out, "forged.sock");
    setenv("RPD_RUNTIME_DIR", scene->run, 1);
    cr_assert_eq(rpd_connect(NULL, "demo", 1000, &error), -1);
    cr_assert_eq(error.code, 77, "%d %s", error.code, error.text);
    assert_has(error.text, chmod_text);
}

struct open_directory {
    mode_t mode;
    gid_t group;
};

static const struct open_directory open_directories[] = {
    {01777, OTHER_USER}, {0777, OTHER_USER}, {0770, 0}, {03775, 0}};

ParameterizedTestParameters(trust, a_forged_service_in_a_directory_that_others_can_write)
{
    static size_t at[] = {0, 1, 2, 3};

    return cr_make_param_array(size_t, at, sizeof at / sizeof *at);
}

ParameterizedTest(size_t *at, trust, a_forged_service_in_a_directory_that_others_can_write)
{
    const struct open_directory *open = &open_directories[*at];

    NEEDS_ROOT();
    struct scene scene = open_scene(0, open->mode);
    forge_as(&scene, open->group);
    assert_refused(&scene, textf("chmod go-w '%s'", scene.run));
    close_scene(&scene);
}

/* The directory was corrected, but the attacker's files still lie in it. */
Test(trust, what_an_attacker_has_left_is_not_believed)
{
    NEEDS_ROOT();
    struct scene scene = open_scene(0, 01777);
    forge_as(&scene, OTHER_USER);
    cr_assert_eq(chmod(scene.run, 0755), 0);
    struct outcome status = RPDCTL_ON(scene.run, "status", "demo");
    struct outcome stop = RPDCTL_ON(scene.run, "stop", "demo", "--timeout", "2");
    struct outcome ensure = RPDCTL_ON(scene.run, "ensure", test_plugin("../../samples/hello"), "-n",
                                      "demo");

    assert_code(status, 1);
    assert_has(status.out, "dead");
    assert_has_not(status.out, "forged");
    assert_code(stop, 0);
    assert_has(stop.out, "not running");
    assert_nothing_ended(&scene);
    /* The attacker still holds the lock: its name is not free. */
    assert_code(ensure, 77);
    assert_has(ensure.err, "demo.lock");
    assert_has_not(ensure.out, "forged.sock");
    close_scene(&scene);
}

/* Root trusts every user's directory, and signals only processes of the directory's owner. */
Test(trust, the_page_of_a_user_names_a_process_of_root)
{
    NEEDS_ROOT();
    struct scene scene = open_scene(OTHER_USER, 0755);
    forge_as(&scene, OTHER_USER);
    struct outcome stop = RPDCTL_ON(scene.run, "stop", "demo", "--timeout", "2", "--force");

    assert_code(stop, 1);
    assert_has(stop.err, "is not of the user that its lock belongs to");
    assert_nothing_ended(&scene);
    close_scene(&scene);
}

/* ---- files that rpd writes ----------------------------------------------------------------- */

/* A history that an attacker has left is not written to: it would remain the attacker's file. */
Test(trust, a_history_that_an_attacker_has_left_is_replaced)
{
    NEEDS_ROOT();
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const char *history = textf("%s/demo.history", run);
    struct stat status;

    write_text(history, "1700000000000 1 1 ended 0 forged\n");
    cr_assert_eq(chown(history, OTHER_USER, OTHER_USER), 0);
    struct process *rpd = START_DEMO(run, build_path("plugins/echo.so"));
    assert_stops(rpd);
    process_free(rpd);
    cr_assert_eq(stat(history, &status), 0);
    cr_assert_eq(status.st_uid, 0);
    assert_has_not(file_read(history), "forged");
    temp_dir_remove(dir);
}

/* ---- configurations ------------------------------------------------------------------------ */

/* $dir/open is a directory that every user can write to; $dir/own is not. */
static const char *make_config_dirs(void)
{
    const char *dir = temp_dir_make();

    cr_assert_eq(mkdir(textf("%s/own", dir), 0755), 0);
    cr_assert_eq(mkdir(textf("%s/open", dir), 0755), 0);
    cr_assert_eq(mkdir(textf("%s/open/below", dir), 0755), 0);
    return dir;
}

static void put_config(const char *path)
{
    write_text(path, textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\",\"listen\":"
                           "[\"unix:demo.sock\"]}]}",
                           build_path("plugins/echo.so")));
}

static struct outcome check_config(const char *dir, const char *path)
{
    return run_in(dir, ARGS("rpd", "-t", "-c", path), NULL);
}

Test(trust, a_configuration_below_a_directory_that_everybody_can_write)
{
    const char *dir = make_config_dirs();
    const char *config = textf("%s/open/below/rpd.json", dir);

    put_config(config);
    assert_code(check_config(dir, config), 0); /* the control */
    cr_assert_eq(chmod(textf("%s/open", dir), 0777), 0);
    const struct outcome refused = check_config(dir, config);
    assert_code(refused, 77);
    assert_has(refused.err, textf("chmod o-w '%s/open'", dir));
    assert_code(check_config(dir, "open/below/rpd.json"), 77);
    assert_code(check_config(textf("%s/open/below", dir), "rpd.json"), 77);
    assert_code(RPDCTL_ON(make_run(dir), "ensure", config), 77);
    temp_dir_remove(dir);
}

Test(trust, a_configuration_by_a_link)
{
    const char *dir = make_config_dirs();
    const char *config = textf("%s/own/rpd.json", dir);
    const char *file_link = textf("%s/open/link.json", dir), *dir_link = textf("%s/open/own", dir);
    const char *twice = textf("%s/own/twice.json", dir);

    put_config(config);
    cr_assert_eq(symlink("../own/rpd.json", file_link), 0);
    cr_assert_eq(symlink(textf("%s/own", dir), dir_link), 0);
    cr_assert_eq(symlink(file_link, twice), 0);
    assert_code(check_config(dir, file_link), 0); /* the controls */
    assert_code(check_config(dir, twice), 0);
    assert_code(check_config(dir, textf("%s/rpd.json", dir_link)), 0);
    cr_assert_eq(chmod(textf("%s/open", dir), 0777), 0);
    assert_code(check_config(dir, config), 0);
    assert_code(check_config(dir, file_link), 77);
    assert_code(check_config(dir, twice), 77);
    assert_code(check_config(dir, textf("%s/rpd.json", dir_link)), 77);
    temp_dir_remove(dir);
}

/* In a sticky directory no other user can replace our files, but any user can make a link. */
Test(trust, a_configuration_by_a_link_of_another_user)
{
    NEEDS_ROOT();
    const char *dir = make_config_dirs();
    const char *config = textf("%s/own/rpd.json", dir), *link = textf("%s/open/link.json", dir);

    put_config(config);
    cr_assert_eq(chmod(textf("%s/open", dir), 01777), 0);
    cr_assert_eq(symlink(config, link), 0);
    assert_code(check_config(dir, link), 0); /* the control */
    cr_assert_eq(lchown(link, OTHER_USER, OTHER_USER), 0);
    const struct outcome refused = check_config(dir, link);
    assert_code(refused, 77);
    assert_has(refused.err, "the symbolic link belongs to user 12345");
    temp_dir_remove(dir);
}

/* Likewise for a plugin: a user that can redirect the link chooses the code that runs. */
Test(trust, a_plugin_by_a_link_in_a_directory_that_everybody_can_write)
{
    const char *dir = make_config_dirs(), *run = make_run(dir);
    const char *plugin = textf("%s/own/echo.so", dir), *link = textf("%s/open/echo.so", dir);

    copy_file(build_path("plugins/echo.so"), plugin, 0755);
    cr_assert_eq(symlink(plugin, link), 0);
    assert_code(run_in(dir, ARGS("rpd", "-t", link), NULL), 0); /* the control */
    cr_assert_eq(chmod(textf("%s/open", dir), 0777), 0);
    const struct outcome refused = run_in(dir, ARGS("rpd", "-t", link), NULL);
    assert_code(refused, 77);
    assert_has(refused.err, textf("chmod o-w '%s/open'", dir));
    assert_empty(run);
    temp_dir_remove(dir);
}

Test(trust, a_path_without_an_end)
{
    const char *dir = make_config_dirs();

    cr_assert_eq(symlink("loop.json", textf("%s/own/loop.json", dir)), 0);
    assert_code(check_config(dir, "own/loop.json"), 66);
    assert_code(check_config(dir, "own/none.json"), 66);
    assert_code(check_config(dir, "own/none/none.json"), 66);
    put_config(textf("%s/own/rpd.json", dir));
    assert_code(check_config(dir, "own/rpd.json/more"), 66);
    assert_code(check_config(dir, "own/../own/./rpd.json"), 0);
    temp_dir_remove(dir);
}
