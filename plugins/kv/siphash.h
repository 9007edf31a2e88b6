/* SipHash-1-3: the hash of keys, which nobody who does not know the seed can make
 * collide, and the checksum of snapshots. */
#ifndef KV_SIPHASH_H
#define KV_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct sip_key {
    uint64_t low, high;
};

uint64_t siphash(struct sip_key key, const void *data, size_t size);

#endif
