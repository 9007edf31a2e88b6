/* Reloads of what can change while a daemon runs: each change takes effect at once, all of them or
 * none, and no client notices. Each test runs without a keeper and with one. */
#include "rpdctl_run.h"

#include <criterion/parameterized.h>

#include <pthread.h>
#include <stdatomic.h>

static const char *tunes(void)
{
    return test_plugin("tunes");
}

struct scene {
    const char *dir, *run, *config, *path, *endpoint;
    const char *top; /* what every configuration of the scene begins with */
    struct process *rpd;
};

/* top: of the document; service: of the service, behind its name, plugin and endpoint. */
static void configure(const struct scene *scene, const char *top, const char *listen,
                      const char *service)
{
    const char *next = textf("%s.next", scene->config);

    write_text(next, textf("{%s%s\"services\":[{\"name\":\"tunes\",\"plugin\":\"%s\",\"listen\":[{"
                           "\"endpoint\":\"%s\"%s}]%s}]}",
                           scene->top, top, tunes(), scene->endpoint, listen, service));
    cr_assert_eq(rename(next, scene->config), 0);
}

static struct scene begin(const char *top, const char *more, const char *service)
{
    const char *dir = temp_dir_make();
    struct scene scene = {.dir = dir,
                          .run = make_run(dir),
                          .config = textf("%s/rpd.json", dir),
                          .path = textf("%s/x.sock", dir),
                          .endpoint = textf("unix:%s/x.sock", dir),
                          .top = top};

    configure(&scene, more, "", service);
    scene.rpd = RPD_START(scene.run, "-c", scene.config);
    cr_assert_eq(process_wait_bound(scene.rpd), 0, "%s", process_stderr(scene.rpd));
    assert_code(RPDCTL_ON(scene.run, "wait", "tunes", "--ready"), 0);
    return scene;
}

