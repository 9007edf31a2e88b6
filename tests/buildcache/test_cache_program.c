/* ccache-storage-rpd, as ccache starts it; and that what is known to go wrong with such programs
 * does not. */
#include "scene.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { AT_ONCE = 20, CLIENTS = 200 };

static const char *endpoint_of(const char *dir)
{
    return textf("%s/ccache-tmp/storage-rpd-0123", dir);
}

static struct process *start_program(const char *dir, const char *url, const char *config)
{
    return process_start(&(struct process_options){
        .argv = ARGS(build_path("plugins/ccache-storage-rpd")),
        .runtime_dir = dir,
        .directory = dir,
        .env = ARGS(textf("RPDCTL=%s", build_path("rpdctl")), textf("XDG_STATE_HOME=%s", dir),
                    textf("CRSH_IPC_ENDPOINT=%s", endpoint_of(dir)), textf("CRSH_URL=%s", url),
                    "CRSH_IDLE_TIMEOUT=600", "CRSH_NUM_ATTR=2", "CRSH_ATTR_KEY_0=config",
                    textf("CRSH_ATTR_VALUE_0=%s", config), "CRSH_ATTR_KEY_1=service",
                    "CRSH_ATTR_VALUE_1=buildcache")});
}

static const char *prepare(const char *dir, const char *service)
{
    cr_assert_eq(mkdir(textf("%s/ccache-tmp", dir), 0700), 0);
    return scene_configuration(dir, "", service);
}

static const char *url_of(const char *dir)
{
    return textf("rpd://%s/cache.crsh", dir);
}

static int run_program(const char *dir, const char *url, const char *config)
{
    struct process *program = start_program(dir, url, config);
    const int code = process_code(process_wait_exit(program));

    process_free(program);
    return code;
}

/* As ccache does: the socket at its endpoint, and the greeting. Without a greeting: -1. */
static int greeted(const char *dir)
{
    const int fd = connect_to(textf("unix:%s", endpoint_of(dir)));
    char greeting[5];

    if (fd < 0)
        return -1;
    cr_assert_eq(read_exactly(fd, greeting, 5), 5);
    cr_assert_eq(memcmp(greeting, "\1\3\0\1\2", 5), 0);
    return fd;
}

static void stop_service(const char *dir)
{
    struct process *rpdctl = process_start(&(struct process_options){
        .argv = ARGS("rpdctl", "stop", "buildcache"), .runtime_dir = dir});

    cr_assert_eq(process_code(process_wait_exit(rpdctl)), 0, "%s", process_stderr(rpdctl));
    process_free(rpdctl);
}

Test(cache_program, it_starts_the_service_and_ends)
{
    const char *dir = temp_dir_make(), *config = prepare(dir, "");
    int fd;

    cr_assert_eq(run_program(dir, url_of(dir), config), 0);
    fd = greeted(dir);
    cr_assert_geq(fd, 0);
    close(fd);
    stop_service(dir);
    cr_assert_eq(greeted(dir), -1);
    cr_assert_eq(run_program(dir, url_of(dir), config), 0, "and again");
    fd = greeted(dir);
    cr_assert_geq(fd, 0);
    close(fd);
    stop_service(dir);
    temp_dir_remove(dir);
}

/* ccache's lock lets a second program start after 2 s. However many start: one daemon, and what
 * was there is never unlinked under its clients. */
Test(cache_program, many_at_once_start_one_daemon)
{
    const char *dir = temp_dir_make(), *config = prepare(dir, "");
    struct process *programs[AT_ONCE];
    pid_t pid = -1;

    for (size_t i = 0; i < AT_ONCE; i++)
        programs[i] = start_program(dir, url_of(dir), config);
    for (size_t i = 0; i < AT_ONCE; i++) {
        cr_assert_eq(process_code(process_wait_exit(programs[i])), 0, "%s",
                     process_stderr(programs[i]));
        const int fd = greeted(dir);
        cr_assert_geq(fd, 0, "%s", strerror(errno));
        const pid_t now = peer_pid(fd);
        cr_assert(pid == -1 || pid == now);
        pid = now;
        close(fd);
        process_free(programs[i]);
    }
    /* Once it is there, no connect fails while more programs come. */
    for (size_t i = 0; i < AT_ONCE / 4; i++)
        programs[i] = start_program(dir, url_of(dir), config);
    for (size_t i = 0; i < AT_ONCE / 4; i++) {
        while (process_alive(programs[i])) {
            const int fd = greeted(dir);
            cr_assert_geq(fd, 0, "%s", strerror(errno));
            cr_assert_eq(peer_pid(fd), pid);
            close(fd);
        }
        process_free(programs[i]);
    }
    stop_service(dir);
    temp_dir_remove(dir);
}

