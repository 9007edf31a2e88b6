/* What black-box tests share. See common.h. */
#include "common.h"

const char *test_plugin(const char *name)
{
    return build_path(textf("tests/plugins/%s.so", name));
}

bool others_reach_the_build(void)
{
    char path[PATH_MAX];
    struct stat status;

    if (!realpath(build_path("."), path))
        return false;
    for (char *slash = path + strlen(path); slash; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (stat(*path ? path : "/", &status) != 0 || !(status.st_mode & S_IXOTH))
            return false;
    }
    return true;
}

int client(const char *endpoint)
{
    const int fd = connect_to(endpoint);

    cr_assert_geq(fd, 0, "%s: %s", endpoint, strerror(errno));
    return fd;
}

void tell(int fd, const char *line)
{
    const char *whole = textf("%s\n", line);

    cr_assert_eq(send_all(fd, whole, strlen(whole)), 0, "%s: %s", line, strerror(errno));
}

int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *listing(const char *dir)
{
    const char *names[512];
    size_t count = 0;
    const char *result = "";
    DIR *stream = opendir(dir);

    for (const struct dirent *entry; stream && (entry = readdir(stream)) && count < 512;) {
        const size_t size = strlen(entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (size > 5 && strcmp(entry->d_name + size - 5, ".lock") == 0) ||
            (size > 8 && strcmp(entry->d_name + size - 8, ".history") == 0))
            continue;
        const char *path = textf("%s/%s", dir, entry->d_name);
        struct stat status;
        if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode))
            names[count++] = textf("%s/\n%s", path, listing(path));
        else
            names[count++] = textf("%s\n", path);
    }
    if (stream)
        closedir(stream);
    qsort(names, count, sizeof *names, compare_texts);
    for (size_t i = 0; i < count; i++)
        result = textf("%s%s", result, names[i]);
    return result;
}

void write_text(const char *path, const char *text)
{
    file_write(path, text, strlen(text));
}

void copy_file(const char *from, const char *to, mode_t mode)
{
    char block[65536];
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (in < 0 || out < 0)
        test_die("copy %s to %s: %s", from, to, strerror(errno));
    for (ssize_t got; (got = read(in, block, sizeof block)) > 0;)
        if (write(out, block, (size_t)got) != got)
            test_die("write %s: %s", to, strerror(errno));
    close(in);
    close(out);
    if (chmod(to, mode) != 0)
        test_die("chmod %s: %s", to, strerror(errno));
}

size_t lines_with(const char *text, const char *part)
{
    size_t count = 0;

    for (const char *line = text; *line;) {
        const size_t size = strcspn(line, "\n");
        if (memmem(line, size, part, strlen(part)))
            count++;
        line += size + (line[size] == '\n');
    }
    return count;
}

const char *hear_line(int fd)
{
    static char answer[65536];
    const ssize_t got = read_line(fd, answer, sizeof answer);

    if (got <= 0 || answer[got - 1] != '\n')
        return NULL;
    answer[got - 1] = '\0';
    return answer;
}

const char *ask(int fd, const char *line)
{
    const char *whole = textf("%s\n", line);

    return send_all(fd, whole, strlen(whole)) == 0 ? hear_line(fd) : NULL;
}

const char *ask_once(const char *endpoint, const char *line)
{
    const int fd = connect_to(endpoint);

    if (fd < 0)
        return NULL;
    const char *answer = ask(fd, line);
    close(fd);
    return answer;
}

int listen_at(const char *path, int type, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) +
                                   (path[0] != '@'));
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0 &&
        (backlog < 0 || listen(fd, backlog) == 0))
        return fd;
    close(fd);
    return -1;
}
