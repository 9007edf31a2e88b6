/* State has one owner: no other service gets what a backend has claimed. A service that must claim
 * its state before it is announced does so, and a service that has lost its state does not
 * overwrite it. */
#include "common.h"

#include <sched.h>
#include <sys/mount.h>

struct scene {
    const char *dir, *data, *snapshot;
};

static struct scene make_scene(void)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.data = textf("%s/data", scene.dir);
    scene.snapshot = textf("%s/x.snap", scene.data);
    cr_assert_eq(mkdir(scene.data, 0700), 0);
    return scene;
}

static void end_scene(const struct scene *scene)
{
    temp_dir_remove(scene->dir);
}

static struct process *kv(const struct scene *scene, const char *name, const char *snapshot)
{
    return process_start(&(struct process_options){
        .argv = ARGS("rpd", "kv.so", "-n", name, "-o", textf("snapshot=%s", snapshot)),
        .runtime_dir = textf("%s/run", scene->dir),
        .notify = true});
}

static const char *endpoint_of(const struct scene *scene, const char *name)
{
    return textf("unix:%s/run/%s.sock", scene->dir, name);
}

static const char *say(const struct scene *scene, const char *name, const char *command)
{
    const char *answer = ask_once(endpoint_of(scene, name), textf("%s\r", command));

    return answer ? textf("%.*s", (int)strcspn(answer, "\r"), answer) : "(nothing)";
}

static void assert_answer(const struct scene *scene, const char *name, const char *command,
                          const char *begins)
{
    const char *answer = say(scene, name, command);

    cr_assert_eq(strncmp(answer, begins, strlen(begins)), 0, "%s: \"%s\"", command, answer);
}

static void stop(struct process *process)
{
    assert_stops(process);
    process_free(process);
}

/* ---- two services ---------------------------------------------------------------------- */

/* Before it is announced, and through any path to the same file. */
Test(state_claims, second_service_is_refused)
{
    struct scene scene = make_scene();
    const char *link = textf("%s/link", scene.dir);
    struct process *first = kv(&scene, "first", scene.snapshot);

    assert_line(first, "ready (");
    cr_assert_eq(symlink(scene.data, link), 0);
    const char *const paths[] = {scene.snapshot, textf("%s/x.snap", link),
                                 textf("%s/../data//x.snap", scene.data)};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct process *second = kv(&scene, "second", paths[i]);
        assert_ends(second, 75);
        assert_line(second, textf("rpd: claim: %.100s", paths[i]));
        assert_line(second, textf("this state is in use: pid %d (service first), since ",
                                  (int)process_pid(first)));
        cr_assert_not(process_bound(second), "it was announced");
        process_free(second);
    }
    struct process *other = kv(&scene, "second", textf("%s/y.snap", scene.data));
    assert_line(other, "ready (");
    stop(other);
    stop(first);
    struct process *second = kv(&scene, "second", scene.snapshot);
    assert_line(second, "ready (");
    stop(second);
    end_scene(&scene);
}

Test(state_claims, two_services_of_one_process)
{
    struct scene scene = make_scene();
    const char *config = textf("%s/c.json", scene.dir);

    write_text(config, textf("{\"services\":[{\"plugin\":\"kv.so\",\"name\":\"a\",\"options\":{"
                             "\"snapshot\":\"%s\"}},{\"plugin\":\"kv.so\",\"name\":\"b\","
                             "\"options\":{\"snapshot\":\"%s\"}}]}",
                             scene.snapshot, scene.snapshot));
    struct process *rpd = RPD_START(textf("%s/run", scene.dir), "-c", config);
    assert_ends(rpd, 75);
    assert_line(rpd, textf("pid %d (service a)", (int)process_pid(rpd)));
    process_free(rpd);
    end_scene(&scene);
}

static void refused(const struct scene *scene, const char *snapshot, int code, const char *line)
{
    struct process *rpd = kv(scene, "x", snapshot);

    assert_ends(rpd, code);
    assert_line(rpd, line);
    process_free(rpd);
}

Test(state_claims, what_cannot_be_claimed)
{
    struct scene scene = make_scene();
    const char *link = textf("%s/link", scene.data);

    cr_assert_eq(symlink(scene.snapshot, link), 0);
    refused(&scene, link, 77, "it is a symbolic link");
    refused(&scene, textf("%s/none/x.snap", scene.dir), 71, "cannot open the directory");
    refused(&scene, textf("%s/%0*d", scene.data, 245, 0), 78, "a name of 1 to 240 bytes");
    cr_assert_eq(chmod(scene.data, 0777), 0);
    refused(&scene, scene.snapshot, 77, "every user can write to the directory");
    end_scene(&scene);
}

