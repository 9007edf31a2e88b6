/* The load: the folders of objects/ are read in parallel, and each part is handed over as it is.
 * Meanwhile requests look at the disk. */
#ifndef BUILDCACHE_SCAN_H
#define BUILDCACHE_SCAN_H

#include <rpd/load.h>

/* [worker] The load and the unload of the descriptor. A load that has failed is unloaded, and may
 * run again while the store serves: so the state is not the store, but holds it. */
void *scan_begin(struct rpd_load *load);
void scan_unload(void *state);

#endif
