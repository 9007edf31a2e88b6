/* What the command line requests from the configuration. */
#ifndef FRAMEWORK_CONFIG_REQUEST_H
#define FRAMEWORK_CONFIG_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* Filled by arguments.h; the strings are argv's. */
struct config_request {
    const char *file;    /* -c, or NULL */
    const char *plugin;  /* PLUGIN.so, or NULL */
    const char **listen; /* -l, in order */
    size_t listen_count;
    const char *name;     /* -n, or NULL */
    const char **options; /* -o KEY=VALUE, in order */
    size_t option_count;
    const char *base; /* --relative-to, or NULL */
    bool is_printed;  /* --print-config: its JSON is requested, also without a file */
    int copy_fd;      /* of the file, as it was when another process read it; 0: none */
};

#endif