static void end(struct scene *scene)
{
    cr_assert_eq(process_code(process_stop(scene->rpd)), 0, "%s", process_stderr(scene->rpd));
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

static struct outcome reload(const struct scene *scene)
{
    return RPDCTL_ON(scene->run, "reload", "tunes");
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    cr_assert_eq(lstat(path, &status), 0);
    return status.st_mode & 07777;
}

static const char *const tops[] = {"", "\"keeper\":true,"};

#define EACH_WAY(name)                                                                             \
    ParameterizedTestParameters(reload, name)                                                      \
    {                                                                                              \
        static size_t ways[] = {0, 1};                                                             \
        return cr_make_param_array(size_t, ways, WAYS);                                            \
    }                                                                                              \
    ParameterizedTest(const size_t *way, reload, name)

enum { WAYS = 2 };

EACH_WAY(values_change_at_once)
{
    struct scene scene = begin(tops[*way], "", ",\"options\":{\"word\":\"one\"}");
    const int fd = client(scene.endpoint);
    struct outcome outcome;

    cr_assert_str_eq(ask(fd, "?"), "one one 0");
    configure(&scene, "\"drain_s\":3,", ",\"mode\":\"0640\",\"backlog\":77",
              ",\"limits\":{\"clients\":7},\"options\":{\"word\":\"two\"}");
    outcome = RPDCTL_ON(scene.run, "reload", "tunes", "--check");
    assert_code(outcome, 0);
    assert_has(outcome.out, "drain_s: 10 -> 3 (live)\n");
    assert_has(outcome.out, "services[tunes].limits.clients: 0 -> 7 (live)\n");
    assert_has(outcome.out, "services[tunes].options.word: one -> two (live)\n");
    assert_has(outcome.out, ".mode: 0600 -> 0640 (live)\n");
    assert_has(outcome.out, ".backlog: 4096 -> 77 (live)\n");
    cr_assert_str_eq(ask(fd, "?"), "one one 0"); /* that was only a check */
    cr_assert_eq(mode_of(scene.path), 0600);
    outcome = reload(&scene);
    assert_code(outcome, 0);
    assert_has(outcome.out, "services[tunes].options.word: one -> two (live)\n");
    cr_assert_str_eq(ask(fd, "?"), "two one 1"); /* the old string is still there */
    cr_assert_eq(mode_of(scene.path), 0640);
    outcome = reload(&scene);
    assert_code(outcome, 0);
    cr_assert_str_eq(outcome.out, "tunes: nothing has changed\n");
    cr_assert_str_eq(ask(fd, "?"), "two one 1");
    /* The record says what it runs with now. */
    outcome = RPDCTL_ON(scene.run, "ensure", scene.config);
    assert_code(outcome, 0);
    assert_has_not(outcome.err, "differ");
    close(fd);
    end(&scene);
}

/* One mistake, and nothing has happened. */
EACH_WAY(all_or_nothing)
{
    struct scene scene = begin(tops[*way], "", ",\"options\":{\"word\":\"one\"}");
    const int fd = client(scene.endpoint);
    const struct {
        const char *top, *listen, *service;
        int code;
        const char *error;
    } rows[] = {
        {"\"drain_s\":3,", ",\"mode\":\"0640\"", ",\"options\":{\"word\":\"two\",\"count\":11}", 78,
         "$.services[0].options.count: expected an integer from 0 to 10, found 11"},
        {"\"drain_s\":3,", ",\"mode\":\"0640\"", ",\"options\":{\"word\":\"two\",\"wurd\":1}", 78,
         "$.services[0].options.wurd: "},
        {"\"drain_s\":3,\"drain\":1,", "", ",\"options\":{\"word\":\"two\"}", 78,
         "$.drain: unknown key"},
        {"", ",\"mode\":\"0640\",\"group\":\"no-such-group\"", ",\"options\":{\"word\":\"two\"}",
         78, "there is no such group"},
        {"\"drain_s\":3,", ",\"mode\":\"0640\"",
         ",\"options\":{\"word\":\"two\"},\"limits\":{\"clients\":-1}", 78,
         "$.services[0].limits.clients"},
        {"\"notify\":\"ready\",", ",\"mode\":\"0640\"", ",\"options\":{\"word\":\"two\"}", 78,
         "reload: notify: changed, which takes a restart; nothing was changed"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome outcome;

        configure(&scene, rows[i].top, rows[i].listen, rows[i].service);
        outcome = reload(&scene);
        assert_code(outcome, rows[i].code);
        assert_has(outcome.err, rows[i].error);
        cr_assert_str_eq(ask(fd, "?"), "one one 0", "%s", rows[i].error);
        cr_assert_eq(mode_of(scene.path), 0600, "%s", rows[i].error);
    }
    write_text(scene.config, "{\"services\": [}");
    const struct outcome outcome = reload(&scene);
    assert_code(outcome, 78);
    assert_has(outcome.err, textf("rpd: config: %s:1:15: this is not JSON", scene.config));
    cr_assert_eq(unlink(scene.config), 0);
    assert_code(reload(&scene), 66);
    cr_assert_str_eq(ask(fd, "?"), "one one 0");
    close(fd);
    end(&scene);
}

Test(reload, a_generation_needs_a_keeper)
{
    struct scene scene = begin("", "", "");
    const int fd = client(scene.endpoint);
    struct outcome outcome;

    NOT_WITH_KEEPER("it has one then");
    configure(&scene, "\"workers\":2,\"drain_s\":3,", ",\"mode\":\"0640\"",
              ",\"warmup\":\"refuse\"");
    outcome = RPDCTL_ON(scene.run, "reload", "tunes", "--check");
    assert_code(outcome, 78);
    assert_has(outcome.out, "workers: 4 -> 2 (generation)\n");
    assert_has(outcome.err, "rpd: reload: services[tunes].warmup, workers: changed, which takes a "
                            "new generation, and there is no keeper; nothing was changed");
    assert_code(reload(&scene), 78);
    cr_assert_eq(mode_of(scene.path), 0600);
    assert_code(RPDCTL_ON(scene.run, "reload", "tunes", "--fresh"), 78);
    cr_assert_str_eq(ask(fd, "?"), "none none 0");
    close(fd);
    end(&scene);
}

/* Limits hold for clients that are there, too. */
EACH_WAY(limits_of_clients_that_are_there)
{
    struct scene scene = begin(tops[*way], "", ",\"limits\":{\"clients\":1}");
    const int first = client(scene.endpoint), second = client(scene.endpoint);
    char byte;

    cr_assert_str_eq(ask(first, "?"), "none none 0");
    tell(second, "?");
    configure(&scene, "", "", ",\"limits\":{\"clients\":2,\"idle_s\":1}");
    assert_code(reload(&scene), 0);
    cr_assert_str_eq(hear_line(second), "none none 0"); /* it waited for a place */
    cr_assert_eq(read(first, &byte, 1), 0);             /* it was idle for more than a second */
    close(first);
    close(second);
    end(&scene);
}

EACH_WAY(sighup)
{
    struct scene scene = begin(tops[*way], "", "");
    const int fd = client(scene.endpoint);

    configure(&scene, "", "", ",\"options\":{\"word\":\"two\"}");
    process_signal(scene.rpd, SIGHUP);
    cr_assert_eq(process_wait_line(scene.rpd, "reload: 1 key changed, at once"), 0, "%s",
                 process_stderr(scene.rpd));
    cr_assert_str_eq(ask(fd, "?"), "two none 1");
    configure(&scene, "\"x\":1,", "", "");
    process_signal(scene.rpd, SIGHUP);
    cr_assert_eq(process_wait_line(scene.rpd, "$.x: unknown key"), 0, "%s",
                 process_stderr(scene.rpd));
    cr_assert_str_eq(ask(fd, "?"), "two none 1");
    close(fd);
    end(&scene);
}

/* ---- many at once --------------------------------------------------------------------------- */

static const char *control_of(const struct scene *scene)
{
    return textf("unix:%s/tunes.control", scene->run);
}

/* Each is answered, by its own id. */
EACH_WAY(many_at_once)
{
    enum { CALLERS = 40 };
    struct scene scene = begin(tops[*way], "", "");
    int callers[CALLERS];

    configure(&scene, "", "", ",\"options\":{\"word\":\"two\"}");
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = client(control_of(&scene));
        tell(callers[i], textf("{\"v\":1,\"id\":%d,\"do\":\"reload\"}", i));
    }
    for (int i = 0; i < CALLERS; i++) {
        const char *answer = hear_line(callers[i]);

        cr_assert_not_null(answer);
        assert_has(answer, textf("\"id\":%d,\"ok\":true", i));
        close(callers[i]);
    }
    end(&scene);
}

/* ---- under load ------------------------------------------------------------------------------ */

enum { PAUSE_US = 500 }; /* some 2,000 connections a second */

struct load {
    const char *endpoint;
    atomic_bool stop;
    atomic_ulong answered, failed;
};

static void *ask_on_new_connections(void *arg)
{
    struct load *load = arg;

    while (!atomic_load(&load->stop)) {
        const int fd = connect_to(load->endpoint);
        char answer[64];
        ssize_t got = -1;

        if (fd >= 0 && send_all(fd, "?\n", 2) == 0)
            got = read(fd, answer, sizeof answer);
        atomic_fetch_add(got > 0 ? &load->answered : &load->failed, 1);
        if (fd >= 0)
            close(fd);
        usleep(PAUSE_US);
    }
    return NULL;
}

/* 200 reloads, in the long form 1,000, while clients come all the time. */
EACH_WAY(no_client_notices)
{
    enum { THREADS = 2 };
    const int reloads = getenv("RPD_TEST_LONG") ? 1000 : 200;
    struct scene scene = begin(tops[*way], "", "");
    struct load load = {.endpoint = scene.endpoint};
    pthread_t threads[THREADS];
    const int control = client(control_of(&scene));
    const int64_t since_ns = now_ns();
    double seconds;

    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask_on_new_connections, &load), 0);
    for (int i = 0; i < reloads; i++) {
        const char *answer;

        configure(&scene, "", i % 2 ? ",\"backlog\":99" : "",
                  textf(",\"limits\":{\"clients\":%d},\"options\":{\"word\":\"w%d\"}", 100 + i, i));
        answer = ask(control, "{\"v\":1,\"id\":1,\"do\":\"reload\"}");
        cr_assert(answer && strstr(answer, "\"ok\":true"), "%d: %s\n%s", i, answer,
                  process_stderr(scene.rpd));
    }
    atomic_store(&load.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    seconds = (double)(now_ns() - since_ns) / 1e9;
    cr_log_info("%d reloads in %.1f s, %.0f new connections a second", reloads, seconds,
                (double)atomic_load(&load.answered) / seconds);
    cr_assert_eq(atomic_load(&load.failed), 0, "%s", process_stderr(scene.rpd));
    cr_assert_gt(atomic_load(&load.answered), 0);
    close(control);
    end(&scene);
}

