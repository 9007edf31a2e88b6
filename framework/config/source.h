/* Private to the configuration: where its values came from. */
#ifndef FRAMEWORK_CONFIG_SOURCE_H
#define FRAMEWORK_CONFIG_SOURCE_H

#include "config/file.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The tree is that of the file with the command line merged in. Services keep their
 * index, so that a path in the tree is also a path in the file's text, except for
 * values from the command line. */
struct config_source {
    struct config_file file;
    json_t *tree;
    bool has_command;        /* a service came from the command line */
    bool command_is_new;     /* all of it; otherwise only the given parts */
    bool listen_is_given;    /* by -l */
    size_t command_index;    /* the service that it made or changed */
    json_t *text_options;    /* those behind -o: KEY -> string; or NULL */
    char *working_directory; /* what its relative plugin is relative to */
};

/* Whether the value at a member of a service came from the command line.
 * option: the key under "options", or NULL. */
bool config_source_is_command(const struct config_source *source, size_t service,
                              const char *member, const char *option);

#endif
