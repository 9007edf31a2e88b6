/* Opens, reads and parses a configuration file. See config/file.h. */
#include "config/file.h"

#include "base/owner.h"
#include "base/trusted_path.h"
#include "library/libjansson.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SHOWN_MAX = 256 };

static const char step_name[] = "config";

/* Room must be left in an error for what is wrong. */
static char *shown_name(const char *path)
{
    size_t length = strlen(path);
    char *name = NULL;

    if (length <= NAME_SHOWN_MAX)
        return strdup(path);
    if (asprintf(&name, "...%s", path + length - (NAME_SHOWN_MAX - 3)) < 0)
        return NULL;
    return name;
}

/* The directory's links are resolved, so that one file has one name wherever
 * it is named from; the file's own are not: it stands where the user sees it. */
static int find_directory(struct config_file *file, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const char *base = slash ? slash + 1 : path;

    if (!parent)
        return -1;
    file->directory = realpath(parent, NULL);
    free(parent);
    if (!file->directory)
        return -1;
    if (asprintf(&file->path, "%s/%s", strcmp(file->directory, "/") == 0 ? "" : file->directory,
                 base) < 0) {
        file->path = NULL;
        return -1;
    }
    return 0;
}

/* Of the range that systemd takes the users of DynamicUser= from. To give such a user a file would
 * give it to the next user of that number. */
static bool is_dynamic(uid_t user)
{
    return user >= 61184 && user <= 65519;
}

static int explain_open(const char *name, int reason, struct error_list *errors)
{
    switch (reason) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
        return error_list_add(errors, EXIT_MISSING_FILE, step_name, name,
                              "%s; name a file that is there", strerror(reason));
    case ENXIO:
    case ENODEV:
        return error_list_add(errors, EXIT_SECURITY, step_name, name,
                              "is not a regular file; name one");
    case EACCES:
    case EPERM:
        if (is_dynamic(geteuid()))
            return error_list_add(errors, EXIT_SECURITY, step_name, name,
                                  "%s; this user exists only while the service runs: pass the "
                                  "file with LoadCredential=, or chmod a+r it",
                                  strerror(reason));
        return error_list_add(errors, EXIT_SECURITY, step_name, name,
                              "%s; chmod u+r it, or chown it to user %u", strerror(reason),
                              (unsigned)geteuid());
    default:
        return error_list_add(errors, EXIT_SYSTEM, step_name, name, "cannot open: %s",
                              strerror(reason));
    }
}

/* The file decides which code runs, so no other user may influence it. */
static int check_opened(const char *name, const char *path, const struct stat *status,
                        struct error_list *errors)
{
    const bool is_unmapped = owner_is_unmapped(status->st_uid);

    if (!S_ISREG(status->st_mode))
        return error_list_add(errors, EXIT_SECURITY, step_name, name,
                              "is not a regular file; name one");
    if (is_unmapped && !owner_is_the_systems(path))
        return error_list_add(errors, EXIT_SECURITY, step_name, name, OWNER_UNMAPPED_ADVICE);
    if (status->st_uid != 0 && !owner_is_us(status->st_uid) && !is_unmapped)
        return error_list_add(errors, EXIT_SECURITY, step_name, name,
                              "belongs to user %u, who could change it; chown it to root or to "
                              "user %u",
                              (unsigned)status->st_uid, (unsigned)geteuid());
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return error_list_add(errors, EXIT_SECURITY, step_name, name,
                              "can be written by others than its owner (mode %04o); chmod go-w it",
                              (unsigned)status->st_mode & 07777);
    return 0;
}

static int too_large(const char *name, struct error_list *errors)
{
    return error_list_add(errors, EXIT_CONFIG, step_name, name,
                          "is larger than %d bytes; make it smaller", CONFIG_FILE_SIZE_MAX);
}

/* The opened file's descriptor, or -1. No other user can turn the path elsewhere: neither its
 * directories nor its links. O_NONBLOCK is for pipes and devices. */
static int open_checked(const char *path, const char *name, struct error_list *errors)
{
    char resolved[PATH_MAX];
    struct error error;
    struct stat status;
    const int cause = trusted_path_resolve(path, resolved, step_name, &error);
    int fd;

    if (cause != 0)
        return cause < 0 ? error_list_push(errors, &error) : explain_open(name, cause, errors);
    fd = open(resolved, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0)
        return explain_open(name, errno, errors);
    if (fstat(fd, &status) < 0)
        error_list_add(errors, EXIT_SYSTEM, step_name, name, "cannot look at it: %s",
                       strerror(errno));
    else if (check_opened(name, resolved, &status, errors) == 0) {
        if (status.st_size <= CONFIG_FILE_SIZE_MAX)
            return fd;
        too_large(name, errors);
    }
    close(fd);
    return -1;
}

/* Up to the end, which may have moved since the size was looked at. Untouched
 * pages of the buffer cost nothing. */
static int read_text(int fd, struct config_file *file, struct error_list *errors)
{
    const size_t room = CONFIG_FILE_SIZE_MAX + 1;
    ssize_t got;

    file->text = malloc(room);
    if (!file->text)
        return error_list_out_of_memory(errors);
    do {
        got = read(fd, file->text + file->size, room - file->size);
        if (got > 0)
            file->size += (size_t)got;
    } while (got > 0 ? file->size < room : got < 0 && errno == EINTR);
    if (got < 0)
        return error_list_add(errors, EXIT_SYSTEM, step_name, file->name, "cannot read: %s",
                              strerror(errno));
    if (file->size > CONFIG_FILE_SIZE_MAX)
        return too_large(file->name, errors);
    return 0;
}

