/* librpd-client: it finds a running service without starting a process, and starts one that does
 * not run. Its errors are those of rpd. */
#include "common.h"
#include "observe/state_view.h"

#include "other_user.h"

#include <rpd/client.h>

#include <netinet/in.h>
#include <pthread.h>
#include <sys/pidfd.h>
#include <sys/resource.h>

struct scene {
    const char *dir, *config, *endpoint;
};

static struct scene make_scene(void)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.config = textf("%s/c.json", scene.dir);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    cr_assert_eq(mkdir(textf("%s/run", scene.dir), 0700), 0);
    setenv("RPD_RUNTIME_DIR", textf("%s/run", scene.dir), 1);
    setenv("XDG_STATE_HOME", textf("%s/state", scene.dir), 1);
    setenv("RPDCTL", build_path("rpdctl"), 1);
    return scene;
}

static void configure(const struct scene *scene, const char *plugin, const char *options)
{
    write_text(
        scene->config,
        textf("{\"services\":[{\"name\":\"x\",\"idle_exit_s\":200,\"plugin\":\"%s\",\"listen\":["
              "\"%s\",\"tcp:127.0.0.1:0\"],\"options\":{%s}}]}",
              build_path(plugin), scene->endpoint, options));
}

/* The pid at the other end of a unix socket. */
static pid_t pid_of(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
    return peer.pid;
}

static void end_process(pid_t pid, int signal_number)
{
    struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};

    cr_assert_geq(end.fd, 0);
    pidfd_send_signal(end.fd, signal_number, NULL, 0);
    cr_assert_eq(poll(&end, 1, 60000), 1, "%d does not end", (int)pid);
    close(end.fd);
}

static int connected(const struct scene *scene)
{
    struct rpd_client_error error;
    const int fd = rpd_connect(scene->config, "x", 60000, &error);

    cr_assert_geq(fd, 0, "%d: %s", error.code, error.text);
    return fd;
}

static void leave(const struct scene *scene, pid_t pid)
{
    if (pid > 0)
        end_process(pid, SIGTERM);
    temp_dir_remove(scene->dir);
}

Test(client, starts_then_connects)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "");
    const int fd = connected(&scene);
    const pid_t pid = pid_of(fd);
    char answer[16];

    cr_expect_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    cr_expect_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    tell(fd, "hello");
    cr_expect_eq(read_line(fd, answer, sizeof answer), 6);
    close(fd);
    const int again = connected(&scene);
    cr_expect_eq(pid_of(again), pid);
    close(again);
    leave(&scene, pid);
}

/* For a running service no process is started, and no descriptor stays open. */
Test(client, one_that_lives_needs_no_process)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "");
    int fd = connected(&scene);
    const pid_t pid = pid_of(fd);
    close(fd);
    setenv("RPDCTL", "/nonexistent", 1);
    const int descriptors = count_fds(getpid());

    for (int i = 0; i < 100; i++) {
        cr_assert_eq(rpd_ensure(scene.config, "x", NULL), 0);
        cr_assert_eq(rpd_ensure(NULL, "x", NULL), 0);
        close(connected(&scene));
    }
    cr_expect_eq(count_fds(getpid()), descriptors);
    leave(&scene, pid);
}

Test(client, without_a_configuration_nothing_is_started)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;

    cr_expect_eq(rpd_ensure(NULL, "x", &error), -1);
    cr_expect_eq(error.code, RPD_CLIENT_NOT_RUNNING);
    cr_expect(strstr(error.text, "is not running"), "%s", error.text);
    cr_expect_eq(rpd_connect(NULL, "x", 1000, &error), -1);
    cr_expect_eq(rpd_connect(NULL, "x", 1000, NULL), -1);
    leave(&scene, 0);
}

