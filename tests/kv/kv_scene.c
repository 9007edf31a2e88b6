/* See kv_scene.h. */
#include "kv_scene.h"

#include "resp_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWERS = 16, ANSWER_SIZE = 1 << 20 };

const char *scene_endpoint(const char *dir)
{
    return textf("unix:%s/kv.sock", dir);
}

void scene_open_gate(const char *dir, int parts)
{
    const char *path = textf("%s/gate", dir), *next = textf("%s/gate.next", dir);
    const char *text = textf("%d", parts);

    file_write(next, text, strlen(text));
    if (rename(next, path) != 0)
        test_die("rename %s: %s", next, strerror(errno));
}

static struct process *start(const char *dir, const char *top, const char *service,
                             const char *options, const char *const *env)
{
    const char *config = textf("%s/config.json", dir);
    const char *text = textf(
        "{\"workers\": 2, %s\"services\": [{\"name\": \"kv\", \"plugin\": \"%s\", "
        "\"listen\": [\"%s\"]%s, \"options\": {\"snapshot\": \"%s/snap\"%s}}]}",
        top, build_path("plugins/kv.so"), scene_endpoint(dir), service, dir, options);

    file_write(config, text, strlen(text));
    return process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", config), .runtime_dir = dir, .notify = true, .env = env});
}

struct process *scene_start_with(const char *dir, const char *top, const char *service,
                                 const char *options, bool gated)
{
    if (gated)
        scene_open_gate(dir, 0);
    return start(dir, top, service, options,
                 gated ? ARGS(textf("LD_PRELOAD=%s", build_path("tests/kv/slow_parts.so")),
                              textf("KV_GATE=%s/gate", dir))
                       : ARGS("LD_PRELOAD"));
}

struct process *scene_start(const char *dir, const char *service, const char *options, bool gated)
{
    return scene_start_with(dir, "", service, options, gated);
}

struct process *scene_start_with_clock(const char *dir)
{
    return start(dir, "", "", "",
                 ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/wall_clock.so")),
                      textf("TEST_WALL_CLOCK=%s/clock", dir)));
}

void scene_set_clock(const char *dir, long long off_ms)
{
    const char *path = textf("%s/clock", dir), *next = textf("%s/clock.next", dir);
    const char *text = textf("%lld", off_ms);

    file_write(next, text, strlen(text));
    if (rename(next, path) != 0)
        test_die("rename %s: %s", next, strerror(errno));
}

int scene_client(const char *dir)
{
    const int64_t until = now_ns() + 20000000000;
    int fd;

    while ((fd = connect_to(scene_endpoint(dir))) < 0 && now_ns() < until)
        poll(NULL, 0, 2);
    if (fd < 0)
        test_die("connect: %s", strerror(errno));
    return fd;
}

/* Byte by byte, because the next bytes belong to another answer. */
const char *scene_read(int fd)
{
    static char *answers[ANSWERS];
    static unsigned next;
    char *answer = answers[next];
    size_t size = 0, whole;

    if (!answer)
        answer = answers[next] = malloc(ANSWER_SIZE);
    next = (next + 1) % ANSWERS;
    while ((whole = resp_answer_size(answer, size)) == 0) {
        if (size + 1 == ANSWER_SIZE || read_exactly(fd, answer + size, 1) != 1)
            return "(end)";
        size++;
    }
    answer[size >= 2 ? size - 2 : 0] = '\0';
    if (strncmp(answer, "$-1", 3) == 0 || *answer == '_')
        return "(null)";
    return *answer == '$' ? strchr(answer, '\n') + 1 : answer;
}

const char *scene_ask(int fd, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof text - 2, format, arguments);
    va_end(arguments);
    memcpy(text + size, "\r\n", 2);
    if (send_all(fd, text, (size_t)size + 2) != 0)
        return "(not sent)";
    return scene_read(fd);
}

void scene_await_info(int fd, const char *line)
{
    const int64_t until = now_ns() + 20000000000;

    while (!strstr(scene_ask(fd, "INFO"), line)) {
        if (now_ns() > until)
            test_die("no \"%s\" in: %s", line, scene_ask(fd, "INFO"));
        poll(NULL, 0, 2);
    }
}

void scene_await_ready(struct process *process)
{
    if (process_wait_line(process, "kv: ready") != 0)
        test_die("not ready: %s", process_stderr(process));
}
