/* The loop does not wait for a disk while a file is sent, whenever the kernel evicts its pages. The
 * page cache is support/cold_files.c. */
#include "bodies_scene.h"
#include "cold_files.h"

#include <sys/mman.h>

struct cold {
    struct bodies server;
    struct cold_control *control;
};

static struct cold start(size_t size)
{
    const char *dir = temp_dir_make();
    const struct cold_control zero = {0};
    const char *control = textf("%s/control", dir);
    struct cold cold;

    file_write(control, &zero, sizeof zero);
    const int fd = open(control, O_RDWR | O_CLOEXEC);
    cold.control = mmap(NULL, sizeof zero, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(cold.control != MAP_FAILED);
    close(fd);
    cold.server = serve_bodies_in(
        ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/libcold_files.so")),
             textf("TEST_COLD_CONTROL=%s", control), textf("TEST_COLD_FILE=%s/big", dir),
             "ASAN_OPTIONS=verify_asan_link_order=0"),
        "", "", "");
    /* The daemon's directory is known only now. */
    make_file(&cold.server, "big", size);
    cr_assert_eq(link(textf("%s/big", cold.server.dir), textf("%s/big", dir)), 0);
    return cold;
}

static void finish(struct cold *cold)
{
    end_bodies(&cold->server);
    munmap(cold->control, sizeof *cold->control);
}

Test(cold_files, a_worker_reads_them)
{
    struct cold cold = start(8 * MIB);
    const int fd = client(cold.server.endpoint);

    tell(fd, textf("send big 0 %d", 8 * MIB));
    assert_part(&cold.server, fd, 0, 8 * MIB);
    tell(fd, textf("send big 5 %d", MIB));
    assert_part(&cold.server, fd, 5, MIB);
    cr_expect_gt(cold.control->worker_reads, 0);
    cr_expect_eq(cold.control->loop_waits, 0);
    close(fd);
    finish(&cold);
}

/* Pages that were in memory when the client stalled are gone when it continues. */
Test(cold_files, pages_that_go_while_their_client_stalls)
{
    enum { STALLED_MS = 30 }; /* at least; fewer would only prove less */
    struct cold cold = start(8 * MIB);
    const int fd = client(cold.server.endpoint);

    for (int round = 0; round < 5; round++) {
        char byte;

        /* The first MiB is in memory when the file is sent again. */
        tell(fd, textf("send big 0 %d", MIB));
        assert_part(&cold.server, fd, 0, MIB);
        tell(fd, textf("send big 0 %d", 8 * MIB));
        cr_assert_eq(recv(fd, &byte, 1, MSG_PEEK), 1);
        poll(NULL, 0, STALLED_MS);
        atomic_store(&cold.control->evicts, 1);
        assert_part(&cold.server, fd, 0, 8 * MIB);
    }
    cr_expect_eq(cold.control->loop_waits, 0, "%d", cold.control->loop_waits);
    close(fd);
    finish(&cold);
}

/* Pages vanish between the check and the sending: the loop waits once, notices it, and leaves the
 * rest to workers. */
Test(cold_files, pages_that_go_all_the_time)
{
    struct cold cold = start(8 * MIB);
    const int fd = client(cold.server.endpoint), other = client(cold.server.tcp);

    atomic_store(&cold.control->evicts_all_the_time, 1);
    for (int round = 0; round < 3; round++) {
        tell(fd, textf("send big 0 %d", 8 * MIB));
        tell(other, textf("send big 1 %d", MIB));
        assert_part(&cold.server, fd, 0, 8 * MIB);
        assert_part(&cold.server, other, 1, MIB);
    }
    cr_expect_eq(cold.control->loop_waits, 1, "%d", cold.control->loop_waits);
    assert_line(cold.server.rpd, "sending a file made the loop wait for ");
    close(fd);
    close(other);
    finish(&cold);
}