Test(client, a_failed_start_says_why)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;

    configure(&scene, "plugins/none.so", "");
    cr_expect_eq(rpd_ensure(scene.config, "x", &error), -1);
    cr_expect_eq(error.code, 66);
    cr_expect(strncmp(error.text, "rpd: inspect: ", 14) == 0, "%s", error.text);
    configure(&scene, "tests/plugins/misbehave.so", "\"number\":99");
    cr_expect_eq(rpd_connect(scene.config, "x", 60000, &error), -1);
    cr_expect_eq(error.code, 78, "%d: %s", error.code, error.text);
    leave(&scene, 0);
}

Test(client, bad_arguments_are_told)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;

    cr_expect_eq(rpd_ensure(scene.config, NULL, &error), -1);
    cr_expect_eq(error.code, 64);
    cr_expect_eq(rpd_ensure(NULL, "../x", &error), -1);
    cr_expect_eq(error.code, RPD_CLIENT_NOT_RUNNING);
    setenv("RPDCTL", "/nonexistent", 1);
    configure(&scene, "plugins/echo.so", "");
    cr_expect_eq(rpd_ensure(scene.config, "x", &error), -1);
    cr_expect(error.code == 71 && strstr(error.text, "RPDCTL"), "%d: %s", error.code, error.text);
    leave(&scene, 0);
}

Test(client, a_service_that_the_configuration_does_not_have)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;
    configure(&scene, "plugins/echo.so", "");

    cr_expect_eq(rpd_ensure(scene.config, "y", &error), -1);
    cr_expect_eq(error.code, RPD_CLIENT_NOT_RUNNING);
    cr_expect(strstr(error.text, "does that file have this service?"), "%s", error.text);
    const int fd = connected(&scene);
    const pid_t pid = pid_of(fd);
    close(fd);
    leave(&scene, pid);
}

Test(client, one_that_was_killed_is_started_again)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "");
    int fd = connected(&scene);
    const pid_t first = pid_of(fd);

    close(fd);
    end_process(first, SIGKILL);
    fd = connected(&scene);
    const pid_t second = pid_of(fd);
    cr_expect_neq(second, first);
    close(fd);
    leave(&scene, second);
}

/* The client waits for a full backlog, but no longer than its time-out. */
Test(client, waits_for_room_in_the_backlog)
{
    const struct scene scene = make_scene();
    int fds[64], count = 0;
    struct rpd_client_error error;

    write_text(scene.config,
               textf("{\"services\":[{\"name\":\"x\",\"plugin\":\"%s\",\"warmup\":\"backlog\","
                     "\"listen\":[{\"endpoint\":\"%s\",\"backlog\":1}],"
                     "\"options\":{\"load_s\":2}}]}",
                     build_path("samples/slow_start.so"), scene.endpoint));
    const int first = connected(&scene);
    const pid_t pid = pid_of(first);
    while (count < 64 && (fds[count] = rpd_connect(scene.config, "x", 100, &error)) >= 0)
        count++;
    cr_assert_lt(count, 64, "the backlog was never full");
    cr_expect_eq(error.code, RPD_CLIENT_TIMED_OUT, "%d: %s", error.code, error.text);
    /* The service takes connections once it is ready. */
    const int last = connected(&scene);
    close(last);
    while (count > 0)
        close(fds[--count]);
    close(first);
    leave(&scene, pid);
}

static void *connect_often(void *arg)
{
    for (int i = 0; i < 50; i++)
        close(connected(arg));
    return NULL;
}

Test(client, any_thread_may_call)
{
    struct scene scene = make_scene();
    pthread_t threads[8];
    configure(&scene, "plugins/echo.so", "");

    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, connect_often, &scene), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    const int fd = connected(&scene);
    const pid_t pid = pid_of(fd);
    close(fd);
    leave(&scene, pid);
}

/* A program that has children of its own, or ignores them, is not disturbed. */
Test(client, callers_that_ignore_their_children)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "");
    signal(SIGCHLD, SIG_IGN);
    const int fd = connected(&scene);
    const pid_t pid = pid_of(fd);

    signal(SIGCHLD, SIG_DFL);
    close(fd);
    leave(&scene, pid);
}

