/* The basis of all other files here: cleaning up, text, paths, files, the clock. See process.h. */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct support_registry support_registry = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- Cleaning up ------------------------------------------------------ */

static void remove_tree(const char *path);

static void clean_up(void)
{
    if (support_registry.owner != getpid())
        return;
    for (struct process *p = support_registry.processes; p; p = p->next) {
        if (p->exited)
            continue;
        pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
        waitpid(p->pid, NULL, 0);
        p->exited = true;
    }
    while (support_registry.dirs) {
        struct temp_dir *dir = support_registry.dirs;
        support_registry.dirs = dir->next;
        remove_tree(dir->path);
        free(dir);
    }
}

void support_registry_lock(void)
{
    pthread_mutex_lock(&support_registry.mutex);
    if (support_registry.owner == getpid())
        return;
    /* The first use, or a fork of a test: the parent's files stay the parent's. */
    const bool again = support_registry.owner != 0;
    support_registry.owner = getpid();
    support_registry.processes = NULL;
    support_registry.dirs = NULL;
    if (!again)
        atexit(clean_up);
}

void support_registry_unlock(void)
{
    pthread_mutex_unlock(&support_registry.mutex);
}

void test_die(const char *format, ...)
{
    va_list args;

    fputs("test support: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    clean_up();
    abort();
}

void *support_check_memory(void *memory)
{
    if (!memory)
        test_die("out of memory");
    return memory;
}

/* ---- Text and paths --------------------------------------------------- */

static char *text_room(size_t size)
{
    struct text *text = support_check_memory(malloc(sizeof *text + size));

    support_registry_lock();
    text->next = support_registry.texts;
    support_registry.texts = text;
    support_registry_unlock();
    return text->data;
}

const char *textf(const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    const int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0)
        test_die("textf: bad format: %s", format);
    char *data = text_room((size_t)size + 1);
    vsnprintf(data, (size_t)size + 1, format, again);
    va_end(again);
    return data;
}

const char *temp_dir_make(void)
{
    const char *base = getenv("TMPDIR");
    if (!base || strlen(base) > 40)
        base = "/tmp";

    char path[64];
    snprintf(path, sizeof path, "%s/rpd-XXXXXX", base);
    if (!mkdtemp(path))
        test_die("mkdtemp: %s: %s", path, strerror(errno));
    struct temp_dir *dir = support_check_memory(malloc(sizeof *dir));
    dir->path = textf("%s", path);

    support_registry_lock();
    dir->next = support_registry.dirs;
    support_registry.dirs = dir;
    support_registry_unlock();
    return dir->path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    if (type == FTW_DNR)
        chmod(path, 0700);
    else
        remove(path);
    return 0;
}

static void remove_tree(const char *path)
{
    /* Each further pass goes one level deeper into directories that a test made unreadable. */
    for (int pass = 0; pass < 8 && access(path, F_OK) == 0; pass++)
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void temp_dir_remove(const char *path)
{
    support_registry_lock();
    for (struct temp_dir **at = &support_registry.dirs; *at; at = &(*at)->next) {
        if (strcmp((*at)->path, path) != 0)
            continue;
        struct temp_dir *found = *at;
        *at = found->next;
        remove_tree(path);
        free(found);
        break;
    }
    support_registry_unlock();
}

const char *support_build_dir(void)
{
    const char *build = getenv("RPD_BUILD");

#ifdef RPD_BUILD_DIR
    if (!build)
        build = RPD_BUILD_DIR;
#endif
    return build;
}

const char *build_path(const char *relative)
{
    const char *build = support_build_dir();

    if (!build)
        test_die("RPD_BUILD is not set; set it to the build directory");
    return textf("%s/%s", build, relative);
}

bool is_sanitized(void)
{
    return strstr(build_path(""), "asan") || strstr(build_path(""), "tsan");
}

const char *beside_path(const char *name)
{
    char path[4096];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);

    if (size <= 0)
        test_die("readlink: /proc/self/exe: %s", strerror(errno));
    path[size] = '\0';
    return textf("%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
}

void file_write(const char *path, const void *data, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0)
        test_die("write: %s: %s", path, strerror(errno));
}

const char *file_read(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;

    char *data = NULL;
    size_t size = 0;
    ssize_t got;
    do {
        data = support_check_memory(realloc(data, size + 4096));
        got = read(fd, data + size, 4095);
        size += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    const int error = errno;
    close(fd);
    data[size] = '\0';
    const char *text = got < 0 ? NULL : textf("%s", data);
    free(data);
    errno = error;
    return text;
}

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t support_deadline_ns(void)
{
    const char *seconds = getenv("RPD_TEST_DEADLINE_S");
    const long value = seconds ? strtol(seconds, NULL, 10) : 0;

    return (value > 0 && value <= 3600 ? value : 20) * NS_PER_S;
}
