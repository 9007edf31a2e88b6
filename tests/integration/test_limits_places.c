/* Places: a client that finds none waits, and no client is forgotten. */
#include "limits_scene.h"

/* ---- places ---- */

Test(limits, who_finds_no_place_waits)
{
    struct server server = serve_talk("\"clients\":2");
    const int first = client(server.endpoint), second = client(server.tcp);

    assert_answered(first, &server);
    assert_answered(second, &server);
    cr_assert(!strstr(process_stderr(server.rpd), "limits.clients"), "no client waits");
    const int third = client(server.endpoint), fourth = client(server.tcp);
    tell(third, "echo third");
    tell(fourth, "echo fourth");
    assert_line(server.rpd, "2 clients are here, which is limits.clients");
    assert_quiet(third, 300);
    assert_quiet(fourth, 10);
    assert_answered(second, &server);
    /* As soon as one client leaves, another is accepted. */
    const int64_t left = now_ns();
    close(first);
    struct pollfd either[] = {{.fd = third, .events = POLLIN}, {.fd = fourth, .events = POLLIN}};
    cr_assert_gt(poll(either, 2, 20000), 0, "%s", process_stderr(server.rpd));
    fprintf(stderr, "a client left, the next was answered after %ld us\n",
            (long)((now_ns() - left) / 1000));
    cr_assert_neq(!(either[0].revents & POLLIN), !(either[1].revents & POLLIN), "both came in");
    close(second);
    cr_assert(something_comes(third, 20000) && something_comes(fourth, 20000), "%s",
              process_stderr(server.rpd));
    assert_line(server.rpd, "no client waits for a place any more");
    cr_assert_eq(lines_with(process_stderr(server.rpd), "limits.clients"), 1, "%s",
                 process_stderr(server.rpd));
    close(third);
    close(fourth);
    end_server(&server);
}

/* The queues of a service's endpoints take turns. */
Test(limits, no_queue_is_forgotten)
{
    enum { EACH = 6 };
    struct server server = serve_talk("\"clients\":1");
    const int first = client(server.endpoint);
    struct pollfd fds[2 * EACH];
    int served[2] = {0};

    assert_answered(first, &server);
    for (int i = 0; i < 2 * EACH; i++) {
        fds[i] = (struct pollfd){client(i < EACH ? server.endpoint : server.tcp), POLLIN, 0};
        tell(fds[i].fd, "echo x");
    }
    assert_line(server.rpd, "which is limits.clients");
    close(first);
    while (served[0] + served[1] < EACH) {
        cr_assert_gt(poll(fds, 2 * EACH, 20000), 0, "%s", process_stderr(server.rpd));
        for (int i = 0; i < 2 * EACH; i++) {
            if (!(fds[i].revents & POLLIN))
                continue;
            served[i / EACH]++;
            close(fds[i].fd);
            fds[i].fd = -1;
        }
    }
    cr_assert(served[0] > 1 && served[1] > 1, "unix %d, tcp %d", served[0], served[1]);
    for (int i = 0; i < 2 * EACH; i++)
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    end_server(&server);
}