/* Then the exit code of rpdctl is lost, but not its error; and rpdctl is not run again and
 * again. */
Test(client, callers_that_ignore_their_children_hear_why)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;

    configure(&scene, "tests/plugins/misbehave.so", "\"number\":99");
    signal(SIGCHLD, SIG_IGN);
    cr_expect_eq(rpd_connect(scene.config, "x", 60000, &error), -1);
    signal(SIGCHLD, SIG_DFL);
    cr_expect_eq(error.code, 70);
    cr_expect(strstr(error.text, "number"), "%s", error.text);
    cr_expect_eq(lines_with(file_read(textf("%s/run/x.history", scene.dir)), " ended 78 "), 1);
    leave(&scene, 0);
}

/* The first descriptors that such a program opens are its standard streams. */
Test(client, callers_without_streams_hear_why)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;
    int saved[3];

    configure(&scene, "plugins/none.so", "");
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
        close(i);
    }
    const int failed = rpd_ensure(scene.config, "x", &error);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    cr_expect_eq(failed, -1);
    cr_expect_eq(error.code, 66, "%d", error.code);
    cr_expect(strncmp(error.text, "rpd: inspect: ", 14) == 0, "%s", error.text);
    leave(&scene, 0);
}

static uint32_t phase_of(const struct scene *scene)
{
    const int dirfd = open(textf("%s/run", scene->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rpd_state_page page;

    cr_assert_eq(state_view_read(dirfd, "x", &page), 0, "%s", strerror(errno));
    close(dirfd);
    return page.phase;
}

/* The daemon takes no more clients, however long its present ones take. */
Test(client, one_that_drains_is_not_there)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;

    write_text(scene.config,
               textf("{\"drain_s\":100,\"services\":[{\"name\":\"x\",\"plugin\":\"%s\","
                     "\"listen\":[\"%s\"]}]}",
                     test_plugin("talk"), scene.endpoint));
    struct process *rpd = RPD_START(textf("%s/run", scene.dir), "-c", scene.config);
    assert_line(rpd, ": ready ");
    const int fd = client(scene.endpoint);
    tell(fd, "job 3000000 never");
    assert_text(ask(fd, "echo x"), "x", rpd);
    cr_assert_eq(rpd_ensure(NULL, "x", &error), 0, "%s", error.text);
    process_signal(rpd, SIGTERM);
    for (int i = 0; phase_of(&scene) < RPD_PHASE_DRAINING && i < 20000; i++)
        poll(NULL, 0, 1); /* no observer is notified */
    cr_assert_eq(phase_of(&scene), RPD_PHASE_DRAINING);
    cr_assert_eq(rpd_ensure(NULL, "x", &error), -1);
    cr_assert_eq(error.code, RPD_CLIENT_NOT_RUNNING, "%d: %s", error.code, error.text);
    cr_assert_eq(phase_of(&scene), RPD_PHASE_DRAINING);
    close(fd);
    process_free(rpd);
    temp_dir_remove(scene.dir);
}

/* What a third user is told of the service: RPD_CLIENT_ codes, or 0. */
static int code_for_user(uid_t user)
{
    int status;
    const pid_t pid = fork();

    if (pid == 0) {
        struct rpd_client_error error = {0};

        become_user(user, user);
        _exit(rpd_ensure(NULL, "x", &error) == 0 ? 0 : error.code);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

/* The owner of the directory could claim that the service runs, and where. Root trusts every user
 * for that user's services; others trust root, and themselves. */
Test(client, a_directory_of_another_user_is_not_believed)
{
    const struct scene scene = make_scene();
    const char *run = textf("%s/run", scene.dir);
    configure(&scene, "plugins/echo.so", "");
    if (geteuid() != 0)
        cr_skip("only root can give a directory away");
    const int fd = connected(&scene);
    const pid_t pid = pid_of(fd);

    cr_assert_eq(chmod(scene.dir, 0755), 0);
    cr_assert_eq(chmod(run, 0755), 0);
    cr_expect_eq(rpd_ensure(NULL, "x", NULL), 0);
    cr_expect_eq(code_for_user(OTHER_USER), 0, "root's is believed");
    cr_assert_eq(chown(run, OTHER_USER, OTHER_USER), 0);
    cr_expect_eq(rpd_ensure(NULL, "x", NULL), 0);
    cr_expect_eq(code_for_user(THIRD_USER), 77);
    cr_assert_eq(chown(run, 0, 0), 0);
    close(fd);
    leave(&scene, pid);
}

static bool user_finds_it(uid_t user)
{
    const pid_t child = fork();
    int status = -1;

    if (child == 0)
        _exit(setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0
                  ? rpd_ensure(NULL, "x", NULL) == 0
                  : 2);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2, "status %d", status);
    return WEXITSTATUS(status) == 1;
}

/* Everyone trusts root's own directory: a member of a socket's group connects there. */
Test(client, a_directory_of_root_is_believed_by_others)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "");
    if (geteuid() != 0)
        cr_skip("only root can become another user");
    const int fd = connected(&scene);
    const pid_t pid = pid_of(fd);

    cr_assert(chmod(scene.dir, 0755) == 0 && chmod(textf("%s/run", scene.dir), 0755) == 0);
    cr_expect(user_finds_it(0));
    cr_expect(user_finds_it(65534));
    close(fd);
    leave(&scene, pid);
}

