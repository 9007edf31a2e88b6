/* Calls in every order: plugins/orders.c makes them as its clients tell it. Whatever the order,
 * each done is called once, each connection is closed, and the daemon continues. (test_bodies.c,
 * test_jobs.c and test_connections.c test the effect of each order.) */
#include "common.h"

enum { BATCH = 128, SCRIPT_MAX = 64 };

#define CALLS "prklyfawsSjqQotcbBF"

struct scene {
    const char *dir, *endpoint;
    struct process *rpd;
    int fds[BATCH];
    size_t count, scripts;
};

static struct scene start(const char *listen, const char *limits)
{
    struct scene scene = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", scene.dir);

    write_text(config, textf("{\"drain_s\":1,\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\"],"
                             "\"limits\":{%s}}]}",
                             test_plugin("orders"),
                             *listen ? listen : textf("unix:%s/x.sock", scene.dir), limits));
    scene.rpd = RPD_START(textf("%s/run", scene.dir), "-c", config);
    assert_bound(scene.rpd);
    scene.endpoint = process_endpoint(scene.rpd, *listen ? "tcp:" : "unix:");
    return scene;
}

/* An error is shown with the scripts that were running. */
static void settle(struct scene *scene)
{
    const int64_t give_up = now_ns() + INT64_C(20000000000);
    const int fd = client(scene->endpoint);
    const char *answer;

    for (size_t i = 0; i < scene->count; i++)
        if (scene->fds[i] >= 0)
            close(scene->fds[i]);
    scene->count = 0;
    while ((answer = ask(fd, "count")) && strcmp(answer, "0 1") != 0 && now_ns() < give_up)
        poll(NULL, 0, 1);
    cr_assert(answer && strcmp(answer, "0 1") == 0, "\"%s\" after %zu scripts\n%s",
              answer ? answer : "(closed)", scene->scripts, process_stderr(scene->rpd));
    close(fd);
}

/* Some clients leave at once, some end their input, some stay for a while. */
static void run_script(struct scene *scene, const char *script)
{
    const int fd = client(scene->endpoint);
    const char *line = textf("do %s\nabcdefgh", script);

    cr_assert_eq(send_all(fd, line, strlen(line)), 0, "%s", process_stderr(scene->rpd));
    if (scene->scripts % 3 == 1)
        shutdown(fd, SHUT_WR);
    scene->fds[scene->count] = fd;
    if (scene->scripts++ % 3 == 0) {
        close(fd);
        scene->fds[scene->count] = -1;
    }
    if (++scene->count == BATCH)
        settle(scene);
}

static void finish(struct scene *scene)
{
    settle(scene);
    assert_stops(scene->rpd);
    const char *text = process_stderr(scene->rpd);
    cr_assert(strstr(text, "test: all clients are closed") && !strstr(text, "WRONG"), "%s", text);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

/* All pairs of calls in on_data, with each call in the done, and a different one each time in
 * on_close. */
static void run_all(struct scene *scene, size_t step)
{
    const size_t count = strlen(CALLS);

    for (size_t i = 0; i < count * count * count; i += step) {
        char script[SCRIPT_MAX];
        const size_t third = i / count / count, other = (i + i / count + third) % count;

        snprintf(script, sizeof script, "%c%c/%c/%c", CALLS[i % count], CALLS[i / count % count],
                 CALLS[third], CALLS[other]);
        run_script(scene, script);
    }
}

Test(orders, of_all_calls)
{
    struct scene scene = start("", "");

    run_all(&scene, 1);
    finish(&scene);
}

/* Fewer of them, with clients that may leave by a reset, and with limits that all of them reach. */
Test(orders, of_some_calls_at_tcp_with_tight_limits)
{
    struct scene scene = start("tcp:127.0.0.1:0", "\"buffer_bytes\":1048576,"
                                                  "\"buffer_bytes_per_peer\":524288,"
                                                  "\"output_bytes\":262144");

    run_all(&scene, 7);
    finish(&scene);
}

/* The daemon stops while all this is running: by a call, wherever it is made. */
Test(orders, of_a_stop_among_others)
{
    static const char *const scripts[] = {
        "xw/w/w", "jx/w/w", "j/x/w",  "o/x/o",   "t/x/t", "q/x/q",  "bx/x/w", "B/x/x",
        "Sx/x/w", "S/x/x",  "px/r/x", "kfS/x/x", "a/w/x", "j/jx/j", "b/xa/j", "jjjx/f/x"};

    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct scene scene = start("", "");
        const int others[] = {client(scene.endpoint), client(scene.endpoint)};

        tell(others[0], "do jqSo/jS/j");
        tell(others[1], "do ptBk/tq/k");
        run_script(&scene, scripts[i]);
        close(scene.fds[0]);
        for (size_t j = 0; j < 2 && i % 4 != 0; j++) /* the others stay until drain_s is over */
            shutdown(others[j], SHUT_RDWR);
        assert_ends(scene.rpd, 0);
        const char *text = process_stderr(scene.rpd);
        cr_assert(strstr(text, "orders asked for it: a client wants it") &&
                      strstr(text, "test: all clients are closed") && !strstr(text, "WRONG"),
                  "%s: %s", scripts[i], text);
        close(others[0]);
        close(others[1]);
        process_free(scene.rpd);
        temp_dir_remove(scene.dir);
    }
}
