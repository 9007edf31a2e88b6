/* What a daemon does when one of its directories goes: the run-time directory, or that of an
 * endpoint. It moves into the new one with its state still loaded, or it leaves with 75. Two
 * daemons never serve for long, and none serves where no client can find it. */
#include "common.h"
#include "observe/state_view.h"

#include <sched.h>
#include <sys/mount.h>

/* A configuration with one service "x", which has a socket in the run-time directory and one in a
 * directory of its own; and rpd, started from it. */
struct scene {
    const char *dir, *run, *ep, *config, *near, *far;
    struct process *rpd;
};

static struct process *start(const struct scene *scene)
{
    return process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", scene->config), .runtime_dir = scene->run, .notify = true});
}

static struct scene make_scene(const char *plugin, const char *service_more)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = textf("%s/p/run", scene.dir);
    scene.ep = textf("%s/ep", scene.dir);
    scene.config = textf("%s/c.json", scene.dir);
    scene.near = textf("unix:%s/x.sock", scene.run);
    scene.far = textf("unix:%s/y.sock", scene.ep);
    cr_assert_eq(mkdir(textf("%s/p", scene.dir), 0700), 0);
    cr_assert_eq(mkdir(scene.ep, 0700), 0);
    write_text(scene.config, textf("{\"services\":[{\"plugin\":\"%s\",\"name\":\"x\",\"listen\":["
                                   "\"unix:x.sock\",\"%s\"]%s}]}",
                                   plugin, scene.far, service_more));
    return scene;
}

static struct scene echo_scene(void)
{
    struct scene scene = make_scene("echo.so", "");

    scene.rpd = start(&scene);
    assert_line(scene.rpd, "ready (");
    return scene;
}

/* The daemon is idle, and its page is no longer updated (rpd/state.h). */
static struct scene resting_scene(void)
{
    struct scene scene = echo_scene();
    const int dirfd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int64_t until = now_ns() + INT64_C(60000000000);
    struct rpd_state_page page = {0};

    while (state_view_read(dirfd, "x", &page) < 0 || page.turned_us != RPD_STATE_RESTS) {
        cr_assert_lt(now_ns(), until, "it does not rest");
        poll(NULL, 0, 10);
    }
    close(dirfd);
    return scene;
}

static void move_away(const char *path)
{
    cr_assert_eq(rename(path, textf("%s.old", path)), 0, "%s: %s", path, strerror(errno));
}

static void replace(const char *path)
{
    move_away(path);
    cr_assert(mkdir(path, 0700) == 0 || errno == EEXIST, "%s: %s", path, strerror(errno));
}

static struct process *rpdctl(const struct scene *scene, const char *const *arguments)
{
    const char *argv[8] = {"rpdctl"};
    size_t count = 1;

    while (*arguments && count < 7)
        argv[count++] = *arguments++;
    return process_start(
        &(struct process_options){.argv = argv,
                                  .runtime_dir = scene->run,
                                  .env = ARGS(textf("XDG_STATE_HOME=%s/state", scene->dir))});
}

static const char *output_of(const struct scene *scene, const char *const *arguments, int *ret_code)
{
    struct process *process = rpdctl(scene, arguments);
    const char *text;

    *ret_code = process_code(process_wait_exit(process));
    text = textf("%s%s", process_stdout(process), process_stderr(process));
    process_free(process);
    return text;
}

/* ensure finds the same daemon; clients reach it on both paths, and no file is left in the old
 * place. */
