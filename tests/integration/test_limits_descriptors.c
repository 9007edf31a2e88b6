/* Descriptors: when accept() runs out of them, and clients that leave or linger. */
#include "limits_scene.h"

#include <sys/resource.h>

/* ---- descriptors ---- */

static void limit_descriptors(struct process *rpd, rlim_t soft)
{
    struct rlimit limit;

    cr_assert_eq(prlimit(process_pid(rpd), RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = soft > 0 ? soft : limit.rlim_max;
    cr_assert_eq(prlimit(process_pid(rpd), RLIMIT_NOFILE, &limit, NULL), 0);
}

Test(limits, no_descriptors)
{
    enum { CLIENTS = 20, PERIOD_MS = 2500 };
    struct server server = serve_talk("");
    const int old = client(server.endpoint);
    int fds[CLIENTS];

    assert_answered(old, &server);
    limit_descriptors(server.rpd, (rlim_t)count_fds(process_pid(server.rpd)));
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = client(i % 2 ? server.endpoint : server.tcp);
        tell(fds[i], "echo x");
    }
    assert_line(server.rpd, "cannot accept clients (Too many open files)");
    const int64_t cpu = cpu_time_ns(process_pid(server.rpd)), start = now_ns();
    assert_quiet(fds[0], PERIOD_MS);
    const double share = (double)(cpu_time_ns(process_pid(server.rpd)) - cpu) /
                         (double)(now_ns() - start);
    assert_answered(old, &server);
    limit_descriptors(server.rpd, 0);
    const int64_t back = now_ns();
    for (size_t i = 0; i < CLIENTS; i++)
        cr_assert(something_comes(fds[i], 20000), "%s", process_stderr(server.rpd));
    const long took = (long)ms_since(back);
    fprintf(stderr, "without descriptors: %.2f %% CPU, all served again after %ld ms\n",
            share * 100, took);
    cr_assert_lt(share, 0.05);
    cr_assert_lt(took, is_sanitized() ? 5000 : 3000);
    assert_line(server.rpd, "accepts clients again");
    cr_assert_leq(lines_with(process_stderr(server.rpd), "accept"), 10, "%s",
                  process_stderr(server.rpd));
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    close(old);
    end_server(&server);
}

/* ---- the kernel's table ---- */

static long table_size(struct process *rpd)
{
    static const char key[] = "\nFDSize:";
    const char *found = strstr(file_read(textf("/proc/%d/status", (int)process_pid(rpd))), key);

    cr_assert_not_null(found);
    return strtol(found + sizeof key - 1, NULL, 10);
}

/* The daemon has threads, so an accept() that enlarges the table would stop the loop for 10 to 20
 * ms each time. A daemon that makes room for its limit at the start has a table large enough for
 * thousands of clients. */
Test(limits, clients_do_not_enlarge_the_table_of_descriptors)
{
    struct server server = serve_talk("");
    const int fd = client(server.endpoint);
    struct rlimit limit;

    assert_answered(fd, &server);
    cr_assert_eq(prlimit(process_pid(server.rpd), RLIMIT_NOFILE, NULL, &limit), 0);
    cr_assert_geq(table_size(server.rpd), limit.rlim_cur < 16384 ? (long)limit.rlim_cur : 16384);
    close(fd);
    end_server(&server);
}

Test(limits, the_table_of_descriptors_is_no_larger_than_the_limit)
{
    enum { FEW = 256 };
    struct server server = {.dir = temp_dir_make()};
    int fd;

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    server.rpd = process_start(&(struct process_options){
        .argv = ARGS("/bin/sh", "-c", textf("ulimit -n %d; exec \"$0\" \"$@\"", FEW),
                     build_path("rpd"), test_plugin("talk"), "-l", server.endpoint),
        .runtime_dir = textf("%s/run", server.dir),
        .notify = true});
    assert_bound(server.rpd);
    fd = client(server.endpoint);
    assert_answered(fd, &server);
    cr_assert_leq(table_size(server.rpd), FEW);
    close(fd);
    end_server(&server);
}

/* An rpd whose accept4() fails with this error while `file` exists, or every second time. */
static struct server serve_with_accept_error(int error, const char *file)
{
    struct server server = {.dir = temp_dir_make()};

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    server.rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("talk"), "-l", server.endpoint),
        .runtime_dir = textf("%s/run", server.dir),
        .notify = true,
        .env = ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/accept_errors.so")),
                    textf("TEST_ACCEPT_ERROR=%d", error),
                    file ? textf("TEST_ACCEPT_FILE=%s/%s", server.dir, file)
                         : "TEST_ACCEPT_FILE")});
    return server;
}

