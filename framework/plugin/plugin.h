/* Plugins: found and judged as files first, loaded as code later.
 *
 * Between the two, endpoints are bound. The file that is loaded is the file
 * that was judged: its descriptor is held until then. */
#ifndef FRAMEWORK_PLUGIN_H
#define FRAMEWORK_PLUGIN_H

#include "base/error.h"
#include "plugin/elf_plugin.h"

#include <rpd/backend.h>

#include <limits.h>

struct plugin {
    char path[PATH_MAX]; /* resolved */
    int fd;              /* what was judged; -1: none */
    struct elf_plugin note;
    void *handle;
    struct rpd_backend backend; /* as far as the plugin knows it; the rest is 0 */
    rpd_bind_fn bind;           /* NULL: rpd binds */
};

/* Where to look. */
struct plugin_search {
    const char *base;        /* what a relative path is relative to */
    const char *const *dirs; /* for a name without a slash; NULL-terminated */
};

/* [start] Finds the file, checks who may change it and the directories above
 * it (77), and reads its note (65). No code of it runs. */
int plugin_inspect(struct plugin *plugin, const char *name, const struct plugin_search *search,
                   struct error *error);

/* [start] dlopen, and the checks of the descriptor. Its constructors run. */
int plugin_load(struct plugin *plugin, struct error *error);

/* Forgets it. Code that ran is never unloaded: its threads and thread-local
 * destructors may outlive any moment at which that would be safe. */
void plugin_finish(struct plugin *plugin);

#endif
