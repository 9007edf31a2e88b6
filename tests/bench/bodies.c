/* What it costs to stream bodies: samples/files.c is compared with nginx by the server's CPU time
 * per request, and with a plain sendfile() and a plain splice() loop by the time that 1 GiB takes.
 *
 *     bodies [--runs N] [--check] [--json FILE]
 *
 * The requests are GET and PUT of 1 KiB, 64 KiB and 10 MiB on 8 connections over a unix socket,
 * with one request outstanding on each, and 1 GiB on one TCP connection. The files that are read
 * lie on a disk, in the page cache; those that are written lie in memory. A run sends a slice of
 * requests to each of the two servers in turn; the median slice counts. --check: exit 1 if a ratio
 * of CPU is above 1.2, or one of 1 GiB below 0.9. */
#include "../support/process.h"
#include "json_figures.h"
#include "processors.h"
#include "rounds.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTIONS = 8, MAX_RUNS = 999, MIB = 1024 * 1024 };

#define GIB ((size_t)1024 * MIB)
#define CPU_LIMIT 1.2
#define TIME_LIMIT 0.9

enum server { RPD, NGINX, SERVERS };

struct subject {
    enum server which;
    const char *run_dir, *read_dir, *written_dir, *reads_at, *writes_at;
    struct process *processes[2]; /* one reads, one writes */
    int fds[CONNECTIONS];
    long written;
};

static const struct {
    const char *name;
    size_t size;
    long requests; /* of one slice */
} kinds[] = {{"1 KiB", 1024, 4000}, {"64 KiB", 65536, 2000}, {"10 MiB", 10 * MIB, 32}};

enum { KINDS = sizeof kinds / sizeof *kinds };

static char body[MIB], answer[MIB];

/* ---- the servers ---- */

static const char *nginx_configuration(const char *dir, const char *root, const char *socket_path)
{
    const char *path = textf("%s/nginx-%zu.conf", dir, strlen(root) + strlen(socket_path));
    const char *text = textf(
        "daemon off;\nmaster_process off;\npid %1$s/nginx.pid;\nerror_log %1$s/nginx.log;\n"
        "events {}\nhttp { access_log off; sendfile on; keepalive_requests 100000000;\n"
        "client_max_body_size 0; client_body_temp_path %2$s/tmp;\n"
        "proxy_temp_path %1$s/a; fastcgi_temp_path %1$s/b; uwsgi_temp_path %1$s/c;\n"
        "scgi_temp_path %1$s/d; server { listen unix:%3$s; location / { root %2$s;\n"
        "dav_methods PUT; } } }\n",
        dir, root, socket_path);

    file_write(path, text, strlen(text));
    return path;
}

static struct process *start(const struct subject *subject, const char *root,
                             const char *socket_path)
{
    const char *const *argv = subject->which == RPD
                                  ? ARGS("rpd", build_path("samples/files.so"), "-l",
                                         textf("unix:%s", socket_path), "-l", "tcp:127.0.0.1:0",
                                         "-o", textf("directory=%s", root), "-n",
                                         textf("s%zu", strlen(socket_path)))
                                  : ARGS("nginx", "-e", "stderr", "-c",
                                         nginx_configuration(subject->run_dir, root, socket_path));
    struct process *process = process_start(&(struct process_options){
        .argv = argv, .runtime_dir = subject->run_dir, .notify = subject->which == RPD});

    if (subject->which == RPD && process_wait_bound(process) != 0)
        test_die("rpd did not start: %s", process_stderr(process));
    return process;
}

static int connect_within(const char *socket_path)
{
    const int64_t give_up = now_ns() + INT64_C(10000000000);
    int fd;

    while ((fd = connect_to(textf("unix:%s", socket_path))) < 0 && now_ns() < give_up)
        usleep(1000);
    if (fd < 0)
        test_die("%s: %s", socket_path, strerror(errno));
    return fd;
}