Test(client, tcp_alone)
{
    const struct scene scene = make_scene();
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;

    write_text(scene.config, textf("{\"services\":[{\"name\":\"x\",\"plugin\":\"%s\",\"listen\":["
                                   "\"tcp:*:0\"]}]}",
                                   build_path("plugins/echo.so")));
    const int fd = connected(&scene);
    char answer[8];
    cr_assert_eq(getpeername(fd, (struct sockaddr *)&peer, &size), 0);
    cr_expect_eq(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    tell(fd, "hi");
    cr_expect_eq(read_line(fd, answer, sizeof answer), 3);
    close(fd);
    const char *record = file_read(textf("%s/run/x.json", scene.dir));
    leave(&scene, atoi(strstr(record, "\"pid\": ") + 7));
}

/* The sample command, in C or in Python: its first call starts the service, its second finds it. */
static const char *run_sample(const struct scene *scene, const char *const *program)
{
    const char *const argv[] = {program[0],
                                program[1] ? program[1] : scene->config,
                                program[1] ? scene->config : "on",
                                program[1] ? "on" : "t",
                                program[1] ? "t" : "x",
                                program[1] ? "x" : NULL,
                                NULL};
    struct process *sample = process_start(&(struct process_options){.argv = argv});

    cr_assert_eq(process_code(process_wait_exit(sample)), 0, "%s", process_stderr(sample));
    const char *text = textf("%s", process_stdout(sample));
    process_free(sample);
    return text;
}

static void check_sample(const char *const *program)
{
    const struct scene scene = make_scene();
    const char *names = textf("%s/names", scene.dir);

    cr_assert_eq(mkdir(names, 0700), 0);
    write_text(textf("%s/one", names), "");
    write_text(textf("%s/two", names), "");
    write_text(scene.config,
               textf("{\"services\":[{\"name\":\"index\",\"plugin\":\"%s\",\"listen\":[\"%s\"],"
                     "\"options\":{\"directory\":\"%s\"}}]}",
                     build_path("samples/index.so"), scene.endpoint, names));
    cr_expect_str_eq(run_sample(&scene, program), "one\ntwo\n?\n");
    const char *record = textf("%s/run/index.json", scene.dir);
    const char *first = file_read(record);
    cr_assert_not_null(first);
    cr_expect_str_eq(run_sample(&scene, program), "one\ntwo\n?\n");
    cr_expect_str_eq(file_read(record), first, "a second daemon");
    /* A record without a live daemon is no obstacle. */
    end_process(atoi(strstr(first, "\"pid\": ") + 7), SIGKILL);
    cr_expect_str_eq(run_sample(&scene, program), "one\ntwo\n?\n");
    leave(&scene, atoi(strstr(file_read(record), "\"pid\": ") + 7));
}

Test(client, sample)
{
    check_sample(ARGS(build_path("samples/client")));
}

#define PYTHON "/usr/bin/python3", RPD_SOURCE_DIR "/samples/client.py"

Test(client, sample_in_python)
{
    if (access("/usr/bin/python3", X_OK) != 0)
        cr_skip("needs python3");
    check_sample(ARGS(PYTHON));
}

Test(client, sample_in_python_says_why_not)
{
    const struct scene scene = make_scene();

    if (access("/usr/bin/python3", X_OK) != 0)
        cr_skip("needs python3");
    struct process *sample = process_start(
        &(struct process_options){.argv = ARGS(PYTHON, scene.config, "on")});
    cr_expect_eq(process_code(process_wait_exit(sample)), 66);
    cr_expect(strstr(process_stderr(sample), scene.config), "%s", process_stderr(sample));
    process_free(sample);
    leave(&scene, 0);
}

Test(client, sample_says_why_not)
{
    const struct scene scene = make_scene();
    struct process *sample = process_start(
        &(struct process_options){.argv = ARGS(build_path("samples/client"), scene.config, "on")});

    cr_expect_eq(process_code(process_wait_exit(sample)), 66);
    cr_expect(strstr(process_stderr(sample), scene.config), "%s", process_stderr(sample));
    process_free(sample);
    leave(&scene, 0);
}

/* ---- without waiting --------------------------------------------------------------------- */

/* As an event loop does it: polls, then takes a step. No step may take long, which cannot be timed
 * on a busy machine. So the test counts the waits: the client must have polled. */
static int connect_by_steps(const char *config, int timeout_ms, int *ret_polls,
                            struct rpd_client_error *error)
{
    struct rpd_connecting *connecting = rpd_connect_start(config, "x", timeout_ms);
    int fd = RPD_CONNECT_AGAIN;

    cr_assert_not_null(connecting, "%s", strerror(errno));
    for (*ret_polls = 0; fd == RPD_CONNECT_AGAIN; ++*ret_polls) {
        struct pollfd step = {.fd = rpd_connect_fd(connecting), .events = POLLIN};
        cr_assert_eq(poll(&step, 1, 60000), 1, "nothing to do for 60 s");
        fd = rpd_connect_step(connecting, error);
    }
    rpd_connect_free(connecting);
    return fd;
}

Test(client, by_steps_it_starts_then_connects)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;
    int polls;

    configure(&scene, "plugins/echo.so", "");
    const int descriptors = count_fds(getpid());
    const int fd = connect_by_steps(scene.config, 60000, &polls, &error);
    cr_assert_geq(fd, 0, "%d: %s", error.code, error.text);
    cr_expect_gt(polls, 1, "a start was waited for");
    const pid_t pid = pid_of(fd);
    cr_expect_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    cr_expect_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    cr_expect_str_eq(ask(fd, "hello"), "hello");
    close(fd);
    /* For a running service no process is needed, and one step is enough. */
    setenv("RPDCTL", "/nonexistent", 1);
    for (int i = 0; i < 20; i++) {
        const int again = connect_by_steps(scene.config, -1, &polls, &error);
        cr_assert_geq(again, 0, "%d: %s", error.code, error.text);
        cr_expect_eq(polls, 1);
        cr_expect_eq(pid_of(again), pid);
        close(again);
    }
    cr_expect_eq(count_fds(getpid()), descriptors);
    leave(&scene, pid);
}

