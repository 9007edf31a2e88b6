/* Opening a process to signal it: its pid alone is never trusted. */
#include "observe/instance.h"

#include "base/proc.h"
#include "process.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A process that sleeps, and the lock that its service would hold. */
struct scene {
    const char *dir;
    int dirfd, lock;
    struct process *sleeps;
    struct instance instance; /* as its page would say; or its record */
    char boot_id[BOOT_ID_SIZE];
};

static void lock_it(struct scene *scene)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    scene->lock = open(textf("%s/demo.lock", scene->dir), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(fcntl(scene->lock, F_OFD_SETLK, &whole), 0, "%s", strerror(errno));
}

static struct scene *make_scene(bool has_page)
{
    static struct scene scene;
    struct proc_stat stat;

    scene = (struct scene){.dir = temp_dir_make()};
    scene.dirfd = open(scene.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scene.sleeps = process_start(&(struct process_options){.argv = ARGS("sleep", "1000")});
    lock_it(&scene);
    cr_assert_eq(proc_read_stat(textf("%d", (int)process_pid(scene.sleeps)), &stat), 0);
    proc_boot_id(scene.boot_id);
    scene.instance = (struct instance){.service = "demo",
                                       .has_page = has_page,
                                       .pid = process_pid(scene.sleeps),
                                       .start_time = stat.start_time};
    if (has_page) {
        memcpy(scene.instance.page.magic, RPD_STATE_MAGIC, sizeof scene.instance.page.magic);
        proc_parse_boot_id(scene.boot_id, scene.instance.page.boot_id);
    } else {
        scene.instance.has_record = true;
        scene.instance.record.boot_id = scene.boot_id;
    }
    return &scene;
}

static void leave(struct scene *scene)
{
    cr_assert(process_alive(scene->sleeps));
    close(scene->lock);
    close(scene->dirfd);
    process_free(scene->sleeps);
    temp_dir_remove(scene->dir);
}

/* Each function that opens a process. */
static int open_with(const struct scene *scene, bool is_ending)
{
    errno = 0;
    return is_ending ? instance_open_ending(&scene->instance)
                     : instance_open(scene->dirfd, &scene->instance);
}

static void assert_opened(const struct scene *scene, bool is_ending)
{
    const int fd = open_with(scene, is_ending);

    cr_assert_geq(fd, 0, "%s", strerror(errno));
    close(fd);
}

static void assert_refused_by(const struct scene *scene, bool is_ending, int cause)
{
    const int fds = count_fds(getpid());

    cr_assert_eq(open_with(scene, is_ending), -1);
    cr_assert_eq(errno, cause, "%s", strerror(errno));
    cr_assert_eq(count_fds(getpid()), fds);
}

static void assert_refused(const struct scene *scene, bool is_ending)
{
    assert_refused_by(scene, is_ending, ESRCH);
}

/* The process may live, but where it is invisible from here. */
static void assert_refused_as_elsewhere(const struct scene *scene, bool is_ending)
{
    assert_refused_by(scene, is_ending, EXDEV);
}

static void assert_each(const struct scene *scene,
                        void (*assert_it)(const struct scene *scene, bool is_ending))
{
    assert_it(scene, false);
    assert_it(scene, true);
}

Test(instance, a_process_is_opened_that_is_the_one)
{
    for (int has_page = 0; has_page <= 1; has_page++) {
        struct scene *scene = make_scene(has_page);

        assert_each(scene, assert_opened);
        leave(scene);
    }
}

/* The process lives and the lock is held, but it started a clock tick earlier or later. */
Test(instance, a_process_that_began_at_another_time_is_refused)
{
    for (int has_page = 0; has_page <= 1; has_page++) {
        struct scene *scene = make_scene(has_page);
        const unsigned long long began = scene->instance.start_time;

        scene->instance.start_time = began + 1;
        assert_each(scene, assert_refused);
        scene->instance.start_time = began - 1;
        assert_each(scene, assert_refused);
        scene->instance.start_time = 0; /* not known */
        assert_each(scene, assert_refused);
        scene->instance.start_time = began;
        assert_each(scene, assert_opened);
        leave(scene);
    }
}

Test(instance, a_process_of_another_boot_is_refused)
{
    for (int has_page = 0; has_page <= 1; has_page++) {
        struct scene *scene = make_scene(has_page);

        scene->instance.page.boot_id[0] ^= 1;
        scene->instance.place = state_view_place(&scene->instance.page);
        scene->boot_id[0] = scene->boot_id[0] == 'a' ? 'b' : 'a';
        assert_each(scene, assert_refused_as_elsewhere);
        leave(scene);
    }
}

/* A process that ends loses its locks one by one: it may then be waited for, but is not
 * signalled. */
Test(instance, a_process_without_its_lock_is_only_waited_for)
{
    struct scene *scene = make_scene(true);

    close(scene->lock);
    assert_refused(scene, false);
    assert_opened(scene, true);
    lock_it(scene);
    assert_each(scene, assert_opened);
    leave(scene);
}

/* Its parent has not reaped it, so its pid is not reused. */
Test(instance, a_process_that_has_ended_is_refused)
{
    struct scene *scene = make_scene(true);
    const pid_t child = fork();
    struct proc_stat stat;

    if (child == 0)
        _exit(0);
    do
        cr_assert_eq(proc_read_stat(textf("%d", (int)child), &stat), 0);
    while (stat.state != 'Z');
    scene->instance.pid = child;
    scene->instance.start_time = stat.start_time;
    assert_each(scene, assert_refused);
    scene->instance.pid = 0;
    assert_each(scene, assert_refused);
    leave(scene);
}
