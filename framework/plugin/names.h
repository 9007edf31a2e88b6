/* How the names in a plugin's code are resolved once it is loaded: whether a call of its
 * own function reaches a function of that name in another object, and which of its
 * variables it shares with other plugins.
 *
 * The loader looks for a name in the program and libc first. So if a function of the
 * plugin is visible from outside and has the same name as one of theirs, theirs is called
 * instead, unless the plugin was linked with -Bsymbolic, or the function is hidden.
 * rpd_add_plugin() and `pkg-config rpd` do both. Symbols that a C++ compiler marks as
 * unique, with STB_GNU_UNIQUE, exist once for the whole process, however the plugin is
 * loaded. These are static members and variables of templates and inline functions. */
#ifndef FRAMEWORK_PLUGIN_NAMES_H
#define FRAMEWORK_PLUGIN_NAMES_H

#include "plugin/plugin.h"

struct plugin_names {
    /* name: of its own symbol; object: the file whose symbol is used instead. */
    void (*taken)(void *arg, const char *name, const char *object);
    void (*shared)(void *arg, const char *name);
    void *arg;
};

/* [start] Calls these functions one or more times for each such name. */
void plugin_names_find(const struct plugin *plugin, const struct plugin_names *found);

#endif
