/* Reading secrets. See secret.h. */
#include "plugin/secret.h"

#include "base/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct secret_file {
    char path[PATH_MAX];
    enum exit_code *code;
    char *why;
};

static int refuse(const struct secret_file *file, enum exit_code code, const char *what,
                  const char *advice)
{
    *file->code = code;
    snprintf(file->why, SECRET_WHY_MAX, "%.180s: %s; %s", file->path, what, advice);
    return -1;
}

static int find(struct secret_file *file, const char *name)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    int size;

    if (*name == '/') {
        size = snprintf(file->path, sizeof file->path, "%s", name);
    } else {
        snprintf(file->path, sizeof file->path, "%s", name);
        if (!*name || strchr(name, '/') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
            return refuse(file, EXIT_CONFIG,
                          "is neither an absolute path nor the name of a "
                          "credential",
                          "write the whole path");
        if (!directory || *directory != '/')
            return refuse(file, EXIT_CONFIG,
                          "$CREDENTIALS_DIRECTORY, which should have it, is "
                          "not set",
                          "pass it with LoadCredential=, or write "
                          "the whole path");
        size = snprintf(file->path, sizeof file->path, "%s/%s", directory, name);
    }
    return size < (int)sizeof file->path
               ? 0
               : refuse(file, EXIT_CONFIG, "the path is too long", "use a shorter one");
}

static int check(const struct secret_file *file, const struct stat *status)
{
    if (!S_ISREG(status->st_mode))
        return refuse(file, EXIT_SECURITY, "is not a regular file", "name one");
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return refuse(file, EXIT_SECURITY,
                      "belongs to another user, which knows it and may change it",
                      "let root own it, or the user that rpd runs as");
    if (owner_others_can_read(status))
        return refuse(file, EXIT_SECURITY, "others can read it", "chmod 0600 it");
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return refuse(file, EXIT_SECURITY, "others can write it", "chmod 0600 it");
    if (status->st_size > SECRET_MAX)
        return refuse(file, EXIT_CONFIG, "is larger than 64 KiB", "make it smaller");
    return 0;
}

static int explain_open(const struct secret_file *file)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return refuse(file, EXIT_MISSING_FILE, strerror(errno), "name a file that is there");
    if (errno == EACCES || errno == EPERM || errno == ELOOP)
        return refuse(file, EXIT_SECURITY, strerror(errno),
                      "let the user that rpd runs as own it, or pass it with LoadCredential=");
    return refuse(file, EXIT_SYSTEM, strerror(errno), "free what is short");
}

/* The bytes that were read, or -1. */
static ssize_t read_whole(int fd, char *text)
{
    size_t size = 0;

    while (size <= SECRET_MAX) {
        const ssize_t got = read(fd, text + size, SECRET_MAX + 1 - size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : (ssize_t)size;
        size += (size_t)got;
    }
    errno = EFBIG;
    return -1;
}

/* One line, or several, but text. */
static int take_text(const struct secret_file *file, int fd, char *text)
{
    ssize_t size = read_whole(fd, text);

    if (size < 0)
        return refuse(file, EXIT_SYSTEM, strerror(errno), "look at the file");
    if (size > 0 && text[size - 1] == '\n')
        size--;
    text[size] = '\0';
    if (size == 0)
        return refuse(file, EXIT_CONFIG, "is empty", "write the secret into it");
    if (memchr(text, '\0', (size_t)size))
        return refuse(file, EXIT_CONFIG, "has a byte 0 in it", "write text");
    return 0;
}

static int read_checked(const struct secret_file *file, char *text)
{
    struct stat status = {0};
    const int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int result;

    if (fd < 0)
        return explain_open(file);
    result = fstat(fd, &status) < 0 ? refuse(file, EXIT_SYSTEM, strerror(errno), "try again")
                                    : check(file, &status);
    if (result == 0)
        result = take_text(file, fd, text);
    close(fd);
    return result;
}

static char *no_memory(const struct secret_file *file)
{
    refuse(file, EXIT_SYSTEM, "out of memory", "free some");
    return NULL;
}

char *secret_read(const char *name, enum exit_code *ret_code, char ret_why[SECRET_WHY_MAX])
{
    struct secret_file file = {.code = ret_code, .why = ret_why};
    char *text, *secret = NULL;

    if (find(&file, name) < 0)
        return NULL;
    text = calloc(1, SECRET_MAX + 2);
    if (!text)
        return no_memory(&file);
    if (read_checked(&file, text) == 0) {
        secret = strdup(text);
        if (!secret)
            no_memory(&file);
    }
    explicit_bzero(text, SECRET_MAX + 2);
    free(text);
    return secret;
}

void secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}
