/* Bodies, answers by jobs, queues, posts and timers, as clients see them: what rpd/body.h and
 * rpd/job.h promise, and what becomes of calls that should not have been made. plugins/bodies.c
 * does what it is told; at its end it says whether all that began has ended. */
#include "common.h"

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

enum { MIB = 1024 * 1024 };

struct server {
    const char *dir, *endpoint, *tcp;
    struct process *rpd;
};

static struct server serve_with(const char *top, const char *options, const char *more)
{
    struct server server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    write_text(config,
               textf("{%s\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\","
                     "\"tcp:127.0.0.1:0\"],\"options\":{\"directory\":\"%s\"%s}%s}]}",
                     top, test_plugin("bodies"), server.endpoint, server.dir, options, more));
    write_text(textf("%s/file", server.dir), "0123456789");
    server.rpd = RPD_START(textf("%s/run", server.dir), "-c", config);
    assert_bound(server.rpd);
    assert_line(server.rpd, ": ready");
    server.tcp = process_endpoint(server.rpd, "tcp:");
    return server;
}

static struct server serve(void)
{
    return serve_with("", "", "");
}

static void end_server(struct server *server)
{
    assert_stops(server->rpd);
    const char *text = process_stderr(server->rpd);
    cr_assert(strstr(text, "test: balanced") && !strstr(text, "WRONG"), "%s", text);
    process_free(server->rpd);
    temp_dir_remove(server->dir);
}

static unsigned char byte_at(size_t at)
{
    return (unsigned char)((at * 2654435761u) >> 13);
}

static char *make_bytes(size_t size)
{
    char *bytes = malloc(size + 1);

    cr_assert(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)byte_at(i);
    return bytes;
}

/* NULL: it cannot be read. To be freed. */
static char *read_whole(const char *path, size_t *ret_size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    char *bytes = fd >= 0 && fstat(fd, &status) == 0 ? malloc((size_t)status.st_size + 1) : NULL;

    if (bytes && pread(fd, bytes, (size_t)status.st_size, 0) != status.st_size) {
        free(bytes);
        bytes = NULL;
    }
    if (bytes)
        *ret_size = (size_t)status.st_size;
    close(fd);
    return bytes;
}

static long memory_kb(struct process *process)
{
    const char *text = file_read(textf("/proc/%d/status", (int)process_pid(process)));
    const char *field = text ? strstr(text, "VmRSS:") : NULL;

    cr_assert(field);
    return strtol(field + 6, NULL, 10);
}

static void make_file(const struct server *server, const char *name, size_t size)
{
    char *bytes = make_bytes(size);

    file_write(textf("%s/%s", server->dir, name), bytes, size);
    free(bytes);
}