/* Its loop serves other clients. */
static void await_warming(const struct server *server, const char *service)
{
    const int dirfd = open(textf("%s/run", server->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int64_t until = now_ns() + INT64_C(60000000000);
    struct rpd_state_page page;

    while (state_view_read(dirfd, service, &page) < 0 || page.phase < RPD_PHASE_WARMING) {
        cr_assert_lt(now_ns(), until, "%s", process_stderr(server->rpd));
        poll(NULL, 0, 1);
    }
    close(dirfd);
}

/* Held clients take places, too; a client that leaves while held frees its place. */
Test(limits, held_clients_have_places)
{
    struct server server = serve(build_path("samples/slow_start.so"), "\"clients\":2",
                                 ",\"options\":{\"load_s\":1000}");
    await_warming(&server, "slow_start"); /* until then it opens descriptors of its own */
    const int fds_before = count_fds(process_pid(server.rpd));
    const int first = client(server.endpoint), second = client(server.endpoint);
    const int third = client(server.endpoint);

    assert_line(server.rpd, "which is limits.clients");
    /* The hold uses one descriptor. */
    assert_fds(&server, fds_before + 3);
    close(first);
    assert_line(server.rpd, "no client waits for a place any more");
    assert_fds(&server, fds_before + 3);
    close(second);
    close(third);
    end_server(&server);
}

/* A stop serves all queued clients, with or without a place. */
Test(limits, a_stop_answers_who_waits_for_a_place)
{
    struct server server = serve_talk("\"clients\":1");
    const int first = client(server.endpoint), waiting = client(server.endpoint);
    char text[64];

    assert_answered(first, &server);
    tell(waiting, "echo at last");
    assert_line(server.rpd, "which is limits.clients");
    process_signal(server.rpd, SIGTERM);
    read_to_end(waiting, text, sizeof text);
    cr_assert_str_eq(text, "at last\n", "%s", process_stderr(server.rpd));
    assert_ends(server.rpd, 0);
    close(first);
    close(waiting);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

static const char *ask_another_time(const char *endpoint)
{
    const int64_t start = now_ns();
    const char *answer = NULL;

    while (!answer && ms_since(start) < 20000)
        answer = ask_once(endpoint, "echo x");
    return answer;
}

static void check_cap(const char *endpoint, struct server *server)
{
    const int first = client(endpoint), second = client(endpoint);

    assert_answered(first, server);
    assert_answered(second, server);
    const int third = client(endpoint);
    assert_closed(third, server);
    assert_answered(first, server);
    close(first);
    assert_text(ask_another_time(endpoint), "x", server->rpd);
    close(second);
    close(third);
}

Test(limits, clients_per_peer)
{
    static const char what[] = "refused: more of one peer than limits.clients_per_peer (2)";
    struct server server = serve_talk("\"clients_per_peer\":2");

    check_cap(server.endpoint, &server);
    check_cap(server.tcp, &server);
    const int first = client(server.tcp), second = client(server.tcp);
    cr_assert_eq(process_wait_line(server.rpd, what), 0, "%s", process_stderr(server.rpd));
    /* Neither one address for all nor one port. */
    const int other = client_from("127.0.0.2", server.tcp);
    assert_answered(other, &server);
    cr_assert_geq(clients_in_lines(process_stderr(server.rpd), what), 1);
    close(first);
    close(second);
    close(other);
    end_server(&server);
}

Test(limits, each_user_is_a_peer)
{
    if (geteuid() != 0)
        cr_skip("only root can become another user");
    struct server server = serve_talk("\"clients_per_peer\":1");
    const int root = client(server.endpoint);
    cr_assert_eq(chmod(server.dir, 0711), 0);
    assert_answered(root, &server);
    cr_assert_eq(ask_as_nobody(server.endpoint), 0, "%s", process_stderr(server.rpd));
    const int again = client(server.endpoint);
    assert_closed(again, &server);
    close(again);
    close(root);
    end_server(&server);
}

/* ---- backends that accept their clients themselves ---- */

static const char *greeting(const char *endpoint)
{
    static char text[64];
    const int fd = client(endpoint);

    tell(fd, "hello");
    read_to_end(fd, text, sizeof text);
    close(fd);
    return text;
}

Test(limits, places_of_given_clients_come_back)
{
    struct server server = serve(test_plugin("accepts"), "\"clients\":2,\"clients_per_peer\":3",
                                 "");
    const int kept = client(server.endpoint), more = client(server.endpoint);

    tell(kept, "keep");
    cr_assert(something_comes(kept, 20000));
    tell(more, "hello");
    cr_assert(something_comes(more, 20000));
    for (int i = 0; i < 30; i++)
        assert_text(greeting(i % 2 ? server.endpoint : server.tcp), "ready\n", server.rpd);
    const int last = client(server.endpoint), waiting = client(server.endpoint);
    tell(last, "keep");
    cr_assert(something_comes(last, 20000));
    tell(waiting, "hello");
    assert_line(server.rpd, "which is limits.clients");
    assert_quiet(waiting, 200);
    end_server(&server);
    close(kept);
    close(more);
    close(last);
    close(waiting);
}

Test(limits, places_of_a_library_come_back)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    if (access(build_path("samples/web.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    struct server server = serve(build_path("samples/web.so"), "\"clients\":1", "");
    for (int i = 0; i < 10; i++) {
        const int first = client(server.tcp);
        cr_assert_eq(send_all(first, request, sizeof request - 1), 0);
        cr_assert(something_comes(first, 20000));
        const int second = client(server.endpoint);
        cr_assert_eq(send_all(second, request, sizeof request - 1), 0);
        assert_quiet(second, 20);
        close(first);
        cr_assert(something_comes(second, 20000), "%s", process_stderr(server.rpd));
        close(second);
    }
    cr_assert(!strstr(process_stderr(server.rpd), "mistake"), "%s", process_stderr(server.rpd));
    end_server(&server);
}

/* A backend that reports none of its clients as gone, or each of them twice, is warned, and
 * served. */
Test(limits, mistaken_backends_are_told)
{
    struct server server = serve(test_plugin("accepts"), "", ",\"options\":{\"gone\":2}");

    for (int i = 0; i < 10; i++)
        assert_text(greeting(server.endpoint), "ready\n", server.rpd);
    assert_line(server.rpd, "of rpd_client_gone() with a descriptor that is no client");
    end_server(&server);
    server = serve(test_plugin("accepts"), "", ",\"options\":{\"gone\":0}");
    for (int i = 0; i < 10; i++)
        assert_text(greeting(server.endpoint), "ready\n", server.rpd);
    assert_line(server.rpd, "closed by the backend without rpd_client_gone()");
    end_server(&server);
}
