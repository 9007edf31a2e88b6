/* Directories that vanish, and state that belongs to another service. See provoke.h. */
#include "provoke.h"

#include <sys/mount.h>

/* ---- row 54: a directory is removed, moved, unmounted, mounted over ------------------ */

/* Waits until the daemon has moved this many times; from now on the page is read in the new
 * place. */
static void await_moves(struct stage *stage, size_t moves)
{
    cr_assert_eq(process_wait_lines(stage->rpd, "directories are all there again", moves), 0,
                 "it has not moved %zu times:\n%s", moves, process_stderr(stage->rpd));
    close(stage->run_fd);
    stage->run_fd = open(stage->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(stage->run_fd, 0, "%s: %s", stage->run, strerror(errno));
    cr_assert_eq(stage_page(stage, "faulty").pid, (uint32_t)process_pid(stage->rpd));
    cr_assert_neq(stage_verdict(stage), STATE_DEAD);
}

static void remove_all(const char *path)
{
    struct process *rm = process_start(&(struct process_options){.argv = ARGS("rm", "-r", path)});

    cr_assert_eq(process_code(process_wait_exit(rm)), 0, "%s", process_stderr(rm));
    process_free(rm);
}

static const char *directory_of(const struct stage *stage, const char *variant)
{
    return strncmp(variant, "run", 3) == 0 ? stage->run : stage->ep;
}

/* The directory goes by one rename, so that the daemon cannot create a file in between. Unless the
 * variant says "removed", the test makes the directory again. */
void provoke_lost_directory(struct stage *stage, const char *variant)
{
    const char *path = directory_of(stage, variant), *old = textf("%s.old", path);

    cr_assert_eq(rename(path, old), 0, "%s: %s", path, strerror(errno));
    if (!strstr(variant, "removed"))
        cr_assert(mkdir(path, 0700) == 0 || errno == EEXIST, "%s: %s", path, strerror(errno));
    await_moves(stage, 1);
    const char *left = listing(old);
    cr_assert_str_empty(left, "left behind:\n%s", left);
    remove_all(old);
}

void provoke_mounts(struct stage *stage, const char *variant)
{
    const char *path = directory_of(stage, variant);

    cr_assert_eq(mount("rpd-test", path, "tmpfs", 0, "mode=0700,size=1m"), 0, "%s",
                 strerror(errno));
    await_moves(stage, 1);
    if (stage->phase == SERVING)
        assert_text(ask_once(stage->endpoint, "mounted"), "mounted", stage->rpd);
    cr_assert_eq(umount2(path, MNT_DETACH), 0, "%s", strerror(errno));
    await_moves(stage, 2);
}

/* ---- row 63: two services with one state file ---------------------------------------- */

/* Another service claims the state. */
static int hold_state(const struct stage *stage)
{
    const char *path = textf("%s/.data.lock", stage->dir);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    write_text(path, "pid 1 (service other)\n");
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(fcntl(fd, F_OFD_SETLK, &whole), 0, "%s", strerror(errno));
    return fd;
}

void provoke_held_state(struct stage *stage, const char *variant)
{
    (void)variant;
    const int held = hold_state(stage);
    stage_open_gate(stage);
    process_wait_exit(stage->rpd);
    close(held);
}