static void make_file(const char *path, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        test_die("%s: %s", path, strerror(errno));
    for (size_t at = 0; at < size; at += sizeof body) {
        const size_t now = size - at < sizeof body ? size - at : sizeof body;
        if (write(fd, body, now) != (ssize_t)now)
            test_die("%s: %s", path, strerror(errno));
    }
    fsync(fd);
    close(fd);
}

static void subject_start(struct subject *subject, enum server which)
{
    *subject = (struct subject){.which = which,
                                .run_dir = temp_dir_make(),
                                .read_dir = temp_dir_make(),
                                .written_dir = rounds_temp_dir_in_memory()};
    subject->reads_at = textf("%s/read", subject->run_dir);
    subject->writes_at = textf("%s/writes", subject->run_dir);
    for (size_t i = 0; i < KINDS; i++)
        make_file(textf("%s/f%zu", subject->read_dir, i), kinds[i].size);
    if (which == RPD)
        make_file(textf("%s/big", subject->read_dir), GIB);
    processors_use_servers();
    subject->processes[0] = start(subject, subject->read_dir, subject->reads_at);
    subject->processes[1] = start(subject, subject->written_dir, subject->writes_at);
    processors_use_clients();
}

static void subject_end(struct subject *subject)
{
    for (int i = 0; i < 2; i++) {
        process_stop(subject->processes[i]);
        process_free(subject->processes[i]);
    }
    temp_dir_remove(subject->run_dir);
    temp_dir_remove(subject->read_dir);
    temp_dir_remove(subject->written_dir);
}

/* ---- requests ---- */

static void send_whole(int fd, const char *bytes, size_t size)
{
    if (send_all(fd, bytes, size) != 0)
        test_die("send: %s", strerror(errno));
}