Test(client, by_steps_a_failed_start_says_why)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;
    int polls;

    configure(&scene, "plugins/echo.so", "\"nothing\":1");
    cr_assert_eq(connect_by_steps(scene.config, 60000, &polls, &error), -1);
    cr_expect_eq(error.code, 78, "%d: %s", error.code, error.text);
    cr_expect(strstr(error.text, "nothing"), "%s", error.text);
    cr_assert_eq(connect_by_steps(NULL, 60000, &polls, &error), -1);
    cr_expect_eq(error.code, RPD_CLIENT_NOT_RUNNING, "%d: %s", error.code, error.text);
    cr_assert_null(rpd_connect_start(scene.config, NULL, 0));
    cr_expect_eq(errno, EINVAL);
    leave(&scene, 0);
}

Test(client, by_steps_a_full_backlog_is_waited_for)
{
    const struct scene scene = make_scene();
    int fds[64], count = 0, polls;
    struct rpd_client_error error;

    write_text(scene.config,
               textf("{\"services\":[{\"name\":\"x\",\"plugin\":\"%s\",\"warmup\":\"backlog\","
                     "\"listen\":[{\"endpoint\":\"%s\",\"backlog\":1}],"
                     "\"options\":{\"load_s\":2}}]}",
                     build_path("samples/slow_start.so"), scene.endpoint));
    const int first = connected(&scene);
    const pid_t pid = pid_of(first);
    while (count < 64 && (fds[count] = connect_by_steps(scene.config, 100, &polls, &error)) >= 0)
        count++;
    cr_assert_lt(count, 64, "the backlog was never full");
    cr_expect_eq(error.code, RPD_CLIENT_TIMED_OUT, "%d: %s", error.code, error.text);
    cr_expect_gt(polls, 2);
    const int last = connect_by_steps(scene.config, 60000, &polls, &error);
    cr_assert_geq(last, 0, "%d: %s", error.code, error.text);
    close(last);
    while (count > 0)
        close(fds[--count]);
    close(first);
    leave(&scene, pid);
}

