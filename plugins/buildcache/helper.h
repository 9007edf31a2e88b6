/* ccache's protocol of storage helpers, at endpoints whose name ends in ".crsh". See README.md.
 *
 *     key = u8 length, bytes    value = u64 length, bytes    text = u8 length, bytes
 *     greeting                  1 (version), u8 count, capabilities
 *     0 get     key             0 value | 1 (not found)
 *     1 put     key flags value 0 | 1 (not stored)     flags, bit 0: overwrite
 *     2 remove  key             0 | 1 (was not there)
 *     3 stop                    0
 *     4 info                    text, u8 count, texts
 *     5 exists  key             0 (0 | 1)
 *
 * Numbers are in the host's order. An error (2 text) makes ccache give the storage up, so it is
 * sent only for what is no request; whatever else cannot be done is "not found" or "not stored". */
#ifndef BUILDCACHE_HELPER_H
#define BUILDCACHE_HELPER_H

#include "store.h"

/* [loop] */
extern const struct store_front helper_front;
void helper_greet(struct rpd_conn *conn);
void helper_data(struct rpd_conn *conn);

#endif