/* Another owner holds it. */
static int hold_lock(const char *path)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(fcntl(fd, F_OFD_SETLK, &whole), 0, "%s: %s", path, strerror(errno));
    return fd;
}

/* The owner has lost its name, for example, and is about to end: the start waits for it. */
Test(state_claims, leaving_owner_is_waited_for)
{
    struct scene scene = make_scene();
    const int held = hold_lock(textf("%s/.x.snap.lock", scene.data));
    struct process *rpd = kv(&scene, "x", scene.snapshot);

    cr_assert_neq(connect_to(endpoint_of(&scene, "x")), 0);
    poll(NULL, 0, 100); /* Gives it time to try; whether or not it has, it starts in the end. */
    close(held);
    assert_line(rpd, "ready (");
    stop(rpd);
    end_scene(&scene);
}

/* ---- state that is not overwritten --------------------------------------------------------- */

Test(state_claims, replaced_snapshot_is_not_overwritten)
{
    struct scene scene = make_scene();
    struct process *rpd = kv(&scene, "x", scene.snapshot);

    assert_line(rpd, "ready (");
    assert_answer(&scene, "x", "SET k 1", "+OK");
    assert_answer(&scene, "x", "SAVE", "+OK");
    assert_answer(&scene, "x", "SAVE", "+OK"); /* its own is replaced */
    write_text(textf("%s/new", scene.data), "another's");
    cr_assert_eq(rename(textf("%s/new", scene.data), scene.snapshot), 0);
    assert_answer(&scene, "x", "SET k 2", "+OK");
    assert_answer(&scene, "x", "SAVE", "-ERR not saved: another file was put in its place");
    assert_ends((process_signal(rpd, SIGTERM), rpd), 71); /* the unsaved changes are not saved */
    assert_line(rpd, "another file was put in its place");
    cr_assert_str_eq(file_read(scene.snapshot), "another's");
    process_free(rpd);
    end_scene(&scene);
}

Test(state_claims, removed_lock_is_taken_again)
{
    struct scene scene = make_scene();
    struct process *rpd = kv(&scene, "x", scene.snapshot);

    assert_line(rpd, "ready (");
    assert_answer(&scene, "x", "SET k 1", "+OK");
    cr_assert_eq(unlink(textf("%s/.x.snap.lock", scene.data)), 0);
    assert_answer(&scene, "x", "SAVE", "+OK");
    refused(&scene, scene.snapshot, 75, "pid "); /* because of its name, which is also the first
                                                  * one's */
    struct process *second = kv(&scene, "second", scene.snapshot);
    assert_ends(second, 75);
    process_free(second);
    /* The lock is removed, and another owner takes it first. */
    cr_assert_eq(unlink(textf("%s/.x.snap.lock", scene.data)), 0);
    const int held = hold_lock(textf("%s/.x.snap.lock", scene.data));
    assert_answer(&scene, "x", "SET k 2", "+OK");
    assert_answer(&scene, "x", "SAVE", "-ERR not saved: the file is not this service's");
    close(held);
    assert_answer(&scene, "x", "SAVE", "+OK");
    stop(rpd);
    end_scene(&scene);
}

/* Everything is removed: the run-time directory goes, a second daemon starts with a new state
 * directory, and the first must leave without saving over the second's data. */