Test(limits, what_accept_lacks_is_waited_for)
{
    static const int errors[] = {ENFILE, ENOBUFS, ENOMEM};

    for (size_t i = 0; i < 3; i++) {
        struct server server = serve_with_accept_error(errors[i], "lacking");
        const char *file = textf("%s/lacking", server.dir);
        write_text(file, "");
        assert_bound(server.rpd);
        const int fd = client(server.endpoint);
        tell(fd, "echo x");
        assert_line(server.rpd, textf("cannot accept clients (%s)", strerror(errors[i])));
        const int64_t cpu = cpu_time_ns(process_pid(server.rpd));
        assert_quiet(fd, 300);
        cr_assert_lt(cpu_time_ns(process_pid(server.rpd)) - cpu, 50000000);
        unlink(file);
        cr_assert(something_comes(fd, 5000), "%s", process_stderr(server.rpd));
        assert_line(server.rpd, "accepts clients again");
        close(fd);
        end_server(&server);
    }
}

/* An abstract name has no mode that could keep other users out. */
Test(limits, an_abstract_name_is_for_its_user_alone)
{
    if (geteuid() != 0)
        cr_skip("only root can become another user");
    const char *dir = temp_dir_make(), *endpoint = textf("unix:@%s/x", dir);
    struct process *rpd = RPD_START(textf("%s/run", dir), test_plugin("talk"), "-l", endpoint);

    assert_bound(rpd);
    assert_text(ask_once(endpoint, "echo x"), "x", rpd);
    cr_assert_neq(ask_as_nobody(endpoint), 0, "%s", process_stderr(rpd));
    assert_text(ask_once(endpoint, "echo y"), "y", rpd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A client that comes during a shortage waits, and is served when the shortage is over. */
static void lack_and_have_again(struct server *server, const char *file, size_t times)
{
    write_text(file, "");
    const int fd = client(server->endpoint);
    tell(fd, "echo x");
    cr_assert_eq(process_wait_lines(server->rpd, "cannot accept clients (", times), 0, "%s",
                 process_stderr(server->rpd));
    assert_quiet(fd, 0);
    unlink(file);
    cr_assert(something_comes(fd, 20000), "%s", process_stderr(server->rpd));
    cr_assert_eq(process_wait_lines(server->rpd, "accepts clients again", times), 0, "%s",
                 process_stderr(server->rpd));
    close(fd);
}

static void wait_for_accept_pauses(const struct server *server, uint64_t wanted)
{
    const int dirfd = open(textf("%s/run", server->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int64_t deadline = now_ns() + INT64_C(20000000000);
    struct rpd_state_page page;

    do
        cr_assert_eq(state_view_read(dirfd, "talk", &page), 0, "%s", strerror(errno));
    while (page.accept_pauses != wanted && now_ns() < deadline);
    cr_assert_eq(page.accept_pauses, wanted, "%lu", (unsigned long)page.accept_pauses);
    close(dirfd);
}

/* unit/test_acceptor.c tests that the second shortage begins again at 10 ms. */
Test(limits, each_shortage_is_told_and_counted)
{
    struct server server = serve_with_accept_error(EMFILE, "lacking");
    const char *file = textf("%s/lacking", server.dir);

    assert_bound(server.rpd);
    wait_for_accept_pauses(&server, 0);
    for (size_t times = 1; times <= 3; times++) {
        lack_and_have_again(&server, file, times);
        wait_for_accept_pauses(&server, times);
    }
    cr_assert_eq(lines_with(process_stderr(server.rpd), "cannot accept"), 3, "%s",
                 process_stderr(server.rpd));
    end_server(&server);
}

Test(limits, who_leaves_the_queue_harms_nobody)
{
    static const int errors[] = {ECONNABORTED, EPROTO, EPERM, EINTR};

    for (size_t i = 0; i < 4; i++) {
        struct server server = serve_with_accept_error(errors[i], NULL);
        assert_bound(server.rpd);
        for (int k = 0; k < 20; k++)
            assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
        assert_stops(server.rpd);
        cr_assert(!strstr(process_stderr(server.rpd), "cannot accept"), "%s",
                  process_stderr(server.rpd));
        end_server(&server);
    }
}

static void reset(int fd)
{
    static const struct linger hard = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

/* In the middle of a request, in the middle of an answer, and in the queue. */
Test(limits, resets_give_places_back)
{
    enum { ROUNDS = 30 };
    struct server server = serve_talk("\"clients\":3,\"clients_per_peer\":1000");
    const int good = client(server.endpoint);

    assert_answered(good, &server);
    for (int i = 0; i < ROUNDS; i++) {
        const int asking = client(server.tcp), answered = client(server.tcp);
        cr_assert_eq(send_all(asking, "half a requ", 11), 0);
        tell(answered, "big 3000000");
        cr_assert(something_comes(answered, 20000), "%s", process_stderr(server.rpd));
        const int queued = client(server.tcp);
        reset(queued);
        reset(answered);
        reset(asking);
        assert_answered(good, &server);
    }
    const int one = client(server.tcp), two = client(server.endpoint);
    assert_answered(one, &server);
    assert_answered(two, &server);
    close(one);
    close(two);
    close(good);
    end_server(&server);
}

/* Two services that share few descriptors. */
static struct server serve_two_with(const char *nofile)
{
    struct server server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    server.tcp = textf("unix:%s/y.sock", server.dir);
    write_text(config, textf("{\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\"]},"
                             "{\"plugin\":\"%s\",\"name\":\"other\",\"listen\":[\"%s\"]}]}",
                             test_plugin("talk"), server.endpoint, "echo.so", server.tcp));
    server.rpd = process_start(
        &(struct process_options){.argv = ARGS("prlimit", textf("--nofile=%s:%s", nofile, nofile),
                                               build_path("rpd"), "-c", config),
                                  .runtime_dir = textf("%s/run", server.dir),
                                  .notify = true});
    assert_bound(server.rpd);
    return server;
}

/* Clients may not take the last descriptors: all services share them. */
Test(limits, the_last_descriptors_are_not_for_clients)
{
    enum { NOFILE = 128, CLIENTS = 120 };
    struct server server = serve_two_with(textf("%d", NOFILE));
    int fds[CLIENTS];

    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = client(server.endpoint);
        tell(fds[i], "echo x");
    }
    assert_line(server.rpd, "for more there are no descriptors");
    cr_assert_leq(count_fds(process_pid(server.rpd)), NOFILE - 32 + 2, "%d are open",
                  count_fds(process_pid(server.rpd)));
    const int other = client(server.tcp);
    tell(other, "echo x");
    const int64_t cpu = cpu_time_ns(process_pid(server.rpd));
    assert_quiet(other, 500);
    cr_assert_lt(cpu_time_ns(process_pid(server.rpd)) - cpu, 100000000);
    assert_answered(fds[0], &server);
    /* Clients leave one after the other, and so make room for all. */
    for (size_t i = 0; i < CLIENTS; i++) {
        cr_assert(something_comes(fds[i], 20000), "client %zu:\n%s", i, process_stderr(server.rpd));
        close(fds[i]);
    }
    cr_assert(something_comes(other, 20000), "%s", process_stderr(server.rpd));
    assert_line(server.rpd, "no client waits for a descriptor any more");
    cr_assert(!strstr(process_stderr(server.rpd), "cannot accept"), "%s",
              process_stderr(server.rpd));
    close(other);
    end_server(&server);
}

/* Clients that take their answer and stay: only a limited number of descriptors waits for them. */
Test(limits, lingering_is_bounded)
{
    enum { CLIENTS = 1300, LINGERERS = 1024 };
    struct server server = serve_talk("");
    const int before = count_fds(process_pid(server.rpd));
    int *fds = calloc(CLIENTS, sizeof *fds);
    char text[8];

    for (size_t i = 0; i < CLIENTS; i++)
        fds[i] = client(server.endpoint);
    for (size_t i = 0; i < CLIENTS; i++)
        tell(fds[i], "finish 3");
    for (size_t i = 0; i < CLIENTS; i++) {
        cr_assert_eq(read_to_end(fds[i], text, sizeof text), 3, "client %zu", i);
        cr_assert_str_eq(text, "abc");
    }
    /* The last one may already have its end, and be about to close. */
    assert_fds(&server, before + LINGERERS + 1);
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    free(fds);
    end_server(&server);
}

/* A client that has its answer, and still sends a byte now and then, loses its place when its time
 * is over. */
Test(limits, who_drips_does_not_linger)
{
    struct server server = serve_talk("");
    const int fd = client(server.endpoint);
    const int64_t deadline = now_ns() + INT64_C(15000000000);
    char text[8];

    tell(fd, "finish 3");
    cr_assert_eq(read_to_end(fd, text, sizeof text), 3);
    while (send(fd, "x", 1, MSG_NOSIGNAL) == 1 && now_ns() < deadline)
        poll(NULL, 0, 100);
    cr_assert_lt(now_ns(), deadline, "it lingers: %s", process_stderr(server.rpd));
    close(fd);
    end_server(&server);
}
