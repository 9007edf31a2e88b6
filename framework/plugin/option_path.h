/* Options that are paths. The plugin always receives an absolute path. */
#ifndef FRAMEWORK_OPTION_PATH_H
#define FRAMEWORK_OPTION_PATH_H

enum { OPTION_WHY_MAX = 256 };

/* Returns the absolute path, to be freed by free(). base: the directory that a relative path is
 * relative to. $XDG_CACHE_HOME or $XDG_STATE_HOME at the beginning of a text is replaced with that
 * directory. If the variable is not set, it is replaced with systemd's $CACHE_DIRECTORY or
 * $STATE_DIRECTORY, or with ~/.cache or ~/.local/state. NULL on failure, with the reason. */
char *option_path(const char *text, const char *base, char ret_why[OPTION_WHY_MAX]);

#endif