/* ---- the service manager -----------------------------------------------------------------------
 */

/* RELOADING=1 around the change, and not around a reload that fails. */
EACH_WAY(the_manager_hears_of_it)
{
    struct scene scene = begin(tops[*way], "", "");
    const char *path = textf("%s/notify", scene.dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[4096], all[16384] = "";
    size_t used = 0;
    ssize_t got;

    cr_assert_eq(process_code(process_stop(scene.rpd)), 0);
    process_free(scene.rpd);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    cr_assert_eq(bind(manager, (struct sockaddr *)&address, sizeof address), 0);
    scene.rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", scene.config),
                                  .runtime_dir = scene.run,
                                  .notify = true,
                                  .env = ARGS(textf("NOTIFY_SOCKET=%s", path))});
    cr_assert_eq(process_wait_bound(scene.rpd), 0);
    assert_code(RPDCTL_ON(scene.run, "wait", "tunes", "--ready"), 0);
    configure(&scene, "\"drain_s\":-1,", "", "");
    assert_code(reload(&scene), 78);
    configure(&scene, "\"drain_s\":4,", "", "");
    assert_code(reload(&scene), 0);
    cr_assert_eq(process_code(process_stop(scene.rpd)), 0);
    while ((got = recv(manager, text, sizeof text - 1, MSG_DONTWAIT)) > 0) {
        text[got] = '\0';
        used += (size_t)snprintf(all + used, sizeof all - used, "<%s>", text);
    }
    cr_assert_eq(lines_with(all, "RELOADING=1"), 1, "%s", all);
    assert_has(all, "<RELOADING=1\nMONOTONIC_USEC=");
    assert_has(strstr(all, "RELOADING=1"), "<READY=1");
    close(manager);
    scene.rpd = RPD_START(scene.run, "-c", scene.config);
    cr_assert_eq(process_wait_bound(scene.rpd), 0);
    end(&scene);
}