static void make_sparse(const struct server *server, const char *name, off_t size)
{
    const int fd = open(textf("%s/%s", server->dir, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert(fd >= 0 && ftruncate(fd, size) == 0);
    close(fd);
}

static void hear(const struct server *server, int fd, const char *wanted)
{
    assert_text(hear_line(fd), wanted, server->rpd);
}

static void ask_for(const struct server *server, int fd, const char *line, const char *wanted)
{
    tell(fd, line);
    hear(server, fd, wanted);
}

/* ---- files ---- */

static void assert_part(const struct server *server, int fd, size_t offset, size_t size)
{
    char *got = malloc(size + 3);
    size_t wrong = 0;

    cr_assert(got);
    cr_assert_eq(read_exactly(fd, got, size + 3), (ssize_t)size + 3, "%s",
                 process_stderr(server->rpd));
    cr_assert(got[0] == '<' && memcmp(got + size + 1, ">\n", 2) == 0, "what is around it");
    for (size_t i = 0; i < size; i++)
        wrong += (unsigned char)got[i + 1] != byte_at(offset + i);
    cr_assert_eq(wrong, 0, "%zu of %zu bytes from %zu on", wrong, size, offset);
    free(got);
}

/* Of all sizes at which something else happens, alone and all in one go. */
static void check_parts(const char *endpoint, const struct server *server)
{
    static const size_t parts[][2] = {
        {0, 0},       {0, 1},       {1, 16383},       {4095, 16384},   {5, 16385},
        {3, 65536},   {0, MIB},     {1, MIB},         {4097, 2 * MIB}, {MIB - 1, MIB + 1},
        {3 * MIB, 0}, {0, 3 * MIB}, {3 * MIB - 1, 1}, {100, 262144},
    };
    const int fd = client(endpoint);
    const char *all = "";

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *line = textf("send big %zu %zu", parts[i][0], parts[i][1]);
        tell(fd, line);
        assert_part(server, fd, parts[i][0], parts[i][1]);
        all = textf("%s%s\n", all, line);
    }
    cr_assert_eq(send_all(fd, all, strlen(all)), 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_part(server, fd, parts[i][0], parts[i][1]);
    close(fd);
}

Test(bodies, files_go_out_in_order)
{
    struct server server = serve();

    make_file(&server, "big", 3 * MIB);
    check_parts(server.endpoint, &server);
    check_parts(server.tcp, &server);
    end_server(&server);
}

/* Many of one client's at once: it is not read while 16 wait, and all have their place. */
Test(bodies, many_files_of_one_client)
{
    enum { FILES = 400 };
    struct server server = serve();
    const int fd = client(server.endpoint);
    const char *line = "send big 1 70000\n";
    char *all = malloc(FILES * strlen(line) + 1);

    cr_assert(all);
    make_file(&server, "big", 100000);
    for (size_t i = 0; i < FILES; i++)
        memcpy(all + i * strlen(line), line, strlen(line));
    cr_assert_eq(send_all(fd, all, FILES * strlen(line)), 0);
    for (size_t i = 0; i < FILES; i++)
        assert_part(&server, fd, 1, 70000);
    free(all);
    close(fd);
    end_server(&server);
}

/* Of a file whose pages are not in memory a worker reads them. (Where the file system keeps all in
 * memory this is the same as above.) */
Test(bodies, files_that_are_not_in_memory)
{
    struct server server = serve();
    const int fd = client(server.endpoint);

    make_file(&server, "big", 5 * MIB + 17);
    const int file = open(textf("%s/big", server.dir), O_RDONLY | O_CLOEXEC);
    fsync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    tell(fd, textf("send big 1 %d", 5 * MIB + 16));
    assert_part(&server, fd, 1, 5 * MIB + 16);
    close(fd);
    end_server(&server);
}

Test(bodies, calls_that_fail)
{
    struct server server = serve();
    const int fd = client(server.endpoint);
    static const char *const cases[][2] = {
        {"bad descriptor", "-1 EBADF"},    {"bad directory", "-1 EINVAL"},
        {"bad mode", "-1 EBADF"},          {"bad path", "-1 EBADF"},
        {"bad pipe", "-1 EINVAL"},         {"bad offset", "-1 EINVAL"},
        {"bad size", "-1 EINVAL"},         {"bad to descriptor", "-1 EBADF"},
        {"bad to directory", "-1 EINVAL"}, {"bad to mode", "-1 EINVAL"},
        {"bad to path", "-1 EINVAL"},      {"bad to pipe", "-1 EINVAL"},
        {"bad to append", "-1 EINVAL"},    {"bad to offset", "-1 EINVAL"},
        {"bad to size", "-1 EINVAL"},      {"send file 5 6", "<EINVAL>"},
        {"send file 11 0", "<EINVAL>"},    {"send nothing 0 1", "<EBADF>"},
        {"send file 10 0", "<>"},          {"send file 4 6", "<456789>"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ask_for(&server, fd, cases[i][0], cases[i][1]);
    close(fd);
    end_server(&server);
}

/* Its client gets less than was said, and an end; others go on. */
Test(bodies, a_file_that_shrinks)
{
    struct server server = serve();
    const int fd = client(server.endpoint);
    const int other = client(server.endpoint);
    char bytes[4096];
    size_t got = 0;

    make_sparse(&server, "big", 64 * MIB);
    tell(fd, textf("send big 0 %d", 64 * MIB));
    cr_assert_eq(read_exactly(fd, bytes, 1), 1);
    cr_assert_eq(truncate(textf("%s/big", server.dir), 4 * MIB), 0);
    for (ssize_t now; (now = read(fd, bytes, sizeof bytes)) > 0;)
        got += (size_t)now;
    cr_assert_lt(got, 64 * MIB);
    assert_line(server.rpd, "it has become shorter; its client is closed");
    assert_line(server.rpd, "test: sent without its client: ENODATA");
    ask_for(&server, other, "send file 0 3", "<012>");
    close(fd);
    close(other);
    end_server(&server);
}

static void send_and_leave(const struct server *server, const char *endpoint)
{
    const int fd = client(endpoint);
    char byte;

    tell(fd, textf("send big 0 %d", 64 * MIB));
    cr_assert_eq(read_exactly(fd, &byte, 1), 1);
    close(fd);
    assert_line(server->rpd, "test: sent without its client: ECANCELED");
}

Test(bodies, a_client_leaves_while_it_is_sent_a_file)
{
    struct server server = serve();

    make_sparse(&server, "big", 64 * MIB);
    send_and_leave(&server, server.endpoint);
    send_and_leave(&server, server.tcp);
    end_server(&server);
}

/* Nothing of theirs is in memory, and others are served. */
Test(bodies, stalled_readers_cost_little)
{
    enum { READERS = 20, AT_MOST_KB = 16 * 1024 };
    struct server server = serve();
    const int other = client(server.endpoint);
    int fds[READERS];
    char byte;

    make_sparse(&server, "big", 200 * MIB);
    ask_for(&server, other, "send file 0 3", "<012>");
    const long before = memory_kb(server.rpd);
    for (size_t i = 0; i < READERS; i++) {
        fds[i] = client(server.endpoint);
        tell(fds[i], textf("send big 0 %d", 200 * MIB));
        cr_assert_eq(read_exactly(fds[i], &byte, 1), 1);
    }
    ask_for(&server, other, "send file 0 3", "<012>");
    const long after = memory_kb(server.rpd);
    cr_expect_lt(after - before, AT_MOST_KB, "%ld KB more", after - before);
    for (size_t i = 0; i < READERS; i++)
        close(fds[i]);
    close(other);
    end_server(&server);
}

/* A job answers with a file, of which the kernel takes all but a little at once, so that the next
 * attempt to send takes nothing: that is not a client that has read nothing for a minute. */
Test(bodies, a_file_of_which_little_is_left)
{
    enum { LEAST = 256 * 1024, MOST = 352 * 1024, STEP = 4096 };
    struct server server = serve();
    char *bytes = malloc(MOST + 3);

    make_sparse(&server, "big", MOST);
    for (size_t size = LEAST; size <= MOST; size += STEP) {
        const int fd = client(server.endpoint);
        tell(fd, textf("job send big 0 %zu", size));
        /* All that the kernel takes has come. */
        for (int now = -1, before = -2; now != before; poll(NULL, 0, 5)) {
            before = now;
            cr_assert_eq(ioctl(fd, FIONREAD, &now), 0);
        }
        cr_assert_eq(read_exactly(fd, bytes, size + 3), (ssize_t)(size + 3), "%zu: %s", size,
                     process_stderr(server.rpd));
        close(fd);
    }
    free(bytes);
    end_server(&server);
}

/* ---- bodies that are received ---- */

static unsigned sum_of(const char *bytes, size_t size)
{
    unsigned sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + (unsigned char)bytes[i];
    return sum;
}

static void put(const struct server *server, int fd, const char *how, const char *bytes,
                size_t size)
{
    tell(fd, textf("take %zu %s", size, how));
    cr_assert_eq(send_all(fd, bytes, size), 0, "%s", process_stderr(server->rpd));
}

static void check_takes(const char *endpoint, const struct server *server)
{
    static const size_t sizes[] = {0, 1, 1000, 65535, 65536, 262144, 262145, 600000, 5 * MIB};
    const int fd = client(endpoint);
    char *bytes = make_bytes(5 * MIB);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put(server, fd, "sum", bytes, sizes[i]);
        tell(fd, "send file 0 1"); /* what follows is no body */
        hear(server, fd, textf("got %zu %u", sizes[i], sum_of(bytes, sizes[i])));
        hear(server, fd, "<0>");
        put(server, fd, "file", bytes, sizes[i]);
        hear(server, fd, "got 0 0");
        size_t size;
        char *file = read_whole(textf("%s/taken", server->dir), &size);
        cr_assert(file && size == sizes[i] && memcmp(file, bytes, size) == 0, "%zu of %zu", size,
                  sizes[i]);
        free(file);
    }
    free(bytes);
    close(fd);
}

Test(bodies, bodies_come_in_order)
{
    struct server server = serve();

    check_takes(server.endpoint, &server);
    check_takes(server.tcp, &server);
    end_server(&server);
}

/* What has come with the request, and behind the body, byte by byte. */
Test(bodies, a_body_that_drips)
{
    struct server server = serve();
    const int fd = client(server.endpoint);
    const char *all = "take 5 sum\nabcdesend file 0 2\n";

    for (size_t i = 0; all[i]; i++)
        cr_assert_eq(send_all(fd, all + i, 1), 0);
    hear(&server, fd, textf("got 5 %u", sum_of("abcde", 5)));
    hear(&server, fd, "<01>");
    close(fd);
    end_server(&server);
}

Test(bodies, a_sink_that_fails)
{
    struct server server = serve();
    char *bytes = make_bytes(MIB);
    static const char *const hows[][2] = {{"fail", "error ENOSPC"}, {"leave", "error ECANCELED"}};

    for (size_t i = 0; i < 2; i++) {
        const int fd = client(server.endpoint);
        tell(fd, textf("take %d %s", MIB, hows[i][0]));
        send_all(fd, bytes, MIB); /* (it may be told, and closed, before all is sent) */
        hear(&server, fd, hows[i][1]);
        assert_eof(fd);
        close(fd);
    }
    free(bytes);
    end_server(&server);
}

Test(bodies, a_body_that_ends_early)
{
    struct server server = serve();
    const int fd = client(server.endpoint);

    tell(fd, "take 1000 sum");
    tell(fd, "that is all");
    shutdown(fd, SHUT_WR);
    hear(&server, fd, "error ENODATA");
    assert_eof(fd);
    close(fd);
    end_server(&server);
}

/* Once while nothing is on a worker, once while its sink waits. */
Test(bodies, a_client_leaves_while_it_sends_a_body)
{
    struct server server = serve();
    char *bytes = make_bytes(MIB);
    int fd = client(server.endpoint);

    put(&server, fd, "sum", bytes, 1000);
    hear(&server, fd, textf("got 1000 %u", sum_of(bytes, 1000)));
    tell(fd, "take 1000 wait");
    close(fd);
    fd = client(server.endpoint);
    tell(fd, textf("take %d wait", 100 * MIB));
    cr_assert_eq(send_all(fd, bytes, MIB / 2), 0);
    const int abrupt = client(server.tcp);
    tell(abrupt, textf("take %d wait", 100 * MIB));
    cr_assert_eq(send_all(abrupt, bytes, MIB / 2), 0);
    close(fd);
    setsockopt(abrupt, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(abrupt);
    write_text(textf("%s/go", server.dir), "");
    free(bytes);
    end_server(&server);
}

/* Its sink is what is waited for: nothing more is taken of it than fits into two buffers. */
Test(bodies, a_slow_sink_holds_its_client_up)
{
    enum { AT_MOST = 6 * MIB }; /* with what is in the kernel */
    struct server server = serve();
    const int fd = client(server.endpoint);
    char *bytes = make_bytes(MIB);
    size_t sent = 0;
    ssize_t now;
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    tell(fd, textf("take %d wait", 64 * MIB));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (poll(&room, 1, 500) > 0 && sent < 64 * MIB &&
           (now = send(fd, bytes, MIB, MSG_NOSIGNAL)) > 0)
        sent += (size_t)now;
    cr_expect_lt(sent, AT_MOST, "%zu bytes", sent);
    write_text(textf("%s/go", server.dir), "");
    free(bytes);
    close(fd);
    end_server(&server);
}

/* ---- limits, drain and stop ---- */

/* A client that owes a body, and sends less than progress_bytes_per_s. */
Test(bodies, a_body_is_asked_for_a_rate)
{
    struct server server = serve_with("", "", ",\"limits\":{\"request_s\":1}");
    const int fd = client(server.endpoint);
    const int other = client(server.endpoint);

    tell(fd, "take 1000000 sum");
    assert_line(server.rpd, "closed: no complete request within limits.request_s (1 s)");
    assert_line(server.rpd, "test: taken without its client: ECANCELED");
    assert_eof(fd);
    ask_for(&server, other, "send file 0 1", "<0>");
    close(fd);
    close(other);
    end_server(&server);
}

/* ... but not while it is the sink that is waited for. */
Test(bodies, no_rate_is_asked_of_who_waits)
{
    struct server server = serve_with("", "", ",\"limits\":{\"request_s\":1}");
    const int fd = client(server.endpoint);
    const int idle = client(server.endpoint);

    put(&server, fd, "wait", "abc", 3);
    tell(idle, "take 1000000 sum");
    assert_eof(idle); /* so much time has passed */
    tell(fd, "send file 0 1");
    write_text(textf("%s/go", server.dir), "");
    hear(&server, fd, textf("got 3 %u", sum_of("abc", 3)));
    hear(&server, fd, "<0>");
    close(fd);
    close(idle);
    end_server(&server);
}

/* A stop lets bodies and jobs end that have begun. */
Test(bodies, a_drain_waits_for_what_is_owed)
{
    struct server server = serve();
    char *bytes = make_bytes(MIB);
    const int getter = client(server.endpoint), putter = client(server.endpoint);
    const int asker = client(server.endpoint);
    char first;

    make_file(&server, "big", 3 * MIB);
    tell(getter, textf("send big 0 %d", 3 * MIB));
    cr_assert_eq(recv(getter, &first, 1, MSG_PEEK), 1);
    tell(putter, textf("take %d sum", MIB));
    cr_assert_eq(send_all(putter, bytes, MIB / 2), 0);
    tell(asker, "job wait");
    assert_line(server.rpd, "test: a job waits");
    process_signal(server.rpd, SIGTERM);
    assert_line(server.rpd, "stopping: ");
    cr_assert_eq(send_all(putter, bytes + MIB / 2, MIB / 2), 0);
    hear(&server, putter, textf("got %d %u", MIB, sum_of(bytes, MIB)));
    assert_part(&server, getter, 0, 3 * MIB);
    write_text(textf("%s/go", server.dir), "");
    hear(&server, asker, "job 0 ok");
    assert_eof(getter);
    assert_eof(putter);
    assert_eof(asker);
    close(getter), close(putter), close(asker);
    free(bytes);
    assert_ends(server.rpd, 0);
    cr_assert(strstr(process_stderr(server.rpd), "test: balanced"), "%s",
              process_stderr(server.rpd));
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* ... until drain_s. */
Test(bodies, a_drain_that_is_over_ends_what_is_owed)
{
    struct server server = serve_with("\"drain_s\":0,", "", "");
    const int getter = client(server.endpoint), putter = client(server.endpoint);
    const int asker = client(server.endpoint);
    char byte;

    make_sparse(&server, "big", 64 * MIB);
    tell(getter, textf("send big 0 %d", 64 * MIB));
    cr_assert_eq(read_exactly(getter, &byte, 1), 1);
    tell(putter, "take 1000 sum");
    tell(asker, "job wait");
    assert_line(server.rpd, "test: a job waits");
    end_server(&server);
    close(getter), close(putter), close(asker);
}

/* ---- jobs ---- */

Test(bodies, jobs_answer_in_order)
{
    struct server server = serve();
    const int fd = client(server.endpoint);

    for (int round = 0; round < 20; round++) {
        tell(fd, "job many");
        tell(fd, "send file 0 1");
        for (int i = 0; i < 10; i++)
            hear(&server, fd, textf("job %d ok", i));
        hear(&server, fd, "<0>");
    }
    close(fd);
    end_server(&server);
}

/* Its departure is seen though nothing is read of it. One that has only ended its input waits. */
Test(bodies, departure_cancels_a_job)
{
    struct server server = serve();
    int fd = client(server.endpoint);
    char answer[64];

    tell(fd, "job wait");
    assert_line(server.rpd, "test: a job waits");
    close(fd);
    assert_line(server.rpd, "test: answered without its client: ECANCELED");
    fd = client(server.endpoint);
    tell(fd, "job last");
    assert_eof(fd); /* its backend did not want to answer */
    close(fd);
    fd = client(server.endpoint);
    tell(fd, "job wait");
    shutdown(fd, SHUT_WR);
    write_text(textf("%s/go", server.dir), "");
    cr_assert_eq(read_to_end(fd, answer, sizeof answer), 9);
    cr_assert_str_eq(answer, "job 0 ok\n");
    close(fd);
    end_server(&server);
}

/* ---- queues, posts, timers, and what else is new ---- */

Test(bodies, serial_queues)
{
    struct server server = serve();
    const int fd = client(server.endpoint);

    for (int round = 0; round < 5; round++)
        ask_for(&server, fd, "queue 200", "most 1 1 wrong 0");
    close(fd);
    end_server(&server);
}

Test(bodies, posts_come_before_the_done)
{
    struct server server = serve();
    const int fd = client(server.endpoint);

    ask_for(&server, fd, "post 0", "came 0");
    ask_for(&server, fd, "post 1", "came 1");
    ask_for(&server, fd, "post 20000", "came 20000");
    close(fd);
    end_server(&server);
}

Test(bodies, timers_are_never_early)
{
    struct server server = serve();
    static const int times[] = {0, 1, 2, 5, 10, 20, 50};
    const int fd = client(server.endpoint);

    for (int round = 0; round < 5; round++)
        for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
            const char *answer = ask(fd, textf("timer %d", times[i]));
            cr_assert(answer && strncmp(answer, "late ", 5) == 0, "%d: %s", times[i], answer);
        }
    const char *answer = ask(fd, "cancel");
    cr_assert(answer && strncmp(answer, "late ", 5) == 0, "%s", answer);
    close(fd);
    end_server(&server);
}

Test(bodies, who_a_client_is)
{
    struct server server = serve();
    const int fd = client(server.endpoint), tcp = client(server.tcp);
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    ask_for(&server, fd, "peer", textf("%d %d %d ''", getuid(), getgid(), getpid()));
    cr_assert_eq(getsockname(tcp, (struct sockaddr *)&address, &length), 0);
    ask_for(&server, tcp, "peer", textf("-1 -1 -1 '127.0.0.1:%d'", ntohs(address.sin_port)));
    ask_for(&server, fd, "listener", server.endpoint);
    ask_for(&server, tcp, "listener", server.tcp);
    ask_for(&server, fd, "room", textf("%d", 256 * 1024));
    ask_for(&server, fd, "data", "set by claim");
    close(fd);
    close(tcp);
    end_server(&server);
}

Test(bodies, parts_are_told)
{
    struct server server = serve_with("", ",\"missing\":\"bad\"", "");
    const int fd = client(server.endpoint);
    const int64_t give_up = now_ns() + INT64_C(20000000000);
    const char *told = NULL;

    while ((told = ask(fd, "part")) && now_ns() < give_up &&
           !(strstr(told, "bad missing;") && strstr(told, "good attached;")))
        continue;
    cr_assert(told && strstr(told, "bad missing;") && strstr(told, "good attached;"), "%s", told);
    close(fd);
    end_server(&server);
}

Test(bodies, a_backend_stops_the_daemon)
{
    struct server server = serve();
    const int fd = client(server.endpoint);

    tell(fd, "stop it is late");
    assert_ends(server.rpd, 0);
    const char *text = process_stderr(server.rpd);
    cr_assert(strstr(text, "stopping: service bodies asked for it: it is late") &&
                  !strstr(text, "WRONG") && strstr(text, "test: balanced"),
              "%s", text);
    const char *history = file_read(textf("%s/run/bodies.history", server.dir));
    cr_assert(history && strstr(history, "ended 0 service bodies asked for it: it is late"), "%s",
              history);
    close(fd);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* They do nothing there, and are named. */
Test(bodies, calls_on_a_worker)
{
    struct server server = serve();
    const int fd = client(server.endpoint);
    static const char *const functions[] = {
        "rpd_conn_job",   "rpd_conn_send_file", "rpd_conn_receive",     "rpd_conn_receive_file",
        "rpd_timer",      "rpd_timer_cancel",   "rpd_queue_create",     "rpd_queue_submit",
        "rpd_queue_free", "rpd_stop",           "rpd_service_set_data", "rpd_conn_output_room",
    };

    ask_for(&server, fd, "thread", "job 8 ok");
    ask_for(&server, fd, "data", "set by claim");
    ask_for(&server, fd, "queue 3", "most 1 1 wrong 0");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        cr_expect(strstr(process_stderr(server.rpd), textf("called %s() on", functions[i])), "%s",
                  functions[i]);
    close(fd);
    assert_stops(server.rpd);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* Loads do not keep jobs from their threads, nor do they share a nice value. */
static int threads_of_nice(pid_t pid, int value)
{
    DIR *tasks = opendir(textf("/proc/%d/task", (int)pid));
    int count = 0;

    cr_assert(tasks);
    for (const struct dirent *task; (task = readdir(tasks));) {
        const char *text = task->d_name[0] == '.'
                               ? NULL
                               : file_read(textf("/proc/%d/task/%s/stat", (int)pid, task->d_name));
        const char *field = text ? strrchr(text, ')') : NULL;

        for (int number = 2; field && number < 19; number++)
            field = strchr(field + 1, ' ');
        count += field && strtol(field, NULL, 10) == value;
    }
    closedir(tasks);
    return count;
}

Test(bodies, jobs_and_loads_have_nice_values_of_their_own)
{
    struct server server = serve_with("\"workers\":3,\"job_nice\":2,\"load_nice\":7,", "", "");
    const int fd = client(server.endpoint);
    const pid_t pid = process_pid(server.rpd);
    const int64_t give_up = now_ns() + INT64_C(20000000000);
    const int own = getpriority(PRIO_PROCESS, 0), jobs = own + 2, loads = own + 7;

    if (loads > 19)
        cr_skip_test("the priority of this test is too low");
    cr_expect_eq(threads_of_nice(pid, jobs), 0, "none are made before they are needed");
    ask_for(&server, fd, "job plain", "job 0 ok");
    while ((threads_of_nice(pid, jobs) != 1 || threads_of_nice(pid, loads) != 3) &&
           now_ns() < give_up)
        poll(NULL, 0, 1);
    cr_expect_eq(threads_of_nice(pid, jobs), 1, "of jobs");
    cr_expect_eq(threads_of_nice(pid, loads), 3, "of loads");
    close(fd);
    end_server(&server);
}