static void send_request(struct subject *subject, int fd, bool puts, size_t kind)
{
    const size_t size = kinds[kind].size;
    char head[256];

    if (puts && subject->which == RPD)
        snprintf(head, sizeof head, "PUT p%ld %zu\n", subject->written++, size);
    else if (puts)
        snprintf(head, sizeof head, "PUT /p%ld HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 subject->written++, size);
    else
        snprintf(head, sizeof head,
                 subject->which == RPD ? "GET f%zu\n" : "GET /f%zu HTTP/1.1\r\nHost: x\r\n\r\n",
                 kind);
    if (puts && size < sizeof body / 2) { /* in a single write, as clients send it */
        memcpy(answer, head, strlen(head));
        memcpy(answer + strlen(head), body, size);
        send_whole(fd, answer, strlen(head) + size);
        return;
    }
    send_whole(fd, head, strlen(head));
    for (size_t at = 0; puts && at < size; at += sizeof body)
        send_whole(fd, body, size - at < sizeof body ? size - at : sizeof body);
}

/* Reads the head, and as much of the body as came with it. */
static size_t read_head(const struct subject *subject, int fd)
{
    const char *mark = subject->which == RPD ? "\n" : "\r\n\r\n";
    size_t got = 0;
    char *end;

    do {
        const ssize_t now = recv(fd, answer + got, sizeof answer - 1 - got, 0);
        if (now <= 0)
            test_die("no answer: %s", now < 0 ? strerror(errno) : "closed");
        got += (size_t)now;
        answer[got] = '\0';
        end = strstr(answer, mark);
    } while (!end);
    if (strncmp(answer, "failed", 6) == 0 || strncmp(answer, "HTTP/1.1 4", 10) == 0 ||
        strncmp(answer, "HTTP/1.1 5", 10) == 0)
        test_die("refused: %.60s", answer);
    return got - (size_t)(end - answer) - strlen(mark);
}

static void read_answer(const struct subject *subject, int fd, size_t size)
{
    size_t got = read_head(subject, fd);

    while (got < size) {
        const ssize_t now = recv(fd, answer, sizeof answer, 0);
        if (now <= 0)
            test_die("the answer ends: %s", now < 0 ? strerror(errno) : "closed");
        got += (size_t)now;
    }
}

/* CPU time per request, in ns. */
static double run_slice(struct subject *subject, bool puts, size_t kind)
{
    const long requests = kinds[kind].requests;
    const pid_t pid = process_pid(subject->processes[puts]);
    int64_t cpu;

    for (int i = 0; i < CONNECTIONS; i++)
        subject->fds[i] = connect_within(puts ? subject->writes_at : subject->reads_at);
    cpu = cpu_time_ns(pid);
    for (long done = 0; done < requests; done += CONNECTIONS) {
        for (int i = 0; i < CONNECTIONS; i++)
            send_request(subject, subject->fds[i], puts, kind);
        for (int i = 0; i < CONNECTIONS; i++)
            read_answer(subject, subject->fds[i], puts ? 0 : kinds[kind].size);
    }
    cpu = cpu_time_ns(pid) - cpu;
    for (int i = 0; i < CONNECTIONS; i++)
        close(subject->fds[i]);
    while (puts && subject->written > 0)
        unlink(textf("%s/p%ld", subject->written_dir, --subject->written));
    return (double)cpu / (double)requests;
}

static bool compare(struct subject *subjects, bool puts, size_t kind, long runs)
{
    static double costs[SERVERS][MAX_RUNS], ratios[MAX_RUNS];
    double ratio;

    for (int which = 0; which < SERVERS; which++)
        run_slice(&subjects[which], puts, kind); /* warm-up */
    for (long run = 0; run < runs; run++) {
        const int first = (int)(run % SERVERS);
        costs[first][run] = run_slice(&subjects[first], puts, kind);
        costs[!first][run] = run_slice(&subjects[!first], puts, kind);
        ratios[run] = costs[RPD][run] / costs[NGINX][run];
    }
    ratio = median(ratios, runs);
    printf("%-4s %-7s %10.1f %10.1f %8.2f\n", puts ? "PUT" : "GET", kinds[kind].name,
           median(costs[RPD], runs) / 1000, median(costs[NGINX], runs) / 1000, ratio);
    fflush(stdout);
    json_figure("samples/files.c",
                textf("CPU, to nginx, %s of %s", puts ? "PUT" : "GET", kinds[kind].name), "ratio",
                ratio);
    return ratio <= CPU_LIMIT;
}

/* ---- 1 GiB, against plain loops ---- */

static void loop_out(int fd, const char *path)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    off_t at = 0;

    while (at < (off_t)GIB && sendfile(fd, file, &at, GIB) > 0)
        continue;
    _exit(0);
}

static void loop_in(int fd, const char *dir)
{
    const int file = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    int pipe_fds[2];
    size_t got = 0;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0 || fcntl(pipe_fds[1], F_SETPIPE_SZ, MIB) < 0)
        _exit(1);
    while (got < GIB) {
        ssize_t now = splice(fd, NULL, pipe_fds[1], NULL, MIB, SPLICE_F_MOVE);
        if (now <= 0)
            _exit(1);
        got += (size_t)now;
        while (now > 0)
            now -= splice(pipe_fds[0], NULL, file, NULL, (size_t)now, SPLICE_F_MOVE);
    }
    if (send(fd, "stored\n", 7, MSG_NOSIGNAL) != 7)
        _exit(1);
    _exit(0);
}

/* Starts a process that runs such a loop for each client; returns its address. */
static const char *start_loop(const struct subject *subject, bool puts, pid_t *ret_pid)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        test_die("a loop cannot listen: %s", strerror(errno));
    processors_use_servers();
    *ret_pid = fork();
    if (*ret_pid == 0 && puts)
        loop_in(accept(listener, NULL, NULL), subject->written_dir);
    else if (*ret_pid == 0)
        loop_out(accept(listener, NULL, NULL), textf("%s/big", subject->read_dir));
    processors_use_clients();
    close(listener);
    return textf("tcp:127.0.0.1:%d", ntohs(address.sin_port));
}