Test(state_claims, loser_does_not_save_over_the_winner)
{
    struct scene scene = make_scene();
    const char *run = textf("%s/run", scene.dir);
    struct process *first = kv(&scene, "x", scene.snapshot);

    assert_line(first, "ready (");
    assert_answer(&scene, "x", "SET who first", "+OK");
    cr_assert_eq(process_signal(first, SIGSTOP), 0);
    cr_assert_eq(rename(run, textf("%s.old", run)), 0);
    cr_assert_eq(rename(scene.data, textf("%s.old", scene.data)), 0);
    cr_assert_eq(mkdir(scene.data, 0700), 0);
    struct process *second = kv(&scene, "x", scene.snapshot);
    assert_line(second, "ready (");
    assert_answer(&scene, "x", "SET who second", "+OK");
    assert_answer(&scene, "x", "SAVE", "+OK");
    const char *saved = file_read(scene.snapshot);
    struct stat before, after;
    cr_assert_eq(stat(scene.snapshot, &before), 0);
    cr_assert_eq(process_signal(first, SIGCONT), 0);
    assert_ends(first, 75);
    assert_line(first, "the file is not this service's");
    cr_assert_eq(stat(scene.snapshot, &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    cr_assert_not_null(saved);
    assert_answer(&scene, "x", "GET who", "$6");
    stop(second);
    process_free(first);
    end_scene(&scene);
}

/* A snapshot that is only read needs no owner. */
Test(state_claims, read_only_directory)
{
    struct scene scene = make_scene();
    struct process *rpd = kv(&scene, "x", scene.snapshot);

    assert_line(rpd, "ready (");
    assert_answer(&scene, "x", "SET k 1", "+OK");
    stop(rpd); /* saved */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("needs root");
    cr_assert_eq(mount(scene.data, scene.data, NULL, MS_BIND, NULL), 0);
    cr_assert_eq(mount(NULL, scene.data, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    struct process *one = kv(&scene, "one", scene.snapshot);
    struct process *two = kv(&scene, "two", scene.snapshot);
    assert_line(one, "it is loaded, and never saved");
    assert_line(one, "ready (");
    assert_line(two, "ready (");
    assert_answer(&scene, "one", "GET k", "$1");
    assert_answer(&scene, "two", "SET k 2", "+OK");
    assert_answer(&scene, "two", "SAVE", "-ERR not saved: the file is not this service's");
    stop(one);
    process_stop(two);
    process_free(two);
    cr_assert_eq(umount(scene.data), 0);
    end_scene(&scene);
}

/* ---- the call, used well and badly ---------------------------------------------------------- */

static struct process *claims(const struct scene *scene, const char *path, const char *at,
                              const char *how, const char *policy)
{
    const char *config = textf("%s/c.json", scene->dir);

    write_text(config, textf("{\"services\":[{\"plugin\":\"%s\",\"on_load_failure\":\"%s\","
                             "\"options\":{\"path\":\"%s\",\"at\":\"%s\",\"how\":\"%s\"}}]}",
                             test_plugin("claims"), policy, path, at, how));
    return RPD_START(textf("%s/run", scene->dir), "-c", config);
}

Test(state_claims, in_claim_and_in_load)
{
    struct scene scene = make_scene();
    static const char *const places[][2] = {{"claim", "once"}, {"load", "once"}, {"both", "twice"}};

    for (size_t i = 0; i < 3; i++) {
        struct process *rpd = claims(&scene, scene.snapshot, places[i][0], places[i][1], "exit");
        assert_line(rpd, "ready (");
        const char *endpoint = endpoint_of(&scene, "claims");
        assert_text(ask_once(endpoint, scene.snapshot), "owned", rpd);
        assert_text(ask_once(endpoint, "/never/claimed"), "lost", rpd);
        assert_text(ask_once(endpoint, ""), "lost", rpd);
        assert_text(ask_once(endpoint, textf("%s/other", scene.data)), "lost", rpd);
        stop(rpd);
    }
    /* A directory has its lock in it. */
    struct process *rpd = claims(&scene, scene.data, "claim", "once", "exit");
    assert_line(rpd, "ready (");
    cr_assert_eq(access(textf("%s/.rpd.lock", scene.data), F_OK), 0);
    assert_text(ask_once(endpoint_of(&scene, "claims"), scene.data), "owned", rpd);
    stop(rpd);
    end_scene(&scene);
}

/* It is not retried, and the service does not start without it, whatever the policy says. */
Test(state_claims, held_ends_a_load_by_any_policy)
{
    static const char *const policies[] = {"exit", "retry"};
    struct scene scene = make_scene();
    const int held = hold_lock(textf("%s/.x.snap.lock", scene.data));

    for (size_t i = 0; i < 2; i++) {
        struct process *rpd = claims(&scene, scene.snapshot, "load", "once", policies[i]);
        assert_ends(rpd, 75);
        assert_line(rpd, "rpd: claim: ");
        assert_line(rpd, "this state is in use: another process has it");
        process_free(rpd);
    }
    close(held);
    end_scene(&scene);
}

Test(state_claims, misuse)
{
    static const struct {
        const char *at, *how, *line;
        int code;
    } cases[] = {
        {"claim", "null", "rpd_claim_state(): it was called without a path", 76},
        {"claim", "empty", "rpd_claim_state(): it was called without a path", 76},
        {"claim", "lie", "its claim() returned -1, and rpd_claim_state() has not failed", 76},
        {"load", "null", "it was called without a path", 69},
        {"load", "lie", "it returned no state and no reason", 69},
    };
    struct scene scene = make_scene();

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct process *rpd = claims(&scene, scene.snapshot, cases[i].at, cases[i].how, "exit");
        assert_ends(rpd, cases[i].code);
        assert_line(rpd, cases[i].line);
        process_free(rpd);
    }
    /* For state that a backend can do without this is not a failure, neither then nor later. */
    const int held = hold_lock(textf("%s/.x.snap.lock", scene.data));
    struct process *rpd = claims(&scene, scene.snapshot, "claim", "ignore", "exit");
    assert_line(rpd, "ready (");
    assert_text(ask_once(endpoint_of(&scene, "claims"), scene.snapshot), "lost", rpd);
    stop(rpd);
    close(held);
    end_scene(&scene);
}
