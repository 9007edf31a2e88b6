/* Plugins: found and judged as files first, loaded as code later.
 *
 * Between the two, endpoints are bound. The file that is loaded is the file
 * that was judged: its descriptor is held until then. */
#ifndef FRAMEWORK_PLUGIN_H
#define FRAMEWORK_PLUGIN_H

#include "base/error.h"
#include "plugin/elf_plugin.h"

#include <rpd/backend.h>

#include <stdbool.h>
#include <sys/types.h>

struct plugin {
    char *path; /* resolved; its own */
    int fd;     /* what was judged; -1: none */
    dev_t device;
    ino_t inode;
    struct elf_plugin note;
    void *handle;
    struct rpd_backend backend; /* as far as the plugin knows it; the rest is 0 */
    rpd_bind_fn bind;           /* NULL: rpd binds */
    const char *borrowed;       /* a library that it calls and is not linked with; or NULL */
};

/* Where to look. */
struct plugin_search {
    const char *base;        /* what a relative path is relative to */
    const char *const *dirs; /* for a name without a slash; NULL-terminated */
};

/* [start] Finds the file, checks which users may change it and the directories above
 * it (77), and reads its note (65). No code of it runs. */
int plugin_inspect(struct plugin *plugin, const char *name, const struct plugin_search *search,
                   struct error *error);

/* [start] Of the same name, looked for in the same way, there is a judgement already:
 * it is taken over. -1: there is no descriptor for it. */
int plugin_inspect_as(struct plugin *plugin, const struct plugin *before);

/* [start] The same file, by an earlier judgement: to load it again runs no code. */
bool plugin_is_same(const struct plugin *plugin, const struct plugin *before);

/* [start] dlopen, and the checks of the descriptor. Its constructors run. rpd's own
 * libraries are loaded already; a plugin that calls one and is not linked with it is
 * given it. before: the same file, which has been loaded for another service; NULL: none. */
int plugin_load(struct plugin *plugin, const struct plugin *before, struct error *error);

/* [start] Calls this after each plugin_load() that succeeds: it may change the copy of the
 * descriptor. For `rpdctl check`, whose daemons wrap callbacks; NULL, as at the beginning: none. */
typedef void plugin_loaded_fn(struct plugin *plugin);
void plugin_set_loaded_hook(plugin_loaded_fn *loaded);

/* Forgets it. Code that ran is never unloaded: its threads and thread-local
 * destructors may outlive any moment at which that would be safe. */
void plugin_finish(struct plugin *plugin);

#endif