static int connect_or_die(const char *endpoint)
{
    const int fd = connect_to(endpoint);

    if (fd < 0)
        test_die("%s: %s", endpoint, strerror(errno));
    return fd;
}

static double take_gib(int fd, size_t got, int64_t since)
{
    while (got < GIB) {
        const ssize_t now = recv(fd, answer, sizeof answer, 0);
        if (now <= 0)
            test_die("the file ends after %zu bytes", got);
        got += (size_t)now;
    }
    return (double)(now_ns() - since);
}

static double give_gib(int fd, int64_t since)
{
    for (size_t at = 0; at < GIB; at += sizeof body)
        send_whole(fd, body, sizeof body);
    if (read_line(fd, answer, sizeof answer) <= 0 || strcmp(answer, "stored\n") != 0)
        test_die("not stored: %.60s", answer);
    return (double)(now_ns() - since);
}

static double time_loop(const struct subject *subject, bool puts)
{
    pid_t pid;
    const int fd = connect_or_die(start_loop(subject, puts, &pid));
    const int64_t since = now_ns();
    const double passed = puts ? give_gib(fd, since) : take_gib(fd, 0, since);

    close(fd);
    waitpid(pid, NULL, 0);
    return passed;
}

static double time_rpd(struct subject *subject, bool puts)
{
    const int fd = connect_or_die(process_endpoint(subject->processes[puts], "tcp:"));
    const char *line = puts ? textf("PUT g %zu\n", GIB) : "GET big\n";
    const int64_t since = now_ns();
    double passed;

    send_whole(fd, line, strlen(line));
    passed = puts ? give_gib(fd, since) : take_gib(fd, read_head(subject, fd), since);
    close(fd);
    unlink(textf("%s/g", subject->written_dir));
    return passed;
}

static bool compare_gib(struct subject *subject, bool puts, long runs)
{
    static double times[2][MAX_RUNS], ratios[MAX_RUNS];
    double ratio;

    time_rpd(subject, puts);
    time_loop(subject, puts);
    for (long run = 0; run < runs; run++) {
        times[0][run] = time_rpd(subject, puts);
        times[1][run] = time_loop(subject, puts);
        ratios[run] = times[1][run] / times[0][run];
    }
    ratio = median(ratios, runs);
    printf("1 GiB %-6s %10.0f %10.0f %8.2f\n", puts ? "in" : "out",
           1e9 * 1024 / median(times[0], runs), 1e9 * 1024 / median(times[1], runs), ratio);
    fflush(stdout);
    json_figure("samples/files.c", textf("1 GiB %s, to a plain loop", puts ? "in" : "out"), "ratio",
                ratio);
    return ratio >= TIME_LIMIT;
}

int main(int argc, char **argv)
{
    static struct subject subjects[SERVERS];
    struct rounds rounds = {.count = 11, .least = 1, .most = MAX_RUNS};
    const bool has_nginx = access("/usr/sbin/nginx", X_OK) == 0;
    bool is_good = true;

    rounds_parse(&rounds, "bodies", argc, argv);
    for (int which = 0; which < (has_nginx ? SERVERS : 1); which++)
        subject_start(&subjects[which], (enum server)which);
    if (!has_nginx)
        puts("bodies: nginx is not installed: it is left out");
    else
        printf("CPU us a request    rpd      nginx    ratio (at most %.1f)\n", CPU_LIMIT);
    for (size_t i = 0; has_nginx && i < 2 * KINDS; i++)
        is_good &= compare(subjects, i >= KINDS, i % KINDS, rounds.count);
    printf("MiB a second        rpd       loop    ratio (at least %.1f)\n", TIME_LIMIT);
    for (int puts = 0; puts < 2; puts++)
        is_good &= compare_gib(&subjects[RPD], puts, rounds.count);
    for (int which = 0; which < (has_nginx ? SERVERS : 1); which++)
        subject_end(&subjects[which]);
    json_figures_end("bodies");
    return rounds.is_check && !is_good ? 1 : 0;
}
