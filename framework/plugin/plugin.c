/* Plugins. See plugin.h. */
#include "plugin/plugin.h"

#include "base/owner.h"
#include "base/trusted_path.h"
#include "library/libevent.h"
#include "library/libjansson.h"
#include "publish/metrics_page.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where `cmake --install` puts plugins, seen from the directory of rpd. */
#ifndef RPD_PLUGIN_SUBDIR
#define RPD_PLUGIN_SUBDIR "../lib/rpd/plugins"
#endif

enum { CAUSE_MAX = ERROR_TEXT_MAX };

static const char INSPECT[] = "inspect";

/* ---- finding ------------------------------------------------------------- */

/* What was tried, for the message. */
struct trial {
    char found[PATH_MAX];
    char tried[512];
};

static bool try_directory(struct trial *trial, const char *directory, const char *name)
{
    const size_t used = strlen(trial->tried);

    if (!*directory || snprintf(trial->found, sizeof trial->found, "%s/%s", directory, name) >=
                           (int)sizeof trial->found)
        return false;
    if (access(trial->found, F_OK) == 0)
        return true;
    snprintf(trial->tried + used, sizeof trial->tried - used, "%s%s", used ? ", " : "", directory);
    return false;
}

static bool try_path_variable(struct trial *trial, const char *name)
{
    const char *at = getenv("RPD_PLUGIN_PATH");

    while (at && *at) {
        char directory[PATH_MAX];
        const size_t length = strcspn(at, ":");

        snprintf(directory, sizeof directory, "%.*s", (int)length, at);
        if (try_directory(trial, directory, name))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* Beside the program: as installed, or in a build tree. */
static bool try_own_directories(struct trial *trial, const char *name)
{
    static const char *const beside[] = {RPD_PLUGIN_SUBDIR, "plugins"};
    char program[PATH_MAX], directory[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;

    program[length > 0 ? length : 0] = '\0';
    slash = strrchr(program, '/');
    if (!slash)
        return false;
    *slash = '\0';
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (snprintf(directory, sizeof directory, "%s/%s", program, beside[i]) <
                (int)sizeof directory &&
            try_directory(trial, directory, name))
            return true;
    return false;
}

/* On its own: with its buffers in find()'s frame, every start would touch them. */
static __attribute__((noinline)) int find_by_name(const char *name,
                                                  const struct plugin_search *search,
                                                  char ret_path[PATH_MAX], struct error *error)
{
    struct trial trial = {0};
    bool found = false;

    for (size_t i = 0; !found && search->dirs && search->dirs[i]; i++)
        found = try_directory(&trial, search->dirs[i], name);
    if (!found && !try_path_variable(&trial, name) && !try_own_directories(&trial, name))
        return error_set(
            error, EXIT_MISSING_FILE, INSPECT, name,
            "no such plugin in %s; a file beside the configuration, or, on the command "
            "line, in the working directory, is named ./%s",
            trial.tried, name);
    snprintf(ret_path, PATH_MAX, "%s", trial.found);
    return 0;
}

static int find(struct plugin *plugin, const char *name, const struct plugin_search *search,
                struct error *error)
{
    char path[PATH_MAX], resolved[PATH_MAX];
    int cause;

    if (!strchr(name, '/')) {
        if (find_by_name(name, search, path, error) < 0)
            return -1;
    } else if (snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : search->base,
                        name[0] == '/' ? "" : "/", name) >= (int)sizeof path) {
        return error_set(error, EXIT_MISSING_FILE, INSPECT, name,
                         "the path is too long; use a shorter one");
    }
    cause = trusted_path_resolve(path, resolved, INSPECT, error);
    if (cause < 0)
        return -1;
    plugin->path = cause == 0 ? strdup(resolved) : NULL;
    if (plugin->path)
        return 0;
    cause = cause ? cause : ENOMEM;
    return error_set(error,
                     cause == EACCES            ? EXIT_SECURITY
                     : error_is_shortage(cause) ? EXIT_SYSTEM
                                                : EXIT_MISSING_FILE,
                     INSPECT, name, "cannot find it: %s; there is no %s", strerror(cause), path);
}

/* ---- judging the file ------------------------------------------------------ */

static int check_file(struct plugin *plugin, struct error *error)
{
    struct stat status;

    if (fstat(plugin->fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(error, EXIT_PLUGIN, INSPECT, plugin->path,
                         "not a regular file; name the plugin's .so file");
    if (owner_is_unmapped(status.st_uid) && !owner_is_the_systems(plugin->path))
        return error_set(error, EXIT_SECURITY, INSPECT, plugin->path, OWNER_UNMAPPED_ADVICE);
    if (status.st_uid != 0 && !owner_is_us(status.st_uid) && !owner_is_unmapped(status.st_uid))
        return error_set(error, EXIT_SECURITY, INSPECT, plugin->path,
                         "the plugin belongs to user %u, not to root or to you (%u); chown it",
                         status.st_uid, geteuid());
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return error_set(
            error, EXIT_SECURITY, INSPECT, plugin->path,
            "users other than its owner can write to the plugin (mode %04o); chmod go-w "
            "'%s'",
            status.st_mode & 07777u, plugin->path);
    plugin->device = status.st_dev;
    plugin->inode = status.st_ino;
    return 0;
}

int plugin_inspect(struct plugin *plugin, const char *name, const struct plugin_search *search,
                   struct error *error)
{
    plugin->fd = -1;
    plugin->path = NULL;
    if (find(plugin, name, search, error) < 0 || !plugin->path)
        return -1;
    plugin->fd = open(plugin->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (plugin->fd < 0)
        return error_set(error,
                         error_is_shortage(errno) ? EXIT_SYSTEM
                         : errno == EACCES        ? EXIT_SECURITY
                                                  : EXIT_MISSING_FILE,
                         INSPECT, plugin->path, "cannot open it: %s; %s", strerror(errno),
                         error_remedy(errno, "make that possible"));
    if (check_file(plugin, error) < 0)
        return -1;
    return elf_read_plugin(plugin->fd, plugin->path, &plugin->note, error);
}

int plugin_inspect_as(struct plugin *plugin, const struct plugin *before)
{
    *plugin = *before;
    plugin->path = strdup(before->path);
    plugin->fd = fcntl(before->fd, F_DUPFD_CLOEXEC, 0);
    if (plugin->path && plugin->fd >= 0)
        return 0;
    plugin_finish(plugin);
    return -1;
}

bool plugin_is_same(const struct plugin *plugin, const struct plugin *before)
{
    return plugin->device == before->device && plugin->inode == before->inode &&
           strcmp(plugin->path, before->path) == 0;
}

/* ---- loading the code -------------------------------------------------------- */

/* "from-to modes offset device inode path", as /proc/self/maps has it. Whether
 * the address is in it; then where device and inode stand. */
static bool covers(const char *line, uintptr_t address, const char **ret_file, int *ret_length)
{
    char *end;
    const uintptr_t from = strtoul(line, &end, 16);
    const uintptr_t to = *end == '-' ? strtoul(end + 1, &end, 16) : 0;
    const char *at = end;

    if (address < from || address >= to)
        return false;
    for (int field = 0; field < 2; field++) /* modes, offset */
        at += strspn(at, " ") + strcspn(at + strspn(at, " "), " ");
    at += strspn(at, " ");
    *ret_file = at;
    *ret_length = (int)strcspn(at, " ");
    *ret_length += 1 + (int)strcspn(at + *ret_length + 1, " \n");
    return true;
}

/* Device and inode of the mapping at an address. Not to be compared with
 * stat's: overlay file systems show two devices. */
static void find_mapping(const void *address, char ret_file[64])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[PATH_MAX + 128];
    const char *file;
    int length;

    while (maps && fgets(line, sizeof line, maps))
        if (covers(line, (uintptr_t)address, &file, &length))
            snprintf(ret_file, 64, "%.*s", length, file);
    if (maps)
        fclose(maps);
}

static int refuse_replaced(const struct plugin *plugin, struct error *error)
{
    return error_set(error, EXIT_SECURITY, "code", plugin->path,
                     "the file was replaced after it had been checked; start again");
}

static int check_same_file(const struct plugin *plugin, struct error *error)
{
    char judged[64] = "", loaded[64] = "";
    const struct link_map *map = NULL;
    void *page = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, plugin->fd, 0);

    if (page != MAP_FAILED && dlinfo(plugin->handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_ld) {
        find_mapping(page, judged);
        find_mapping(map->l_ld, loaded);
    }
    if (page != MAP_FAILED)
        munmap(page, 1);
    if (!*judged || !*loaded)
        return error_set(error, EXIT_SYSTEM, "code", plugin->path,
                         "cannot see which file was loaded: no memory, descriptors or /proc; free "
                         "some");
    if (strcmp(judged, loaded) == 0)
        return 0;
    return refuse_replaced(plugin, error);
}

/* Before dlopen, which runs constructors. What is done to the path between this
 * and dlopen is seen by check_same_file(). */
static int check_same_path(const struct plugin *plugin, struct error *error)
{
    struct stat judged, found;

    if (fstat(plugin->fd, &judged) == 0 && stat(plugin->path, &found) == 0 &&
        judged.st_dev == found.st_dev && judged.st_ino == found.st_ino)
        return 0;
    return refuse_replaced(plugin, error);
}

static int check_metrics(const struct plugin *plugin, struct error *error)
{
    size_t row;
    const char *mistake = metrics_table_mistake(plugin->backend.metrics, &row);

    if (!mistake)
        return 0;
    return error_set(error, EXIT_PLUGIN, "code", plugin->path,
                     "its table of metrics, row %zu (%.60s): %s; correct it", row,
                     plugin->backend.metrics[row].name, mistake);
}

static int check_backend(struct plugin *plugin, struct error *error)
{
    const struct rpd_backend *backend = dlsym(plugin->handle, "rpd_backend_v1");
    const size_t smallest = offsetof(struct rpd_backend, stop) + sizeof backend->stop;

    if (!backend)
        return error_set(error, EXIT_PLUGIN, "code", plugin->path,
                         "it has a note but no descriptor (rpd_backend_v1); was it stripped?");
    if (backend->abi != RPD_ABI || backend->struct_size < smallest)
        return error_set(error, EXIT_PLUGIN, "code", plugin->path,
                         "its descriptor has ABI %u and %u bytes, expected ABI %u and at least %zu "
                         "bytes; rebuild it",
                         backend->abi, backend->struct_size, (unsigned)RPD_ABI, smallest);
    memcpy(&plugin->backend, backend,
           backend->struct_size < sizeof *backend ? backend->struct_size : sizeof *backend);
    if (!backend->name || strcmp(backend->name, plugin->note.backend) != 0)
        return error_set(error, EXIT_PLUGIN, "code", plugin->path,
                         "its note and its descriptor name different backends; rebuild it");
    if (plugin->backend.warmup > RPD_WARMUP_BACKLOG)
        return error_set(error, EXIT_PLUGIN, "code", plugin->path,
                         "its descriptor declares a warm-up policy that this rpd does not know "
                         "(%d); use one of enum rpd_warmup",
                         (int)plugin->backend.warmup);
    if (check_metrics(plugin, error) < 0)
        return -1;
    if (!backend->on_data && !backend->serve)
        return error_set(error, EXIT_PLUGIN, "code", plugin->path,
                         "it has neither on_data nor serve, so no client could be answered; give "
                         "it one");
    return 0;
}

static int check_bind(struct plugin *plugin, struct error *error)
{
    const struct rpd_backend_bind *bind;

    if (!plugin->note.has_own_bind)
        return 0;
    bind = dlsym(plugin->handle, "rpd_backend_bind_v1");
    if (!bind || bind->struct_size < sizeof *bind || !bind->bind)
        return error_set(error, EXIT_PLUGIN, "code", plugin->path,
                         "its note promises a bind of its own, but there is none; use "
                         "RPD_BACKEND_BIND()");
    plugin->bind = bind->bind;
    return 0;
}

/* A plugin may call libevent without being linked with it: it used to find rpd's.
 * What is opened RTLD_LOCAL finds the program's and libc's names, its own, and
 * those of what it is linked with, in this order. NULL: dlopen's error is returned. */
static void *open_code(struct plugin *plugin, char ret_cause[CAUSE_MAX])
{
    const char *lent;
    void *handle;

    do {
        handle = dlopen(plugin->path, RTLD_NOW | RTLD_LOCAL);
        lent = NULL;
        if (!handle) {
            snprintf(ret_cause, CAUSE_MAX, "%s", dlerror()); /* dlsym() would clear it */
            lent = libevent_lend(ret_cause);
        }
        if (!handle && !lent)
            lent = libjansson_lend(ret_cause);
        if (lent)
            plugin->borrowed = lent;
    } while (lent);
    return handle;
}

static plugin_loaded_fn *loaded_hook;

void plugin_set_loaded_hook(plugin_loaded_fn *loaded)
{
    loaded_hook = loaded;
}

int plugin_load(struct plugin *plugin, const struct plugin *before, struct error *error)
{
    char room[CAUSE_MAX];

    if (check_same_path(plugin, error) < 0)
        return -1;
    plugin->handle = open_code(plugin, room);
    if (!plugin->handle) {
        const size_t prefix = strlen(plugin->path);
        const char *cause = room;

        if (strncmp(cause, plugin->path, prefix) == 0 && cause[prefix] == ':')
            cause += prefix + 2;
        return error_set(error, error_shortage_in(cause) ? EXIT_SYSTEM : EXIT_PLUGIN, "code",
                         plugin->path, "cannot load it: %s; %s", cause,
                         error_remedy(error_shortage_in(cause), "link it with what it needs"));
    }
    /* A file that was loaded before was compared then. */
    if (((!before || before->handle != plugin->handle) && check_same_file(plugin, error) < 0) ||
        check_backend(plugin, error) < 0 || check_bind(plugin, error) < 0)
        return -1;
    close(plugin->fd);
    plugin->fd = -1;
    if (loaded_hook)
        loaded_hook(plugin);
    return 0;
}

void plugin_finish(struct plugin *plugin)
{
    if (plugin->fd >= 0)
        close(plugin->fd);
    plugin->fd = -1;
    free(plugin->path);
    plugin->path = NULL;
}
