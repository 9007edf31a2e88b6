/* A configuration file: opened so that it can neither block nor be another user
 * else's, read whole, and parsed. What it says is checked elsewhere. */
#ifndef FRAMEWORK_CONFIG_FILE_H
#define FRAMEWORK_CONFIG_FILE_H

#include "config/error_list.h"
#include "config/json_place.h"

#include <jansson.h>

enum { CONFIG_FILE_SIZE_MAX = 1024 * 1024, CONFIG_FILE_DEPTH_MAX = 32 };

/* All zeros: no file. */
struct config_file {
    char *name;      /* as the user gave it; a very long one is shortened at its front */
    char *path;      /* absolute */
    char *directory; /* that the file is in, absolute, without links */
    char *text;
    size_t size;
    json_t *tree;
    bool is_seen_by_others; /* other users can read it */
};

/* Fills the file, or adds what is wrong. Finish it in both cases. */
int config_file_read(struct config_file *file, const char *path, struct error_list *errors);
void config_file_finish(struct config_file *file);

/* A mistake in the file: "config: FILE:LINE:COLUMN: $.path: what". The place is
 * that of the key or value, or of what is nearest above it. Returns -1. */
int config_file_mistake(const struct config_file *file, struct error_list *errors,
                        const struct json_path *path, enum json_part part, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* "FILE:LINE:COLUMN", to be freed; NULL without memory. */
char *config_file_origin(const struct config_file *file, const struct json_place *place);

#endif
