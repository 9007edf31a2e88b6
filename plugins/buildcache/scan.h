/* The load: the folders of objects/ are read in parallel, and each part is handed over as it is.
 * Meanwhile requests look at the disk. */
#ifndef BUILDCACHE_SCAN_H
#define BUILDCACHE_SCAN_H

#include <rpd/load.h>

/* [worker] The load of the descriptor. */
void *scan_begin(struct rpd_load *load);

#endif
