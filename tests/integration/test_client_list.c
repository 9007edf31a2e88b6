/* rpdctl clients: the list of clients, what each waits for, and the end of one. */
#include "common.h"
#include "rpdctl_run.h"

struct scene {
    const char *dir, *run, *endpoint, *go;
    struct process *rpd;
};

static struct scene start(bool waits)
{
    struct scene scene = {.dir = temp_dir_make()};
    const char *config = textf("%s/rpd.json", scene.dir);

    scene.run = make_run(scene.dir);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    scene.go = textf("%s/go", scene.dir);
    write_text(config,
               textf("{\"services\":[{\"name\":\"demo\",\"plugin\":\"%s\",\"listen\":[\"%s\","
                     "\"tcp:127.0.0.1:0\"],\"options\":{\"waits_for\":\"%s\"}}]}",
                     test_plugin("counts"), scene.endpoint, waits ? scene.go : ""));
    scene.rpd = RPD_START(scene.run, "-c", config);
    assert_bound(scene.rpd);
    return scene;
}

static void end_scene(struct scene *scene)
{
    assert_stops(scene->rpd);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

static const char *list(const struct scene *scene)
{
    const struct outcome outcome = RPDCTL_ON(scene->run, "clients", "demo");

    assert_code(outcome, 0);
    return outcome.out;
}

/* Waits until a line has this text. */
static const char *await(const struct scene *scene, const char *part)
{
    const int64_t deadline = now_ns() + INT64_C(60000000000);
    const char *text;

    while (!strstr(text = list(scene), part)) {
        cr_assert_lt(now_ns(), deadline, "no \"%s\" in:\n%s", part, text);
        poll(NULL, 0, 10);
    }
    return text;
}

static const char *id_of(const char *text, const char *part)
{
    const char *line = strstr(text, part);

    while (line > text && line[-1] != '\n')
        line--;
    return textf("%ld", strtol(line, NULL, 10));
}

Test(client_list, each_is_there_with_what_it_waits_for)
{
    struct scene scene = start(false);

    assert_line(scene.rpd, ": ready ");
    cr_expect_str_eq(list(&scene), "no client is there\n");
    const int silent = client(scene.endpoint), asks = client(scene.endpoint),
              half = client(scene.endpoint), full = client(scene.endpoint);
    tell(asks, "x");
    cr_assert_str_eq(hear_line(asks), "ok");
    cr_assert_eq(send_all(half, "half", 4), 0);
    tell(full, "write 3000000");
    await(&scene, "the client, to read its answer");
    const char *text = await(&scene, "the rest of a request");
    assert_has(text, "its first byte");
    assert_has(text, "a request");
    assert_has(text, textf("pid %d (", (int)getpid()));
    assert_has(text, textf("uid %d", (int)getuid()));
    cr_expect_eq(lines_with(text, " active "), 4, "%s", text);
    close(silent);
    close(asks);
    close(half);
    close(full);
    end_scene(&scene);
}

Test(client_list, one_can_be_ended_and_no_other)
{
    struct scene scene = start(false);

    assert_line(scene.rpd, ": ready ");
    const int stays = client(scene.endpoint), goes = client(scene.endpoint);
    tell(stays, "x");
    cr_assert_str_eq(hear_line(stays), "ok");
    const char *id = id_of(await(&scene, "its first byte"), "its first byte");
    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", id), 0);
    assert_eof(goes);
    assert_line(scene.rpd, textf("client %s is ended", id));
    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", id), 1);
    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", "999999"), 1);
    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", "x"), 64);
    tell(stays, "x");
    cr_assert_str_eq(hear_line(stays), "ok");
    /* The next client has another id, though it may have the same descriptor. */
    const int next = client(scene.endpoint);
    cr_expect_str_neq(id_of(await(&scene, "its first byte"), "its first byte"), id);
    close(next);
    close(stays);
    close(goes);
    end_scene(&scene);
}

Test(client_list, held_ones_are_there_and_can_be_ended)
{
    struct scene scene = start(true);
    const int goes = client(scene.endpoint);
    const char *text = await(&scene, " held ");

    assert_has(text, "  READY");
    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", id_of(text, " held ")), 0);
    assert_eof(goes);
    close(goes);
    const int stays = client(scene.endpoint);
    tell(stays, "x");
    write_text(scene.go, "");
    cr_assert_str_eq(hear_line(stays), "ok");
    close(stays);
    end_scene(&scene);
}

Test(client_list, of_tcp_has_addresses)
{
    struct scene scene = start(false);
    const char *at;

    assert_line(scene.rpd, ": ready ");
    at = strstr(process_stderr(scene.rpd), "tcp:127.0.0.1:");
    cr_assert_not_null(at);
    const int fd = client(textf("%.*s", (int)strcspn(at, " "), at));
    await(&scene, "127.0.0.1:");
    close(fd);
    end_scene(&scene);
}

Test(client_list, of_nobody_says_so)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct outcome outcome = RPDCTL_ON(run, "clients", "demo");

    assert_code(outcome, 1);
    assert_has(outcome.err, "clients: demo: it is not running");
    temp_dir_remove(dir);
}
