/* See scene.h. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_MAX = 8192 };

/* ---- the daemon ----------------------------------------------------------------------------- */

const char *scene_http(const char *dir)
{
    return textf("unix:%s/http.sock", dir);
}

const char *scene_helper(const char *dir)
{
    return textf("unix:%s/cache.crsh", dir);
}

const char *scene_configuration(const char *dir, const char *options, const char *service)
{
    const char *path = textf("%s/config.json", dir);
    const char *text = textf(
        "{\"workers\": 3, \"services\": [{\"name\": \"buildcache\", \"plugin\": \"%s\", "
        "\"listen\": [\"%s\", \"%s\", \"tcp:127.0.0.1:0\"]%s, "
        "\"options\": {\"directory\": \"%s/cache\"%s}}]}",
        build_path("plugins/buildcache.so"), scene_http(dir), scene_helper(dir), service, dir,
        options);

    file_write(path, text, strlen(text));
    return path;
}

static struct process *start(const char *dir, const char *options, const char *service,
                             const char *const *env)
{
    struct process *process = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", scene_configuration(dir, options, service)),
        .runtime_dir = dir,
        .notify = true,
        .env = env});

    if (process_wait_bound(process) != 0)
        test_die("not bound: %s", process_stderr(process));
    return process;
}

struct process *scene_start(const char *dir, const char *options, const char *service)
{
    return start(dir, options, service, ARGS("LD_PRELOAD"));
}

void scene_open_gate(const char *dir, int folders)
{
    const char *path = textf("%s/gate", dir), *next = textf("%s/gate.next", dir);
    const char *text = textf("%d", folders);

    file_write(next, text, strlen(text));
    if (rename(next, path) != 0)
        test_die("rename %s: %s", next, strerror(errno));
}

struct process *scene_start_gated(const char *dir, const char *options)
{
    scene_open_gate(dir, 0);
    return start(dir, options, "",
                 ARGS(textf("LD_PRELOAD=%s", build_path("tests/buildcache/slow_folders.so")),
                      textf("BUILDCACHE_GATE=%s/gate", dir)));
}

void scene_await_ready(struct process *process)
{
    if (process_wait_line(process, "buildcache: ready") != 0)
        test_die("not ready: %s", process_stderr(process));
}

/* ---- clients -------------------------------------------------------------------------------- */

int scene_connect(const char *endpoint)
{
    const int64_t until = now_ns() + 20000000000;
    int fd;

    while ((fd = connect_to(endpoint)) < 0 && now_ns() < until)
        poll(NULL, 0, 2);
    if (fd < 0)
        test_die("connect %s: %s", endpoint, strerror(errno));
    return fd;
}

/* With the empty line; false: it has ended before. */
static bool read_head(int fd, char head[HEAD_MAX])
{
    size_t size = 0;

    while (size + 1 < HEAD_MAX) {
        if (read_exactly(fd, head + size, 1) != 1)
            return false;
        head[++size] = '\0';
        if (size >= 4 && memcmp(head + size - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

struct answer scene_read_answer(int fd, bool is_head)
{
    static char head[HEAD_MAX], *body;
    struct answer answer = {.head = head};
    const char *length;

    do {
        if (!read_head(fd, head) || sscanf(head, "HTTP/1.1 %d ", &answer.status) != 1)
            return (struct answer){.head = head};
    } while (answer.status == 100);
    length = strcasestr(head, "\r\nContent-Length: ");
    answer.size = length ? strtoul(length + 18, NULL, 10) : 0;
    if (is_head)
        return answer;
    free(body);
    body = answer.body = malloc(answer.size + 1);
    if (!body)
        test_die("out of memory");
    if (read_exactly(fd, body, answer.size) != (ssize_t)answer.size)
        answer.status = 0;
    body[answer.size] = '\0';
    return answer;
}

struct answer scene_ask(int fd, const char *method, const char *path, const char *headers,
                        const void *body, size_t size)
{
    const char *length = body ? textf("Content-Length: %zu\r\n", size) : "";
    const char *head = textf("%s %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n", method, path, length,
                             headers);

    if (send_all(fd, head, strlen(head)) != 0 || (body && send_all(fd, body, size) != 0)) {
        /* The answer to what was sent may be there. */
    }
    return scene_read_answer(fd, strcmp(method, "HEAD") == 0);
}

struct answer scene_get(const char *dir, const char *path)
{
    const int fd = scene_connect(scene_http(dir));
    const struct answer answer = scene_ask(fd, "GET", path, "", NULL, 0);

    close(fd);
    return answer;
}

int scene_put(const char *dir, const char *path, const void *body, size_t size)
{
    const int fd = scene_connect(scene_http(dir));
    const struct answer answer = scene_ask(fd, "PUT", path, "", body, size);

    close(fd);
    return answer.status;
}

/* Long enough for many; each is its own for as long as 64 are asked for. */
char *scene_bytes(unsigned seed, size_t size)
{
    static char *kept[64];
    static unsigned next;
    uint64_t state = (seed + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    char *bytes;

    free(kept[next]);
    bytes = kept[next] = malloc(size + 1);
    next = (next + 1) % 64;
    if (!bytes)
        test_die("out of memory");
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (char)(state >> 24);
    }
    return bytes;
}

/* ---- the disk ------------------------------------------------------------------------------- */

static FTS *walk(const char *dir)
{
    char *const roots[] = {(char *)(uintptr_t)textf("%s/cache/objects", dir), NULL};

    return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
}

size_t scene_count_objects(const char *dir, uint64_t *ret_bytes)
{
    FTS *tree = walk(dir);
    size_t count = 0;
    FTSENT *entry;

    if (ret_bytes)
        *ret_bytes = 0;
    while (tree && (entry = fts_read(tree)))
        if (entry->fts_info == FTS_F && *entry->fts_name != '.') {
            count++;
            if (ret_bytes)
                *ret_bytes += ((uint64_t)entry->fts_statp->st_size + 4095) / 4096 * 4096;
        }
    if (tree)
        fts_close(tree);
    return count;
}

bool scene_has_leftovers(const char *dir)
{
    FTS *tree = walk(dir);
    bool found = false;
    FTSENT *entry;

    while (tree && (entry = fts_read(tree)))
        found |= entry->fts_info == FTS_F && *entry->fts_name == '.';
    if (tree)
        fts_close(tree);
    return found;
}

/* O_NOATIME: the time of use is not ours to change. */
static bool has_key(const char *path, const char *key)
{
    char bytes[1024] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
    const ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);

    if (fd >= 0)
        close(fd);
    return size > 0 && memmem(bytes, (size_t)size, key, strlen(key));
}

const char *scene_find_object(const char *dir, const char *key)
{
    FTS *tree = walk(dir);
    const char *found = NULL;
    FTSENT *entry;

    while (tree && !found && (entry = fts_read(tree)))
        if (entry->fts_info == FTS_F && has_key(entry->fts_path, key))
            found = textf("%s", entry->fts_path);
    if (tree)
        fts_close(tree);
    return found;
}

bool scene_is_long(void)
{
    const char *mode = getenv("RPD_TEST_LONG");

    return mode && *mode && strcmp(mode, "0") != 0;
}