static int mistake_at(const struct config_file *file, struct error_list *errors, size_t line,
                      size_t column, const char *text)
{
    char object[NAME_SHOWN_MAX + 64];

    snprintf(object, sizeof object, "%s:%zu:%zu", file->name, line, column);
    return error_list_add(errors, EXIT_CONFIG, step_name, object, "%s", text);
}

/* jansson recurses, as does each walk of the tree. The depth must be known before
 * the stack overflows. */
static int check_depth(const struct config_file *file, struct error_list *errors)
{
    struct json_place place = {file->text, file->text + file->size, 1, 1};
    unsigned depth = 0;
    bool in_string = false;

    for (; place.at < place.end; json_place_step(&place)) {
        if (in_string && *place.at == '\\' && place.at + 1 < place.end)
            json_place_step(&place);
        else if (*place.at == '"')
            in_string = !in_string;
        else if (in_string)
            continue;
        else if ((*place.at == ']' || *place.at == '}') && depth > 0)
            depth--;
        else if ((*place.at == '[' || *place.at == '{') && ++depth > CONFIG_FILE_DEPTH_MAX)
            return mistake_at(file, errors, place.line, place.column,
                              "nested more than 32 levels deep");
    }
    return 0;
}

static int check_start(const struct config_file *file, struct error_list *errors)
{
    static const char spaces[] = {' ', '\t', '\r', '\n'};
    size_t at = 0;

    if (file->size >= 3 && memcmp(file->text, "\xef\xbb\xbf", 3) == 0)
        return mistake_at(file, errors, 1, 1,
                          "starts with a byte order mark; save it as UTF-8 without one");
    while (at < file->size && memchr(spaces, file->text[at], sizeof spaces))
        at++;
    if (at == file->size)
        return mistake_at(file, errors, 1, 1,
                          "the file is empty; the least is "
                          "{\"services\": [{\"plugin\": \"NAME.so\"}]}");
    return 0;
}

static int parse(struct config_file *file, struct error_list *errors)
{
    json_error_t error;
    char text[sizeof error.text + 48];

    if (check_start(file, errors) < 0 || check_depth(file, errors) < 0)
        return -1;
    file->tree = json_loadb(file->text, file->size, JSON_REJECT_DUPLICATES, &error);
    if (file->tree)
        return 0;
    if (json_error_code(&error) == json_error_out_of_memory)
        return error_list_out_of_memory(errors);
    snprintf(text, sizeof text, "this is not JSON: %s; fix it here", error.text);
    return mistake_at(file, errors, error.line > 0 ? (size_t)error.line : 1,
                      error.column > 0 ? (size_t)error.column : 1, text);
}

/* The mode of the copy says whether other users can read the file. */
int config_file_copy(const struct config_file *file)
{
    const int fd = memfd_create("rpd-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t written = 0;

    if (fd < 0 || fchmod(fd, file->is_seen_by_others ? 0644 : 0600) < 0)
        goto failed;
    while (written < file->size) {
        const ssize_t wrote = pwrite(fd, file->text + written, file->size - written,
                                     (off_t)written);

        if (wrote <= 0)
            goto failed;
        written += (size_t)wrote;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
        return fd;
failed:
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The copies of a descriptor share their place in the file. */
static int open_copy(int copy_fd)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", copy_fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int config_file_read(struct config_file *file, const char *path, int copy_fd,
                     struct error_list *errors)
{
    struct stat status;
    int fd;
    int result;

    file->name = shown_name(path);
    if (!file->name)
        return error_list_out_of_memory(errors);
    fd = copy_fd > 0 ? open_copy(copy_fd) : open_checked(path, file->name, errors);
    if (fd < 0 && copy_fd > 0)
        return error_list_add(errors, EXIT_SYSTEM, step_name, file->name,
                              "cannot read the copy of it: %s; mount /proc", strerror(errno));
    if (fd < 0)
        return -1;
    file->is_seen_by_others = fstat(fd, &status) < 0 || owner_others_can_read(&status);
    result = read_text(fd, file, errors);
    close(fd);
    if (result < 0)
        return -1;
    if (find_directory(file, path) < 0)
        return error_list_add(errors, EXIT_SYSTEM, step_name, file->name,
                              "cannot find its directory: %s", strerror(errno));
    return parse(file, errors);
}

void config_file_finish(struct config_file *file)
{
    json_decref(file->tree);
    free(file->name);
    free(file->path);
    free(file->directory);
    free(file->text);
}

int config_file_mistake(const struct config_file *file, struct error_list *errors,
                        const struct json_path *path, enum json_part part, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    char where[JSON_PATH_TEXT_MAX];
    struct json_place place;
    va_list arguments;
    int used;

    if (!error_list_has_room(errors)) /* do not scan for what is not shown */
        return -1;
    json_place_find(&place, file->text, file->size, path, part);
    used = snprintf(text, sizeof text, "%s: ", json_path_text(path, where));
    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    va_end(arguments);
    return mistake_at(file, errors, place.line, place.column, text);
}

char *config_file_origin(const struct config_file *file, const struct json_place *place)
{
    char *origin;

    if (asprintf(&origin, "%s:%zu:%zu", file->name, place->line, place->column) < 0)
        return NULL;
    return origin;
}