/* ccache takes a full backlog for success, and waits 10 s for a greeting that does not come. */
Test(cache_program, each_of_many_clients_is_greeted)
{
    const char *dir = temp_dir_make(), *config = prepare(dir, "");
    int fds[CLIENTS];

    cr_assert_eq(run_program(dir, url_of(dir), config), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = connect_to(textf("unix:%s", endpoint_of(dir)));
        cr_assert_geq(fds[i], 0, "%zu: %s", i, strerror(errno));
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        char greeting[5];
        cr_assert_eq(read_exactly(fds[i], greeting, 5), 5, "%zu", i);
        close(fds[i]);
    }
    stop_service(dir);
    temp_dir_remove(dir);
}

/* A compilation is longer than the idle exit: its connection is silent, and the daemon stays. */
Test(cache_program, it_is_there_as_long_as_a_client_is)
{
    const char *dir = temp_dir_make(), *config = prepare(dir, ", \"idle_exit_s\": 1");
    int64_t until;
    int fd;

    cr_assert_eq(run_program(dir, url_of(dir), config), 0);
    fd = greeted(dir);
    cr_assert_geq(fd, 0);
    struct pollfd compiling = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&compiling, 1, 2500), 0, "the connection stays");
    cr_assert_eq(send_all(fd, "\5\1k", 3), 0);
    cr_assert_eq(read_exactly(fd, (char[2]){0}, 2), 2);
    close(fd);
    until = now_ns() + 20000000000;
    while ((fd = connect_to(scene_helper(dir))) >= 0 && now_ns() < until) {
        /* Each look is a client: so look seldom. */
        close(fd);
        poll(NULL, 0, 2500);
    }
    cr_assert_eq(fd, -1, "and ends when it is idle");
    cr_assert_eq(run_program(dir, url_of(dir), config), 0);
    fd = greeted(dir);
    cr_assert_geq(fd, 0);
    close(fd);
    stop_service(dir);
    temp_dir_remove(dir);
}

/* What another helper has left at ccache's endpoint, dead or alive, makes way. */
Test(cache_program, what_was_at_the_endpoint_makes_way)
{
    const char *dir = temp_dir_make(), *config = prepare(dir, "");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int left = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", endpoint_of(dir));
    cr_assert_eq(bind(left, (struct sockaddr *)&address, sizeof address), 0);
    close(left);
    cr_assert_eq(run_program(dir, url_of(dir), config), 0);
    fd = greeted(dir);
    cr_assert_geq(fd, 0);
    close(fd);
    unlink(endpoint_of(dir));
    cr_assert_eq(symlink("/nowhere/x.crsh", endpoint_of(dir)), 0);
    cr_assert_eq(run_program(dir, url_of(dir), config), 0);
    fd = greeted(dir);
    cr_assert_geq(fd, 0);
    close(fd);
    stop_service(dir);
    temp_dir_remove(dir);
}

/* ccache shows nothing of it, so the cause is in a file beside the endpoint. */
Test(cache_program, a_failure_says_why)
{
    static const struct {
        const char *url, *config;
        int code;
        const char *text;
    } cases[] = {{"rpd://cache.crsh", "/c.json", 64, "CRSH_URL"},
                 {"rpd:///x.crsh", "c.json", 64, "absolute"},
                 {"rpd:///x.crsh", "/nowhere/c.json", 66, "/nowhere/c.json"}};
    const char *dir = temp_dir_make(), *config = prepare(dir, "");
    const char *path = textf("%s.error", endpoint_of(dir));

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(run_program(dir, cases[i].url, cases[i].config), cases[i].code, "%zu", i);
        const char *text = file_read(path);
        cr_assert_not_null(text);
        cr_expect_not_null(strstr(text, cases[i].text), "%s", text);
        cr_assert_eq(access(endpoint_of(dir), F_OK), -1);
    }
    /* The service runs, but not at that endpoint. */
    cr_assert_eq(run_program(dir, textf("rpd://%s/other.crsh", dir), config), 64);
    cr_assert_not_null(strstr(file_read(path), "add \"unix:"));
    cr_assert_eq(run_program(dir, url_of(dir), config), 0);
    cr_assert_eq(access(path, F_OK), -1, "a success removes it");
    stop_service(dir);
    temp_dir_remove(dir);
}
