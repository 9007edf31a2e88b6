/* Makes paths absolute. See option_path.h. */
#include "plugin/option_path.h"

#include "base/nearest.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct word {
    const char *variable, *managers, *in_home;
} words[] = {
    {"$XDG_CACHE_HOME", "CACHE_DIRECTORY", ".cache"},
    {"$XDG_STATE_HOME", "STATE_DIRECTORY", ".local/state"},
};
enum { WORDS = sizeof words / sizeof *words };

/* (Not the variable of a set-id program's: the plugin's file would not have been taken.) */
static const char *absolute_variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value == '/' ? value : NULL;
}

/* False: no variable says it. */
static bool find_directory(const struct word *word, char ret_path[PATH_MAX])
{
    const char *directory = absolute_variable(word->variable + 1);
    const char *home = absolute_variable("HOME");

    if (!directory)
        directory = absolute_variable(word->managers);
    if (directory) /* (systemd names several with colons between them: the first) */
        snprintf(ret_path, PATH_MAX, "%.*s", (int)strcspn(directory, ":"), directory);
    else if (home)
        snprintf(ret_path, PATH_MAX, "%s/%s", home, word->in_home);
    return directory || home;
}

static char *explain(char why[OPTION_WHY_MAX], const char *variable)
{
    char hint[NEAREST_HINT_MAX];
    struct nearest nearest;

    nearest_start(&nearest, variable);
    for (size_t i = 0; i < WORDS; i++)
        nearest_try(&nearest, words[i].variable);
    snprintf(why, OPTION_WHY_MAX,
             "a path can begin with $XDG_CACHE_HOME or $XDG_STATE_HOME, not with %.60s%s", variable,
             nearest_hint(&nearest, hint));
    return NULL;
}

static char *join(const char *directory, const char *rest, char why[OPTION_WHY_MAX])
{
    char *whole;

    if (asprintf(&whole, "%s%s%s", directory, *rest && *rest != '/' ? "/" : "", rest) < 0) {
        snprintf(why, OPTION_WHY_MAX, "out of memory; free some");
        return NULL;
    }
    if (strlen(whole) < PATH_MAX)
        return whole;
    free(whole);
    snprintf(why, OPTION_WHY_MAX, "the path is too long; use a shorter one");
    return NULL;
}

static char *expand(const char *text, char why[OPTION_WHY_MAX])
{
    char variable[64], directory[PATH_MAX];

    snprintf(variable, sizeof variable, "%.*s", (int)strcspn(text, "/"), text);
    for (size_t i = 0; i < WORDS; i++) {
        if (strcmp(words[i].variable, variable) != 0)
            continue;
        if (find_directory(&words[i], directory))
            return join(directory, text + strlen(variable), why);
        snprintf(why, OPTION_WHY_MAX, "neither %s nor $HOME is set; write the whole path",
                 variable);
        return NULL;
    }
    return explain(why, variable);
}

char *option_path(const char *text, const char *base, char ret_why[OPTION_WHY_MAX])
{
    if (*text == '$')
        return expand(text, ret_why);
    if (*text == '/')
        return join(text, "", ret_why);
    if (*text && base)
        return join(base, text, ret_why);
    snprintf(ret_why, OPTION_WHY_MAX,
             *text ? "it is relative to a directory that is not there" : "is empty; name a path");
    return NULL;
}
