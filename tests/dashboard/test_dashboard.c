/* The dashboard from outside: each route, what it refuses, and what it shows of services that come
 * and go, stand still, or have written what no service should. */
#include "http.h"
#include "rpdctl_run.h"

#include <rpd/metrics.h>

#include <ifaddrs.h>
#include <netinet/in.h>

#define POLICY                                                                                     \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "                    \
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n"

static const struct {
    const char *path, *type, *part;
} routes[] = {
    {"/", "text/html; charset=utf-8", "<!DOCTYPE html>"},
    {"/dashboard.js", "text/javascript; charset=utf-8", "'use strict'"},
    {"/dashboard.css", "text/css; charset=utf-8", "prefers-color-scheme: dark"},
    {"/icon.svg", "image/svg+xml", "<svg"},
    {"/status.json", "application/json", "\"service\":\"dashboard\",\"state\":\"alive\""},
    {"/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "\n# EOF\n"},
};
enum { ROUTES = sizeof routes / sizeof *routes };

/* ---- routes ---- */

Test(dashboard, has_each_route)
{
    struct board board = board_start();

    for (size_t i = 0; i < ROUTES; i++) {
        const struct reply reply = get(&board, routes[i].path, "");
        assert_reply(reply, 200);
        assert_has(reply.head, textf("Content-Type: %s\r\n", routes[i].type));
        assert_has(reply.head, textf("Content-Length: %zu\r\n", reply.body_size));
        assert_has(reply.head, POLICY);
        assert_has(reply.head, "X-Content-Type-Options: nosniff\r\n");
        assert_has(reply.head, "Cross-Origin-Resource-Policy: same-origin\r\n");
        assert_has(reply.head, "Cache-Control: no-store\r\n");
        assert_has_not(reply.head, "Access-Control");
        assert_has(reply.body, routes[i].part);
        cr_expect_eq(get(&board, textf("%s?a=b", routes[i].path), "").code, 200);
    }
    assert_reply(get(&board, "/x", ""), 404);
    assert_reply(get(&board, "/../etc/passwd", ""), 404);
    assert_reply(get(&board, "/%2e%2e/", ""), 404);
    board_end(&board);
}

Test(dashboard, changes_nothing)
{
    static const char *const methods[] = {"POST",  "PUT",   "DELETE", "OPTIONS",
                                          "TRACE", "PATCH", "get",    "BREW"};
    struct board board = board_start();

    for (size_t i = 0; i < ROUTES; i++) {
        const struct reply head = ask_for(board.unix_endpoint, "HEAD", routes[i].path, "x", "");
        assert_reply(head, 200);
        assert_has(head.head, textf("Content-Type: %s\r\n", routes[i].type));
        cr_expect_str_empty(head.body);
        for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
            const struct reply reply = ask_for(board.unix_endpoint, methods[m], routes[i].path, "x",
                                               "Content-Length: 0\r\n");
            assert_reply(reply, 405);
            assert_has(reply.head, "Allow: GET, HEAD\r\n");
        }
    }
    const struct reply large = ask_for(board.unix_endpoint, "POST", "/", "x",
                                       "Content-Length: 1000000000\r\n");
    assert_reply(large, 405);
    board_end(&board);
}

/* The page is of files of this server alone, and none of its code stands in it. */
Test(dashboard, the_page_needs_nothing_else)
{
    struct board board = board_start();

    for (size_t i = 0; i < 4; i++) {
        const char *body = get(&board, routes[i].path, "").body;
        for (const char *at = body; (at = strstr(at, "://")); at += 3)
            cr_expect(strncmp(at, "://www.w3.org/2000/svg", 22) == 0, "%s: %.60s", routes[i].path,
                      at);
        assert_has_not(body, "innerHTML");
        assert_has_not(body, "@import");
    }
    const char *page = get(&board, "/", "").body;
    assert_has_not(page, "<style");
    assert_has_not(page, "style=");
    assert_has_not(page, "<script>");
    assert_has_not(page, " onclick");
    assert_has_not(page, " onload");
    assert_has_not(page, " onerror");
    board_end(&board);
}

