/* HTTP, as build tools speak it: GET, HEAD, PUT and DELETE of a path. See README.md. */
#ifndef BUILDCACHE_HTTP_H
#define BUILDCACHE_HTTP_H

#include "store.h"

/* [loop] */
extern const struct store_front http_front;
void http_data(struct rpd_conn *conn);

#endif
