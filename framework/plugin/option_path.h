/* Options that are paths: what the plugin is given is absolute. */
#ifndef FRAMEWORK_OPTION_PATH_H
#define FRAMEWORK_OPTION_PATH_H

enum { OPTION_WHY_MAX = 256 };

/* To be freed by free(). base: the directory that a relative one is relative to. A text that begins
 * with $XDG_CACHE_HOME or $XDG_STATE_HOME begins with that directory; where it is not set, with
 * systemd's $CACHE_DIRECTORY or $STATE_DIRECTORY, or with ~/.cache or ~/.local/state.
 * NULL: why not. */
char *option_path(const char *text, const char *base, char ret_why[OPTION_WHY_MAX]);

#endif