Test(dashboard, metrics_are_had_in_two_formats)
{
    struct board board = board_start();
    struct reply reply = get(&board, "/metrics", "Accept: text/plain;version=0.0.4\r\n");

    assert_reply(reply, 200);
    assert_has(reply.head, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    assert_has(reply.head, "Vary: Accept\r\n");
    assert_has(reply.body, "# TYPE rpd_clients_accepted_total counter\n");
    assert_has(reply.body, "\nrpd_up{service=\"dashboard\"} 1\n");
    assert_has(reply.body, "\ndashboard_requests_total{service=\"dashboard\"} ");
    assert_has_not(reply.body, "# EOF");
    reply = get(&board, "/metrics", "Accept: application/openmetrics-text\r\n");
    assert_reply(reply, 200);
    assert_has(reply.body, "# TYPE rpd_clients_accepted counter\n");
    assert_has(reply.body, "\nrpd_up{service=\"dashboard\"} 1\n");
    assert_reply(get(&board, "/metrics", "Accept: image/png\r\n"), 406);
    board_end(&board);
}

/* Also of one whose metrics another has written. */
static void put_hostile_metrics(const char *run);

Test(dashboard, promtool_accepts_the_older_text)
{
    struct board board = board_start();

    if (run_in(NULL, ARGS("sh", "-c", "promtool --version"), NULL).code != 0)
        cr_skip("promtool is not installed");
    put_hostile_metrics(board.run);
    const struct reply reply = get(&board, "/metrics", "Accept: text/plain\r\n");
    assert_reply(reply, 200);
    write_text(textf("%s/metrics.txt", board.dir), reply.body);
    const struct outcome outcome = run_in(NULL,
                                          ARGS("sh", "-c", "exec promtool check metrics <\"$1\"",
                                               "sh", textf("%s/metrics.txt", board.dir)),
                                          NULL);
    /* (3: advice on names of backends.) */
    cr_expect(outcome.code == 0 || outcome.code == 3, "%d: %s%s", outcome.code, outcome.out,
              outcome.err);
    board_end(&board);
}

/* ---- Host ---- */

Test(dashboard, a_foreign_host_is_refused)
{
    struct board board = board_start();
    const char *const good[] = {textf("localhost:%u", board.port),
                                textf("127.0.0.1:%u", board.port), textf("[::1]:%u", board.port)};
    const char *const bad[] = {
        textf("evil.example:%u", board.port),          "localhost",    "127.0.0.1",
        textf("localhost:%u", board.port % 60000 + 1), "evil.example", ""};

    for (size_t i = 0; i < ROUTES; i++) {
        for (size_t h = 0; h < sizeof good / sizeof *good; h++)
            assert_reply(ask_for(board.tcp_endpoint, "GET", routes[i].path, good[h], ""), 200);
        for (size_t h = 0; h < sizeof bad / sizeof *bad; h++) {
            const struct reply reply = ask_for(board.tcp_endpoint, "GET", routes[i].path, bad[h],
                                               "");
            cr_assert(reply.code == 421 || (!*bad[h] && reply.code == 400), "%d: %s", reply.code,
                      bad[h]);
            assert_has_not(reply.body, "dashboard\"");
        }
        assert_reply(get(&board, routes[i].path, ""), 200);
        assert_reply(ask_for(board.unix_endpoint, "GET", routes[i].path, "evil.example", ""), 421);
    }
    const char *two = textf("GET / HTTP/1.1\r\nHost: localhost:%u\r\nHost: evil.example\r\n"
                            "Connection: close\r\n\r\n",
                            board.port);
    const struct reply reply = send_raw(board.tcp_endpoint, two, strlen(two));
    cr_expect(reply.code == 421 || reply.code == 400, "%d", reply.code);
    const char *old = "GET / HTTP/1.0\r\n\r\n";
    assert_reply(send_raw(board.tcp_endpoint, old, strlen(old)), 421);
    assert_reply(send_raw(board.unix_endpoint, old, strlen(old)), 200);
    board_end(&board);
}

/* ---- where it listens ---- */

Test(dashboard, listens_at_a_unix_socket_unless_it_is_asked_to)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd;

    if (access(build_path("plugins/dashboard.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    rpd = RPD_START(run, build_path("plugins/dashboard.so"));
    assert_bound(rpd);
    cr_expect_null(process_endpoint(rpd, "tcp:"));
    cr_expect_str_eq(process_endpoint(rpd, "unix:"), textf("unix:%s/dashboard.sock", run));
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(dashboard, listens_on_the_loopback_alone)
{
    static const char *const others[] = {"tcp:0.0.0.0:0", "tcp:[::]:0", "tcp:*:0",
                                         "tcp:192.0.2.1:0"};
    static const char *const own[] = {"tcp:127.0.0.1:0", "tcp:127.9.9.9:0"};
    const char *dir = temp_dir_make(), *run = make_run(dir);

    if (access(build_path("plugins/dashboard.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct process *rpd = RPD_START(run, build_path("plugins/dashboard.so"), "-l", others[i]);
        assert_ends(rpd, 78);
        assert_has(process_stderr(rpd), "it is not on the loopback");
        process_free(rpd);
        assert_empty(run);
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        struct process *rpd = RPD_START(run, build_path("plugins/dashboard.so"), "-l", own[i]);
        assert_bound(rpd);
        assert_stops(rpd);
        process_free(rpd);
    }
    temp_dir_remove(dir);
}

/* An address of this machine that others can reach: its endpoint at this port, or NULL. */
static const char *reachable(unsigned port)
{
    struct ifaddrs *all = NULL;
    const char *endpoint = NULL;

    if (getifaddrs(&all) < 0)
        return NULL;
    for (const struct ifaddrs *at = all; at && !endpoint; at = at->ifa_next) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)at->ifa_addr;
        if (!v4 || v4->sin_family != AF_INET || ntohl(v4->sin_addr.s_addr) >> 24 == 127)
            continue;
        const unsigned char *byte = (const unsigned char *)&v4->sin_addr;
        endpoint = textf("tcp:%u.%u.%u.%u:%u", byte[0], byte[1], byte[2], byte[3], port);
    }
    freeifaddrs(all);
    return endpoint;
}

/* It was bound by another. */
Test(dashboard, an_inherited_listener_serves_the_loopback_alone)
{
    NOT_WITH_KEEPER("the same");
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;

    if (access(build_path("plugins/dashboard.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(fd, 16), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    const unsigned port = ntohs(address.sin_port);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", build_path("plugins/dashboard.so"), "-l",
                                               textf("tcp:0.0.0.0:%u", port)),
                                  .runtime_dir = run,
                                  .notify = true,
                                  .listen_fds = &fd,
                                  .listen_count = 1});
    assert_bound(rpd);
    assert_reply(ask_for(textf("tcp:127.0.0.1:%u", port), "GET", "/metrics",
                         textf("localhost:%u", port), ""),
                 200);
    const char *other = reachable(port);
    if (other) {
        const int from = client(other);
        cr_expect_leq(read_exactly(from, &byte, 1), 0);
        assert_line(rpd, "not on the loopback: it is closed");
        close(from);
    }
    assert_stops(rpd);
    process_free(rpd);
    close(fd);
    temp_dir_remove(dir);
}

/* ---- what it shows ---- */

static struct process *start_counts(const char *run, const char *gate)
{
    struct process *rpd = RPD_START(run, test_plugin("counts"), "-n", "demo", "-o",
                                    textf("waits_for=%s", gate));

    assert_bound(rpd);
    return rpd;
}

Test(dashboard, a_service_appears_loads_is_ready_dies_and_returns)
{
    struct board board = board_start();
    const char *gate = textf("%s/gate", board.dir);
    json_t *demo = status_of(&board, "demo");

    cr_assert_null(demo);
    struct process *rpd = start_counts(board.run, gate);
    demo = await_text(&board, "demo", "phase", "warming");
    cr_expect_str_eq(text_of(demo, "state"), "warming");
    cr_expect_eq(json_integer_value(json_object_get(demo, "pid")), process_pid(rpd));
    cr_expect_gt(json_array_size(json_object_get(json_object_get(demo, "load"), "parts")), 0);
    cr_expect_eq(json_array_size(json_object_get(demo, "endpoints")), 1);
    write_text(gate, "");
    demo = await_state(&board, "demo", "alive");
    cr_expect_str_eq(text_of(demo, "phase"), "ready");
    cr_assert_eq(process_signal(rpd, SIGKILL), 0);
    demo = await_state(&board, "demo", "dead");
    cr_expect(json_is_true(json_object_get(demo, "left_page")));
    cr_expect(json_is_null(json_object_get(demo, "pid")));
    process_free(rpd);
    rpd = start_counts(board.run, gate);
    demo = await_state(&board, "demo", "alive");
    cr_expect_eq(json_integer_value(json_object_get(demo, "pid")), process_pid(rpd));
    cr_expect_eq(json_array_size(json_object_get(demo, "starts")), 2);
    cr_expect_eq(json_array_size(json_object_get(demo, "history")), 2);
    assert_stops(rpd);
    process_free(rpd);
    demo = await_state(&board, "demo", "dead");
    cr_expect(json_is_false(json_object_get(demo, "left_page")));
    const json_t *history = json_object_get(demo, "history");
    const json_t *end = json_array_get(history, json_array_size(history) - 1);
    cr_expect_str_eq(text_of(end, "event"), "ended");
    cr_expect_eq(json_integer_value(json_object_get(end, "code")), 0);
    board_end(&board);
}

/* It is not asked: so nothing waits for it. */
Test(dashboard, a_service_that_is_stopped_is_shown)
{
    struct board board = board_start();
    struct process *rpd = RPD_START(board.run, build_path("plugins/echo.so"), "-n", "demo");

    assert_bound(rpd);
    await_state(&board, "demo", "alive");
    cr_assert_eq(process_signal(rpd, SIGSTOP), 0);
    const json_t *demo = await_state(&board, "demo", "stalled");
    cr_expect_str_eq(text_of(demo, "phase"), "ready");
    cr_expect(json_is_object(json_object_get(demo, "loop")));
    assert_has(get(&board, "/metrics", "").body, "\nrpd_up{service=\"demo\"} 0\n");
    cr_assert_eq(process_signal(rpd, SIGCONT), 0);
    await_state(&board, "demo", "alive");
    assert_has(get(&board, "/metrics", "").body, "\nrpd_up{service=\"demo\"} 1\n");
    assert_stops(rpd);
    process_free(rpd);
    board_end(&board);
}

/* ---- what others have written ---- */

#define HOSTILE "<script>alert(1)</script>\"'\\&amp;\x1b[31m\xff\xc2\x9b\xf0\x28\x8c\x28 end"
#define MADE_SAFE                                                                                  \
    "<script>alert(1)</script>\"'\\&amp;?[31m???"                                                  \
    "?(?( end"

static void put_hostile_metrics(const char *run)
{
    struct {
        struct rpd_metrics_page page;
        struct rpd_metric_entry entries[4];
        uint64_t values[4];
    } file = {.page = {.layout = RPD_METRICS_LAYOUT,
                       .size = sizeof file,
                       .pid = 1,
                       .entry_count = 4,
                       .entries_at = sizeof file.page,
                       .entry_size = sizeof *file.entries}};

    memcpy(file.page.magic, RPD_METRICS_MAGIC, sizeof file.page.magic);
    for (size_t i = 0; i < 4; i++) {
        struct rpd_metric_entry *entry = &file.entries[i];
        snprintf(entry->name, sizeof entry->name, "%s",
                 i == 3 ? "x} 1\nevil{a=\"b\"" : "rpd_callbacks");
        snprintf(entry->labels, sizeof entry->labels, "%s",
                 i == 0   ? "callback=" HOSTILE
                 : i == 1 ? "a\"b=c"
                          : "callback=x\ncallback=y");
        snprintf(entry->meaning, sizeof entry->meaning, "%s", HOSTILE);
        entry->type = RPD_METRIC_COUNTER;
        entry->at = (uint32_t)(sizeof file.page + sizeof file.entries + i * sizeof *file.values);
        file.values[i] = 7;
    }
    put_file(run, "evil.metrics", &file, sizeof file);
}

Test(dashboard, text_of_others_is_text)
{
    struct board board = board_start();
    const int lock = hold_lock(board.run, "evil");
    struct rpd_state_page page = page_for(getpid(), RPD_PHASE_WARMING);
    const json_t *evil, *load;

    page.errors = 1;
    snprintf(page.error, sizeof page.error, "%s", HOSTILE);
    memset(page.parts, 'x', sizeof page.parts);
    page.part_count = UINT32_MAX;
    snprintf(page.parts[0].name, sizeof page.parts[0].name, "%s", "</script><img src=x>\xff");
    put_page(board.run, "evil", &page);
    put_hostile_metrics(board.run);
    put_history(board.run, "evil", getpid(), 5, 69, HOSTILE);
    put_record(board.run, "evil", getpid(),
               ",\"plugin\":\"<b>\\u0000\\u001b\",\"endpoints\":[\"<script>\"]");
    evil = status_of(&board, "evil");
    cr_assert_not_null(evil);
    cr_expect_str_eq(text_of(json_object_get(evil, "last_error"), "text"), MADE_SAFE);
    load = json_object_get(evil, "load");
    cr_assert_eq(json_array_size(json_object_get(load, "parts")), RPD_STATE_PARTS);
    cr_expect_str_eq(text_of(json_array_get(json_object_get(load, "parts"), 0), "name"),
                     "</script><img src=x>?");
    cr_assert_eq(json_array_size(json_object_get(evil, "history")), 2);
    cr_expect_str_eq(text_of(json_array_get(json_object_get(evil, "history"), 1), "text"),
                     MADE_SAFE);
    for (size_t i = 0; i < 2; i++) {
        const struct reply reply = get(&board, "/metrics", i ? "Accept: text/plain\r\n" : "");
        assert_reply(reply, 200);
        assert_has(reply.body,
                   "{service=\"evil\",callback=\"<script>alert(1)</script>\\\"'\\\\&amp;?");
        assert_has_not(reply.body, "\nevil{");
    }
    const struct reply reply = get(&board, "/<script>alert(1)</script>", "");
    assert_reply(reply, 404);
    assert_has_not(reply.body, "script");
    assert_has(reply.head, "Content-Type: text/plain");
    close(lock);
    board_end(&board);
}

/* No name leads out of the directory, and no link is followed. */
Test(dashboard, links_are_not_followed)
{
    static const char *const suffixes[] = {".state", ".metrics", ".json", ".history"};
    struct board board = board_start();
    const char *secret = textf("%s/secret", board.dir);

    write_text(secret, "1700000000000 1 1 ended 69 the secret\n");
    write_text(textf("%s/linked.lock", board.run), "");
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(symlink(secret, textf("%s/linked%s", board.run, suffixes[i])), 0);
    cr_assert_eq(mkfifo(textf("%s/pipe.history", board.run), 0600), 0);
    cr_assert_eq(mkfifo(textf("%s/pipe.metrics", board.run), 0600), 0);
    write_text(textf("%s/pipe.lock", board.run), "");
    write_text(textf("%s/..json", board.run), "");
    write_text(textf("%s/<b>.lock", board.run), "");
    const struct reply reply = get(&board, "/status.json", "");
    assert_reply(reply, 200);
    assert_has_not(reply.body, "the secret");
    assert_has_not(reply.body, "<b>");
    cr_expect_null(status_of(&board, "linked"));
    assert_reply(get(&board, "/metrics", ""), 200);
    board_end(&board);
}

/* The directory is another's now: the log says so, and there is no look. */
Test(dashboard, a_directory_that_others_can_write_to_is_not_believed)
{
    struct board board = board_start();

    cr_assert_eq(chmod(board.run, 0777), 0);
    const struct reply reply = get(&board, "/status.json", "");
    assert_reply(reply, 503);
    assert_has(reply.head, "Retry-After: 1\r\n");
    assert_line(board.rpd, textf("%s: ", board.run));
    cr_assert_eq(chmod(board.run, 0700), 0);
    assert_reply(get(&board, "/status.json", ""), 200);
    board_end(&board);
}

/* ---- many, slow and gone clients ---- */

Test(dashboard, many_clients_share_looks)
{
    enum { CLIENTS = 60, EACH = 5 };
    static const char request[] = "GET /status.json HTTP/1.1\r\nHost: x\r\n\r\n"
                                  "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    static const char last[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct board board = board_start();
    char *text = malloc(4 << 20);
    int fds[CLIENTS];

    cr_assert_not_null(text);
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = client(board.unix_endpoint);
        for (size_t n = 0; n < EACH; n++)
            cr_assert_eq(send_all(fds[i], request, sizeof request - 1), 0);
        if (i % 3 == 0)
            close(fds[i]); /* it does not wait */
        else
            cr_assert_eq(send_all(fds[i], last, sizeof last - 1), 0);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i % 3 == 0)
            continue;
        const ssize_t got = read_to_end(fds[i], text, 4 << 20);
        cr_assert_gt(got, 0);
        size_t answers = 0;
        for (const char *at = text; (at = strstr(at, "HTTP/1.1 200 OK\r\n")); at++)
            answers++;
        cr_assert_eq(answers, 2 * EACH + 1, "%zu", answers);
        close(fds[i]);
    }
    free(text);
    board_end(&board);
}

Test(dashboard, a_stop_does_not_wait_for_a_client_that_stays)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const char *dir = temp_dir_make(), *run = make_run(dir), *config = textf("%s/c.json", dir);
    char line[256];

    if (access(build_path("plugins/dashboard.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    write_text(config, textf("{\"drain_s\":600,\"services\":[{\"name\":\"d\",\"plugin\":\"%s\"}]}",
                             build_path("plugins/dashboard.so")));
    struct process *rpd = RPD_START(run, "-c", config);
    assert_bound(rpd);
    const int stays = client(textf("unix:%s/d.sock", run)),
              silent = client(textf("unix:%s/d.sock", run));
    cr_assert_eq(send_all(stays, request, sizeof request - 1), 0);
    cr_assert_gt(read_line(stays, line, sizeof line), 0);
    assert_stops(rpd);
    assert_has_not(process_stderr(rpd), "cut off");
    close(stays);
    close(silent);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(dashboard, the_sample_is_a_good_configuration)
{
    if (access(build_path("plugins/dashboard.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    const struct outcome outcome = run_in(
        NULL, ARGS("rpd", "-t", "-c", RPD_SOURCE_DIR "/plugins/dashboard/dashboard.json"), NULL);
    assert_code(outcome, 0);
}
