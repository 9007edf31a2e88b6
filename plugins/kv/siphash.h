/* SipHash-1-3: the hash of keys, for which no attacker without the seed can make collisions, and
 * the checksum of snapshots. */
#ifndef KV_SIPHASH_H
#define KV_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct sip_key {
    uint64_t low, high;
};

/* The same of data that comes in pieces, of which all but the last are of a multiple of
 * eight bytes. */
struct sip_stream {
    uint64_t a, b, c, d;
    uint64_t size;
};

void sip_stream_init(struct sip_stream *stream, struct sip_key key);
void sip_stream_add(struct sip_stream *stream, const void *data, size_t size);
uint64_t sip_stream_end(struct sip_stream *stream, const void *data, size_t size);

uint64_t siphash(struct sip_key key, const void *data, size_t size);

#endif
