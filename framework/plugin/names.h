/* What the names in a plugin's code come to, once it is loaded: whether a call of a
 * function of its own ends in another object's of that name, and which of its
 * variables it shares with other plugins.
 *
 * The loader looks for a name in the program and libc first. So a function of the
 * plugin's own that is visible from outside, and named like one of those, is not the
 * one that is called, unless the plugin was linked with -Bsymbolic, or the function
 * is hidden (rpd_add_plugin() and `pkg-config rpd` do both). And what a C++ compiler
 * marks as unique (STB_GNU_UNIQUE: static members and variables of templates and
 * inline functions) is one for the whole process, however it is loaded. */
#ifndef FRAMEWORK_PLUGIN_NAMES_H
#define FRAMEWORK_PLUGIN_NAMES_H

#include "plugin/plugin.h"

struct plugin_names {
    /* name: its own; object: the file of whose is used instead. */
    void (*taken)(void *arg, const char *name, const char *object);
    void (*shared)(void *arg, const char *name);
    void *arg;
};

/* [start] Calls these for each such name, once or more. */
void plugin_names_find(const struct plugin *plugin, const struct plugin_names *found);

#endif
