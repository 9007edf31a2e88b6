#include "bodies_scene.h"

struct bodies serve_bodies_in(const char *const *more_env, const char *top, const char *options,
                              const char *more)
{
    struct bodies server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    write_text(config,
               textf("{%s\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\","
                     "\"tcp:127.0.0.1:0\"],\"options\":{\"directory\":\"%s\"%s}%s}]}",
                     top, test_plugin("bodies"), server.endpoint, server.dir, options, more));
    write_text(textf("%s/file", server.dir), "0123456789");
    server.rpd = process_start(&(struct process_options){.argv = ARGS("rpd", "-c", config),
                                                         .runtime_dir = textf("%s/run", server.dir),
                                                         .env = more_env,
                                                         .notify = true});
    assert_bound(server.rpd);
    assert_line(server.rpd, ": ready");
    server.tcp = process_endpoint(server.rpd, "tcp:");
    return server;
}

struct bodies serve_bodies_with(const char *top, const char *options, const char *more)
{
    return serve_bodies_in(NULL, top, options, more);
}

struct bodies serve_bodies(void)
{
    return serve_bodies_with("", "", "");
}

void end_bodies(struct bodies *server)
{
    assert_stops(server->rpd);
    const char *text = process_stderr(server->rpd);
    cr_assert(strstr(text, "test: balanced") && !strstr(text, "WRONG"), "%s", text);
    process_free(server->rpd);
    temp_dir_remove(server->dir);
}

unsigned char byte_at(size_t at)
{
    return (unsigned char)((at * 2654435761u) >> 13);
}

char *make_bytes(size_t size)
{
    char *bytes = malloc(size + 1);

    cr_assert(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)byte_at(i);
    return bytes;
}

char *read_whole(const char *path, size_t *ret_size)
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

long memory_kb(struct process *process)
{
    const char *text = file_read(textf("/proc/%d/status", (int)process_pid(process)));
    const char *field = text ? strstr(text, "VmRSS:") : NULL;

    cr_assert(field);
    return strtol(field + 6, NULL, 10);
}

void make_file(const struct bodies *server, const char *name, size_t size)
{
    char *bytes = make_bytes(size);

    file_write(textf("%s/%s", server->dir, name), bytes, size);
    free(bytes);
}

void make_sparse(const struct bodies *server, const char *name, off_t size)
{
    const int fd = open(textf("%s/%s", server->dir, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert(fd >= 0 && ftruncate(fd, size) == 0);
    close(fd);
}

void hear(const struct bodies *server, int fd, const char *wanted)
{
    assert_text(hear_line(fd), wanted, server->rpd);
}

void ask_for(const struct bodies *server, int fd, const char *line, const char *wanted)
{
    tell(fd, line);
    hear(server, fd, wanted);
}

void assert_part(const struct bodies *server, int fd, size_t offset, size_t size)
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

unsigned sum_of(const char *bytes, size_t size)
{
    unsigned sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + (unsigned char)bytes[i];
    return sum;
}

void put(const struct bodies *server, int fd, const char *how, const char *bytes, size_t size)
{
    tell(fd, textf("take %zu %s", size, how));
    cr_assert_eq(send_all(fd, bytes, size), 0, "%s", process_stderr(server->rpd));
}
