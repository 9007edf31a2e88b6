/* A configuration file. It is opened so that it can neither block nor belong to
 * another user, read completely, and parsed. Its content is checked elsewhere. */
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

/* Fills the file, or adds its mistakes. Finish it in both cases. copy_fd: what the file was when
 * it was copied is read in its place; 0: there is no copy. */
int config_file_read(struct config_file *file, const char *path, int copy_fd,
                     struct error_list *errors);

/* A copy in memory, for another process: it stays as it is whatever becomes of the file. A
 * descriptor (close-on-exec), or -1 and errno. */
int config_file_copy(const struct config_file *file);
void config_file_finish(struct config_file *file);

/* Adds a mistake in the file: "config: FILE:LINE:COLUMN: $.path: what". The place is
 * that of the key or value, or of the nearest item above it. Returns -1. */
int config_file_mistake(const struct config_file *file, struct error_list *errors,
                        const struct json_path *path, enum json_part part, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* "FILE:LINE:COLUMN", to be freed; NULL without memory. */
char *config_file_origin(const struct config_file *file, const struct json_place *place);

#endif
