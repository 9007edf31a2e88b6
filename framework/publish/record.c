/* Records. See record.h. */
#include "publish/record.h"

#include "library/libjansson.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_VERSION = 1, RECORD_MAX = 64 * 1024 };

static json_t *make_json(const struct record_content *content)
{
    json_t *endpoints = json_array();

    for (size_t i = 0; i < content->endpoint_count; i++)
        json_array_append_new(endpoints, json_string(content->endpoints[i]));
    return json_pack("{s:i, s:s, s:i, s:I, s:s, s:o, s:s, s:s?, s:s, s:s, s:s}", "version",
                     RECORD_VERSION, "service", content->service, "pid", getpid(), "start_time",
                     (json_int_t)content->start_time, "boot_id", content->boot_id, "endpoints",
                     endpoints, "plugin", content->plugin, "config", content->config,
                     "config_digest", content->config_digest, "control", content->control, "log",
                     content->log);
}

static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return !*text;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

static int write_whole(struct whole_file *file, int dirfd, const char *name, const char *text)
{
    int fd = whole_file_create(file, dirfd, name);
    int failed;

    if (fd < 0)
        return -1;
    failed = write_all(fd, text, strlen(text)) < 0;
    failed |= close(fd) < 0;
    return failed ? -1 : whole_file_show(file);
}

/* JSON has no other text. NULL: all is. */
static const char *find_not_utf8(const struct record_content *content)
{
    const char *texts[] = {content->control, content->plugin, content->config, content->log};
    const char *found = NULL;

    for (size_t i = 0; !found && i < sizeof texts / sizeof *texts + content->endpoint_count; i++) {
        const char *text = i < sizeof texts / sizeof *texts
                               ? texts[i]
                               : content->endpoints[i - sizeof texts / sizeof *texts];
        json_t *json = text ? json_string(text) : NULL;

        /* Without memory no ASCII text would do either. */
        if (text && !json && !is_ascii(text))
            found = text;
        json_decref(json);
    }
    return found;
}

static int refuse_not_utf8(const char *path, const char *text, struct error *error)
{
    return error_set(error, EXIT_RECORD, "publish", path,
                     "cannot write the record: the path %s is not UTF-8, which JSON needs; rename "
                     "it, or, for the run-time directory, set RPD_RUNTIME_DIR",
                     text);
}

int record_write(struct record *record, int dirfd, const char *directory,
                 const struct record_content *content, struct error *error)
{
    char name[NAME_MAX + 1], path[PATH_MAX];
    json_t *json = make_json(content);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    struct whole_file fresh = {0};
    int failed;

    snprintf(name, sizeof name, "%s.json", content->service);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (!text && find_not_utf8(content)) {
        json_decref(json);
        return refuse_not_utf8(path, find_not_utf8(content), error);
    }
    failed = !text || write_whole(&fresh, dirfd, name, text) < 0;
    if (failed) {
        error_set(error, !text || error_is_shortage(errno) ? EXIT_SYSTEM : EXIT_RECORD, "publish",
                  path, "cannot write the record: %s; %s", text ? strerror(errno) : "out of memory",
                  error_remedy_in_directory(text ? errno : ENOMEM,
                                            "free space in the run-time directory, or set "
                                            "RPD_RUNTIME_DIR"));
        whole_file_remove(&fresh);
    } else {
        whole_file_replace(&record->file, &fresh);
        free(record->text);
        record->text = strdup(text); /* without it, it is not healed */
    }
    free(text);
    json_decref(json);
    return failed ? -1 : 0;
}

void record_remove(struct record *record)
{
    whole_file_remove(&record->file);
    free(record->text);
    record->text = NULL;
}

int record_heal(struct record *record)
{
    struct whole_file fresh = {0};

    if (!record->text || whole_file_is_there(&record->file))
        return 0;
    if (write_whole(&fresh, record->file.dirfd, record->file.name, record->text) < 0) {
        whole_file_remove(&fresh);
        return -1;
    }
    whole_file_replace(&record->file, &fresh);
    return 1;
}

void record_sweep(const struct record *record)
{
    whole_file_sweep(&record->file);
}

static json_t *read_record(int dirfd, const char *name)
{
    char text[RECORD_MAX];
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text);

    if (fd >= 0)
        close(fd);
    return size <= 0 ? NULL : json_loadb(text, (size_t)size, 0, NULL);
}

static bool has_endpoint(const json_t *record, const char *endpoint)
{
    size_t i;
    const json_t *value;

    json_array_foreach(json_object_get(record, "endpoints"), i, value)
        if (json_is_string(value) && strcmp(json_string_value(value), endpoint) == 0)
            return true;
    return false;
}

void record_find(int dirfd, const char *endpoint, char *ret_who, size_t room)
{
    struct error error;
    int fd = libjansson_load(&error) < 0 ? -1
                                         : openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    *ret_who = '\0';
    while (directory && !*ret_who && (entry = readdir(directory))) {
        const size_t length = strlen(entry->d_name);
        json_t *record = length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0
                             ? read_record(dirfd, entry->d_name)
                             : NULL;
        const char *service = json_string_value(json_object_get(record, "service"));

        if (service && has_endpoint(record, endpoint))
            snprintf(ret_who, room, "service %.63s, pid %lld", service,
                     (long long)json_integer_value(json_object_get(record, "pid")));
        json_decref(record);
    }
    if (directory)
        closedir(directory);
    else if (fd >= 0)
        close(fd);
}
