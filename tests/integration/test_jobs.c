/* Answers by jobs, queues, posts, timers, and the other calls that a backend may make on its
 * service, as clients see them: what rpd/job.h and rpd/service.h promise, and the effect of calls
 * that a backend must not make. */
#include "bodies_scene.h"

#include <netinet/in.h>
#include <sys/resource.h>

/* ---- jobs ---- */

Test(jobs, jobs_answer_in_order)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);

    for (int round = 0; round < 20; round++) {
        tell(fd, "job many");
        tell(fd, "send file 0 1");
        for (int i = 0; i < 10; i++)
            hear(&server, fd, textf("job %d ok", i));
        hear(&server, fd, "<0>");
    }
    close(fd);
    end_bodies(&server);
}

/* The daemon notices that a client has left although it does not read from it. A client that has
 * only ended its input waits. */
Test(jobs, departure_cancels_a_job)
{
    struct bodies server = serve_bodies();
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
    end_bodies(&server);
}

/* ---- queues, posts, timers, and other calls ---- */

Test(jobs, serial_queues)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);

    for (int round = 0; round < 5; round++)
        ask_for(&server, fd, "queue 200", "most 1 1 wrong 0");
    close(fd);
    end_bodies(&server);
}

Test(jobs, posts_come_before_the_done)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);

    ask_for(&server, fd, "post 0", "came 0");
    ask_for(&server, fd, "post 1", "came 1");
    ask_for(&server, fd, "post 20000", "came 20000");
    close(fd);
    end_bodies(&server);
}

/* The loop is idle, or even rests, when they come. */
Test(jobs, posts_of_a_thread_of_the_plugin)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);

    for (int round = 0; round < 20; round++) {
        ask_for(&server, fd, "thread-post 0", "came 0");
        ask_for(&server, fd, "thread-post 1", "came 1");
    }
    ask_for(&server, fd, "thread-post 20000", "came 20000");
    close(fd);
    end_bodies(&server);
}

Test(jobs, timers_are_never_early)
{
    struct bodies server = serve_bodies();
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
    end_bodies(&server);
}

Test(jobs, who_a_client_is)
{
    struct bodies server = serve_bodies();
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
    end_bodies(&server);
}

Test(jobs, parts_are_told)
{
    struct bodies server = serve_bodies_with("", ",\"missing\":\"bad\"", "");
    const int fd = client(server.endpoint);
    const int64_t give_up = now_ns() + INT64_C(20000000000);
    const char *told = NULL;

    while ((told = ask(fd, "part")) && now_ns() < give_up &&
           !(strstr(told, "bad missing;") && strstr(told, "good attached;")))
        continue;
    cr_assert(told && strstr(told, "bad missing;") && strstr(told, "good attached;"), "%s", told);
    close(fd);
    end_bodies(&server);
}

Test(jobs, a_backend_stops_the_daemon)
{
    struct bodies server = serve_bodies();
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

/* They have no effect there, and the log names them. */
Test(jobs, calls_on_a_worker)
{
    struct bodies server = serve_bodies();
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

/* Loads do not take threads from jobs, and their nice value differs. */
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

Test(jobs, jobs_and_loads_have_nice_values_of_their_own)
{
    struct bodies server = serve_bodies_with("\"workers\":3,\"job_nice\":2,\"load_nice\":7,", "",
                                             "");
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
    end_bodies(&server);
}
