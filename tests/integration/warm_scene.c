/* A daemon that warms up. See warm_scene.h. */
#include "warm_scene.h"

const char *or_none(const char *text)
{
    return text ? text : "";
}

struct warm start_warm(const struct warm_start *start)
{
    struct warm warm = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", warm.dir);

    warm.run = textf("%s/run", warm.dir);
    warm.gates = textf("%s/gates", warm.dir);
    warm.path = textf("%s/x.sock", warm.dir);
    warm.endpoint = textf("unix:%s", warm.path);
    cr_assert(mkdir(warm.run, 0700) == 0 && mkdir(warm.gates, 0700) == 0);
    warm.run_fd = open(warm.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    write_text(config, textf("{%s\"services\":[{%s\"name\":\"warm\",\"plugin\":\"%s\",\"listen\":["
                             "{%s\"endpoint\":\"%s\"},\"tcp:127.0.0.1:0\"],"
                             "\"options\":{%s\"gates\":\"%s\"}}]}",
                             or_none(start->top), or_none(start->service),
                             test_plugin(start->plugin ? start->plugin : "warm"),
                             or_none(start->listen_more), warm.endpoint, or_none(start->options),
                             warm.gates));
    warm.rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", config),
        .runtime_dir = warm.run,
        .env = start->manager ? ARGS(textf("NOTIFY_SOCKET=%s", start->manager)) : NULL});
    return warm;
}

struct warm bound_warm(const struct warm_start *start)
{
    struct warm warm = start_warm(start);

    assert_line(warm.rpd, ": bound ");
    warm.tcp = process_endpoint(warm.rpd, "tcp:");
    return warm;
}

void open_gate(const struct warm *warm, const char *name)
{
    write_text(textf("%s/%s", warm->gates, name), "");
}

void make_ready(const struct warm *warm)
{
    open_gate(warm, "load");
    assert_line(warm->rpd, ": ready");
}

void assert_clean(const struct warm *warm)
{
    const char *text = process_stderr(warm->rpd);

    cr_assert(!strstr(text, "WRONG") && !strstr(text, "was not cleaned"), "%s", text);
    cr_assert_str_empty(listing(warm->run), "left: %s", listing(warm->run));
    cr_assert_neq(access(warm->path, F_OK), 0, "the socket is left");
}

void end_warm(struct warm *warm)
{
    assert_stops(warm->rpd);
    cr_assert_eq(lines_with(process_stderr(warm->rpd), "test: balanced"), 1, "%s",
                 process_stderr(warm->rpd));
    assert_clean(warm);
    process_free(warm->rpd);
    close(warm->run_fd);
    temp_dir_remove(warm->dir);
}

void end_warm_with(struct warm *warm, int code)
{
    assert_ends(warm->rpd, code);
    assert_clean(warm);
    process_free(warm->rpd);
    close(warm->run_fd);
    temp_dir_remove(warm->dir);
}

int64_t patience_ns(void)
{
    const char *seconds = getenv("RPD_TEST_DEADLINE_S");

    return (seconds && atoi(seconds) > 0 ? atoi(seconds) : 20) * 1000 * NS_PER_MS;
}

struct rpd_state_page page_of(const struct warm *warm)
{
    struct rpd_state_page page;

    cr_assert_eq(state_view_read(warm->run_fd, "warm", &page), 0, "%s\n%s", strerror(errno),
                 process_stderr(warm->rpd));
    return page;
}

void pass_ms(int ms)
{
    const int64_t end = now_ns() + ms * NS_PER_MS;

    for (int64_t left; (left = end - now_ns()) > 0;)
        poll(NULL, 0, (int)(left / NS_PER_MS) + 1);
}

int client_of(const char *endpoint)
{
    const int fd = connect_to(endpoint);

    cr_assert_geq(fd, 0, "%s: %s", endpoint, strerror(errno));
    return fd;
}

void say(int fd, const char *text)
{
    cr_assert_eq(send_all(fd, text, strlen(text)), 0, "%s: %s", text, strerror(errno));
}

const char *rest_of(int fd)
{
    static char text[65536];
    size_t size = 0;
    ssize_t got;

    while ((got = recv(fd, text + size, sizeof text - 1 - size, 0)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    return got < 0 ? textf("%s(%s)", text, strerror(errno)) : text;
}

const char *line_of(int fd)
{
    char text[512];
    const ssize_t got = read_line(fd, text, sizeof text);

    return got < 0 ? textf("(%s)", strerror(errno)) : textf("%s", text);
}

void raise_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}
