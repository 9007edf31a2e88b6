/* The files of the page, as they are in page/. */
#ifndef DASHBOARD_FILES_H
#define DASHBOARD_FILES_H

#include "routes.h"

#include <stddef.h>

struct file {
    const char *data, *type;
    size_t size;
};

/* False: the route has no file. */
bool file_of(enum route route, struct file *ret);

#endif
