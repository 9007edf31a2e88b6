/* rpd_conn_read_frame() and rpd_conn_write_frame() on connections: in any pieces, from any
 * callback, up to their bounds. (tests/unit/test_frame.c tests which bytes are a frame.) */
#include "common.h"

struct scene {
    const char *dir, *endpoint;
    struct process *rpd;
};

static struct scene start(int framing, const char *max)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    const struct scene scene = {dir, endpoint,
                                RPD_START(textf("%s/run", dir), test_plugin("frames"), "-l",
                                          endpoint, "-o", textf("framing=%d", framing), "-o",
                                          textf("max=%s", max))};

    assert_bound(scene.rpd);
    return scene;
}

static void finish(const struct scene *scene)
{
    assert_stops(scene->rpd);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

static void expect_bytes(int fd, const void *wanted, size_t size)
{
    char *got = malloc(size + 1);

    cr_assert_eq(read_exactly(fd, got, size), (ssize_t)size);
    cr_expect_arr_eq(got, wanted, size);
    free(got);
}

/* In each framing: two frames, the second of which is answered from a job's done. */
static const struct {
    int framing;
    const char *bytes;
    size_t size;
} streams[] = {
    {1, "\3abc\5later", 10},
    {2, "\0\3abc\0\5later", 12},
    {3, "\3\0abc\5\0later", 12},
    {4, "\0\0\0\3abc\0\0\0\5later", 16},
    {5, "\3\0\0\0abc\5\0\0\0later", 16},
    {6, "\0\0\0\0\0\0\0\3abc\0\0\0\0\0\0\0\5later", 24},
    {7, "\3\0\0\0\0\0\0\0abc\5\0\0\0\0\0\0\0later", 24},
    {8, "\3abc\5later", 10},
    {9, "Content-Length: 3\r\n\r\nabcContent-Length: 5\r\n\r\nlater", 50},
    {10, "3:abc,5:later,", 14},
};

Test(frames, every_framing_in_pieces_and_whole)
{
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        const struct scene scene = start(streams[i].framing, "0");
        const int fd = connect_to(scene.endpoint);

        cr_assert_geq(fd, 0);
        for (size_t at = 0; at < streams[i].size; at++)
            cr_assert_eq(send_all(fd, streams[i].bytes + at, 1), 0);
        expect_bytes(fd, streams[i].bytes, streams[i].size);
        cr_assert_eq(send_all(fd, streams[i].bytes, streams[i].size), 0);
        expect_bytes(fd, streams[i].bytes, streams[i].size);
        close(fd);
        finish(&scene);
    }
}

/* The bytes that a client gets until the end. */
static const char *say(const struct scene *scene, const void *bytes, size_t size)
{
    const int fd = connect_to(scene->endpoint);
    char answer[256] = "";
    ssize_t got;

    cr_assert_geq(fd, 0);
    cr_assert_eq(send_all(fd, bytes, size), 0);
    got = read_exactly(fd, answer, sizeof answer - 1);
    cr_assert_geq(got, 0);
    close(fd);
    return textf("%s", answer);
}

Test(frames, what_cannot_be_read_is_said_before_its_body_has_come)
{
    const struct scene small = start(4, "10"), net = start(10, "0"), none = start(99, "0");

    cr_expect_str_eq(say(&small, "\0\0\0\13", 4), "EMSGSIZE\n");
    cr_expect_str_eq(say(&small, "\377\377\377\377", 4), "EMSGSIZE\n");
    cr_expect_str_eq(say(&net, "01:a,", 5), "EBADMSG\n");
    cr_expect_str_eq(say(&net, "GET / HTTP/1.1\r\n", 16), "EBADMSG\n");
    /* Without a bound of the backend's own it is limits.input_bytes, 64 MiB. */
    cr_expect_str_eq(say(&net, "67108864:", 9), "EMSGSIZE\n");
    cr_expect_str_eq(say(&none, "x", 1), "EINVAL\n");
    finish(&small);
    finish(&net);
    finish(&none);
}

Test(frames, many_at_once_and_one_that_was_cut_off)
{
    enum { FRAMES = 20000 };
    const struct scene scene = start(2, "0");
    const int fd = connect_to(scene.endpoint);
    char *stream = malloc(FRAMES * 5 + 4);

    for (size_t i = 0; i < FRAMES; i++)
        memcpy(stream + 5 * i, "\0\3abc", 5);
    memcpy(stream + (size_t)FRAMES * 5, "\0\3ab", 4);
    cr_assert_eq(send_all(fd, stream, (size_t)FRAMES * 5 + 4), 0);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    expect_bytes(fd, stream, (size_t)FRAMES * 5);
    cr_expect_eq(read_exactly(fd, stream, 1), 0); /* the end, and no answer to the rest */
    free(stream);
    close(fd);
    finish(&scene);
}