/* In each of its states; a start that has begun continues. */
Test(client, by_steps_it_can_be_given_up)
{
    const struct scene scene = make_scene();
    const int descriptors = count_fds(getpid());
    pid_t pid = 0;

    configure(&scene, "plugins/echo.so", "");
    rpd_connect_free(NULL);
    for (int steps = 0; steps < 4; steps++) {
        struct rpd_connecting *connecting = rpd_connect_start(scene.config, "x", 60000);
        int fd = RPD_CONNECT_AGAIN;
        cr_assert_not_null(connecting);
        for (int i = 0; i < steps && fd == RPD_CONNECT_AGAIN; i++) {
            struct pollfd step = {.fd = rpd_connect_fd(connecting), .events = POLLIN};
            cr_assert_eq(poll(&step, 1, 60000), 1);
            fd = rpd_connect_step(connecting, NULL);
        }
        rpd_connect_free(connecting);
        if (fd >= 0)
            close(fd);
    }
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
    cr_expect_eq(count_fds(getpid()), descriptors);
    const int fd = connected(&scene);
    pid = pid_of(fd);
    close(fd);
    leave(&scene, pid);
}

Test(client, by_steps_on_tcp)
{
    const struct scene scene = make_scene();
    struct rpd_client_error error;
    int polls;

    write_text(scene.config, textf("{\"services\":[{\"name\":\"x\",\"plugin\":\"%s\","
                                   "\"listen\":[\"tcp:127.0.0.1:0\"]}]}",
                                   build_path("plugins/echo.so")));
    const int fd = connect_by_steps(scene.config, 60000, &polls, &error);
    cr_assert_geq(fd, 0, "%d: %s", error.code, error.text);
    cr_expect_str_eq(ask(fd, "hello"), "hello");
    close(fd);
    const char *record = file_read(textf("%s/run/x.json", scene.dir));
    leave(&scene, atoi(strstr(record, "\"pid\": ") + 7));
}