static void assert_moved(const struct scene *scene, size_t moves)
{
    int code;

    cr_assert_eq(process_wait_lines(scene->rpd, "directories are all there again", moves), 0, "%s",
                 process_stderr(scene->rpd));
    const char *text = output_of(scene, ARGS("ensure", scene->config), &code);
    cr_assert_eq(code, 0, "%s", text);
    const char *record = file_read(textf("%s/x.json", scene->run));
    cr_assert(record && strstr(record, textf("\"pid\": %d,", (int)process_pid(scene->rpd))), "%s",
              record);
    assert_text(ask_once(scene->near, "near"), "near", scene->rpd);
    assert_text(ask_once(scene->far, "far"), "far", scene->rpd);
    text = output_of(scene, ARGS("status", "x"), &code);
    cr_assert(strstr(text, "alive") && !strstr(text, "unreachable"), "%s", text);
    text = file_read(textf("%s/x.history", scene->run));
    cr_assert(text && lines_with(text, " bound 0 -") == 1, "%s", text);
    cr_assert_eq(access(textf("%s/x.control", scene->run), F_OK), 0);
}

static void end_scene(struct scene *scene)
{
    assert_stops(scene->rpd);
    assert_empty(scene->run);
    assert_empty(scene->ep);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

/* ---- it moves ---------------------------------------------------------------------- */

Test(moving, runtime_directory_replaced)
{
    struct scene scene = echo_scene();

    replace(scene.run);
    assert_moved(&scene, 1);
    assert_empty(textf("%s.old", scene.run));
    replace(scene.ep); /* and again */
    assert_moved(&scene, 2);
    assert_empty(textf("%s.old", scene.ep));
    end_scene(&scene);
}

Test(moving, runtime_directory_removed)
{
    struct scene scene = echo_scene();

    move_away(scene.run); /* no other process makes it again */
    assert_moved(&scene, 1);
    end_scene(&scene);
}

/* None of the daemon's own directories gets an event for this. */
Test(moving, a_directory_further_up_replaced)
{
    struct scene scene = echo_scene();

    move_away(textf("%s/p", scene.dir));
    cr_assert_eq(mkdir(textf("%s/p", scene.dir), 0700), 0);
    assert_moved(&scene, 1);
    end_scene(&scene);
}

/* The pulse alone would take up to 20 s to find it. */
static void assert_moved_soon(const struct scene *scene, size_t moves)
{
    const int64_t began = now_ns();

    assert_line(scene->rpd, "directories are all there again");
    cr_expect_lt(now_ns() - began, 12 * INT64_C(1000000000));
    assert_moved(scene, moves);
}

Test(moving, while_it_rests)
{
    struct scene scene = resting_scene();

    move_away(scene.run);
    assert_moved_soon(&scene, 1);
    end_scene(&scene);
}

Test(moving, while_it_rests_a_directory_further_up_replaced)
{
    struct scene scene = resting_scene();

    move_away(textf("%s/p", scene.dir));
    cr_assert_eq(mkdir(textf("%s/p", scene.dir), 0700), 0);
    assert_moved_soon(&scene, 1);
    end_scene(&scene);
}

/* Its files are removed one by one, and the directory last, as rm -r does it. */
Test(moving, runtime_directory_emptied_and_removed)
{
    struct scene scene = echo_scene();
    struct process *rival = process_start(&(struct process_options){
        .argv = ARGS("/bin/sh", "-c",
                     textf("until rm -rf %s 2>/dev/null; do :; done; mkdir -p -m 700 %s", scene.run,
                           scene.run))});

    cr_assert_eq(process_code(process_wait_exit(rival)), 0);
    cr_assert_eq(process_wait_line(scene.rpd, "there again"), 0, "%s", process_stderr(scene.rpd));
    for (int64_t began = now_ns(); !ask_once(scene.near, "a");)
        cr_assert_lt(now_ns() - began, 20 * INT64_C(1000000000), "%s", process_stderr(scene.rpd));
    int code;
    const char *text = output_of(&scene, ARGS("ensure", scene.config), &code);
    cr_assert_eq(code, 0, "%s", text);
    cr_assert(process_alive(scene.rpd));
    process_free(rival);
    end_scene(&scene);
}

static bool enter_mounts_of_our_own(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void mount_at(const char *path)
{
    cr_assert_eq(mount("rpd-test", path, "tmpfs", 0, "mode=0700,size=1m"), 0, "%s: %s", path,
                 strerror(errno));
}

Test(moving, mounted_over_and_unmounted)
{
    if (!enter_mounts_of_our_own())
        cr_skip_test("needs root");
    struct scene scene = echo_scene();

    mount_at(scene.run);
    assert_moved(&scene, 1);
    mount_at(scene.ep);
    assert_moved(&scene, 2);
    cr_assert_eq(umount2(scene.run, MNT_DETACH), 0);
    assert_moved(&scene, 3);
    cr_assert_eq(umount2(scene.ep, MNT_DETACH), 0);
    assert_moved(&scene, 4);
    end_scene(&scene);
}

/* The user logs out and in again. */
Test(moving, while_it_rests_mounted_over)
{
    if (!enter_mounts_of_our_own())
        cr_skip_test("needs root");
    struct scene scene = resting_scene();

    mount_at(scene.run);
    assert_moved_soon(&scene, 1);
    cr_assert_eq(umount2(scene.run, MNT_DETACH), 0, "%s", strerror(errno));
    assert_moved(&scene, 2);
    end_scene(&scene);
}

Test(moving, unmounted_and_mounted_anew)
{
    if (!enter_mounts_of_our_own())
        cr_skip_test("needs root");
    struct scene scene = make_scene("echo.so", "");

    mount_at(textf("%s/p", scene.dir));
    scene.rpd = start(&scene);
    assert_line(scene.rpd, "ready (");
    cr_assert_eq(umount2(textf("%s/p", scene.dir), MNT_DETACH), 0);
    mount_at(textf("%s/p", scene.dir));
    assert_moved(&scene, 1);
    end_scene(&scene);
}

Test(moving, while_it_loads)
{
    struct scene scene = make_scene(build_path("samples/slow_start.so"),
                                    ",\"options\":{\"load_s\":1.5}");

    scene.rpd = start(&scene);
    assert_bound(scene.rpd);
    const int held = client(scene.near);
    tell(held, "held");
    replace(scene.run);
    assert_line(scene.rpd, "directories are all there again");
    const int other = client(scene.near);
    tell(other, "other");
    assert_text(hear_line(held), "held: loaded in 1.5 s", scene.rpd);
    assert_text(hear_line(other), "other: loaded in 1.5 s", scene.rpd);
    close(held);
    close(other);
    end_scene(&scene);
}

/* Observers see that it drains, and ensure waits for its end. */
Test(moving, while_it_drains)
{
    const char *go = textf("%s/go", temp_dir_make());
    struct scene scene = make_scene(test_plugin("faulty"),
                                    textf(",\"options\":{\"go\":\"%s\"}", go));
    int code;

    scene.rpd = start(&scene);
    assert_line(scene.rpd, "ready (");
    const int guest = client(scene.near);
    tell(guest, "wait none");
    for (int64_t began = now_ns();;) {
        const char *text = output_of(&scene, ARGS("status", "x"), &code);
        if (strstr(text, "1 now, 0 refused"))
            break;
        cr_assert_lt(now_ns() - began, 20 * INT64_C(1000000000), "%s", text);
    }
    cr_assert_eq(process_signal(scene.rpd, SIGTERM), 0);
    assert_line(scene.rpd, "stopping: ");
    replace(scene.run);
    assert_line(scene.rpd, "directories are all there again");
    const char *text = output_of(&scene, ARGS("status", "x"), &code);
    cr_assert(strstr(text, "draining"), "%s\n%s", text, process_stderr(scene.rpd));
    write_text(go, "");
    assert_text(hear_line(guest), "did none", scene.rpd);
    close(guest);
    assert_ends(scene.rpd, 0);
    assert_empty(scene.run);
    process_free(scene.rpd);
    temp_dir_remove(scene.dir);
}

/* ---- it leaves ---------------------------------------------------------------------- */

/* The first daemon cannot see it while the second starts. */
static struct process *start_second_meanwhile(struct scene *scene, const char *replaced)
{
    cr_assert_eq(process_signal(scene->rpd, SIGSTOP), 0);
    replace(replaced);
    struct process *second = start(scene);
    return second;
}

Test(moving, another_owner_is_there)
{
    struct scene scene = echo_scene();
    cr_assert_eq(process_signal(scene.rpd, SIGSTOP), 0);
    replace(scene.run);
    replace(scene.ep);
    struct process *second = start(&scene);

    assert_bound(second);
    cr_assert_eq(process_signal(scene.rpd, SIGCONT), 0);
    assert_ends(scene.rpd, 75);
    assert_line(scene.rpd, textf("pid %d (service x)", (int)process_pid(second)));
    assert_empty(textf("%s.old", scene.run));
    assert_empty(textf("%s.old", scene.ep));
    process_free(scene.rpd);
    scene.rpd = second;
    int code;
    output_of(&scene, ARGS("ensure", scene.config), &code);
    cr_assert_eq(code, 0);
    assert_text(ask_once(scene.near, "near"), "near", second);
    assert_text(ask_once(scene.far, "far"), "far", second);
    end_scene(&scene);
}

/* Neither daemon has everything: the first has the endpoint's lock, the second has the name. */
Test(moving, part_of_it_is_anothers)
{
    struct scene scene = echo_scene();
    struct process *second = start_second_meanwhile(&scene, scene.run);

    assert_ends(second, 75); /* the first still has the endpoint's directory */
    cr_assert_eq(process_signal(scene.rpd, SIGCONT), 0);
    assert_moved(&scene, 1);
    process_free(second);
    end_scene(&scene);
}

static void assert_leaves(struct scene *scene, const char *line)
{
    const int64_t began = now_ns();

    assert_ends(scene->rpd, 75);
    /* Within a second, plus the time that a busy machine takes. */
    cr_expect_lt(now_ns() - began, 10 * INT64_C(1000000000));
    assert_line(scene->rpd, line);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

Test(moving, nowhere_to_go)
{
    struct scene scene = echo_scene();

    move_away(textf("%s/p", scene.dir));
    assert_leaves(&scene, "the directory is gone, and this daemon cannot move into another: ");
}

Test(moving, endpoint_directory_gone_for_good)
{
    struct scene scene = echo_scene();

    move_away(scene.ep);
    assert_leaves(&scene, "cannot open the directory: No such file or directory");
}

/* Only the backend could make this socket again. */
Test(moving, own_bind)
{
    struct scene scene = make_scene(test_plugin("own_bind"), "");

    scene.rpd = start(&scene);
    assert_line(scene.rpd, "ready (");
    replace(scene.ep);
    assert_leaves(&scene, "only its backend could make the socket again");
}

/* ---- what rpdctl shows meanwhile ----------------------------------------------------------- */

Test(moving, unreachable_is_said)
{
    struct scene scene = echo_scene();
    int code;

    cr_assert_eq(process_signal(scene.rpd, SIGSTOP), 0); /* it cannot make its socket again */
    replace(scene.ep);
    const char *text = output_of(&scene, ARGS("status", "x"), &code);
    cr_assert(strstr(text, textf("%s (unreachable)", scene.far)), "%s", text);
    text = output_of(&scene, ARGS("ensure", scene.config), &code);
    cr_assert_eq(code, 75, "%d: %s", code, text);
    cr_assert(strstr(text, textf("it runs as pid %d, but is unreachable: there is no socket at %s",
                                 (int)process_pid(scene.rpd), scene.far)),
              "%s", text);
    cr_assert_eq(process_signal(scene.rpd, SIGCONT), 0);
    assert_moved(&scene, 1);
    end_scene(&scene);
}
