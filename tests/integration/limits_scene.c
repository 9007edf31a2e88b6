/* Limits. See limits_scene.h. */
#include "limits_scene.h"

#include <arpa/inet.h>
#include <netinet/in.h>

struct server serve(const char *plugin, const char *limits, const char *members)
{
    struct server server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    write_text(config, textf("{\"drain_s\":1,\"services\":[{\"plugin\":\"%s\",\"listen\":"
                             "[{\"endpoint\":\"%s\",\"mode\":\"0666\"},\"tcp:127.0.0.1:0\"],"
                             "\"limits\":{%s}%s}]}",
                             plugin, server.endpoint, limits, members));
    server.rpd = RPD_START(textf("%s/run", server.dir), "-c", config);
    assert_bound(server.rpd);
    assert_line(server.rpd, ": bound ");
    server.tcp = process_endpoint(server.rpd, "tcp:");
    return server;
}

struct server serve_talk(const char *limits)
{
    return serve(test_plugin("talk"), limits, "");
}

void end_server(struct server *server)
{
    assert_stops(server->rpd);
    const char *text = process_stderr(server->rpd);
    cr_assert(!strstr(text, "WRONG") && !strstr(text, "NOT BALANCED"), "%s", text);
    process_free(server->rpd);
    temp_dir_remove(server->dir);
}

bool something_comes(int fd, int milliseconds)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};

    return poll(&input, 1, milliseconds) > 0;
}

bool is_closed(int fd)
{
    char byte;

    return something_comes(fd, 20000) && recv(fd, &byte, 1, 0) <= 0;
}

int clients_in_lines(const char *log, const char *text)
{
    int sum = 0;

    for (const char *at = log; (at = strstr(at, text)); at++) {
        const char *number = at;
        while (number > log && number[-1] != ':')
            number--;
        sum += atoi(number);
    }
    return sum;
}

void wait_for_clients_in_lines(struct server *server, const char *text, int count)
{
    for (size_t lines = 1; clients_in_lines(process_stderr(server->rpd), text) < count; lines++)
        cr_assert_eq(process_wait_lines(server->rpd, text, lines), 0, "%s",
                     process_stderr(server->rpd));
    cr_assert_eq(clients_in_lines(process_stderr(server->rpd), text), count, "%s",
                 process_stderr(server->rpd));
}

void assert_fds(const struct server *server, int most)
{
    int count = count_fds(process_pid(server->rpd));

    for (int tries = 0; tries < 2000 && count > most; tries++) {
        poll(NULL, 0, 1);
        count = count_fds(process_pid(server->rpd));
    }
    cr_assert_leq(count, most);
}

int64_t ms_since(int64_t start_ns)
{
    return (now_ns() - start_ns) / 1000000;
}

int client_from(const char *address, const char *endpoint)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, address, &from.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    to.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0, "%s", strerror(errno));
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    return fd;
}

int ask_as_nobody(const char *endpoint)
{
    const pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        const char *answer = ask_once(endpoint, "echo x");
        _exit(answer && strcmp(answer, "x") == 0 ? 0 : 1);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
