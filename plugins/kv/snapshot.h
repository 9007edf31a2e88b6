/* The file of a snapshot, its header, its parts and its records; reading one.
 *
 *     header                    struct snapshot_header; 64-bit words of the machine that wrote it
 *     part 0 | part 1 | ...     records
 *
 * Parts are those of the store, and of the same seed: so each can be loaded by itself, and put into
 * the store as it is. Header and parts have checksums of their own. Nothing in the file is believed
 * before its checksum, and no size beyond the file's.
 *
 * A record: a byte with the database, and SNAPSHOT_EXPIRES; the sizes of key and value, seven
 * bits a byte; if it expires, when, in 8 bytes; the key; the value. */
#ifndef KV_SNAPSHOT_H
#define KV_SNAPSHOT_H

#include "siphash.h"
#include "table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_MAGIC 0x70616e73766b7072U /* "rpkvsnap" */

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_PARTS = TABLE_PARTS,
    SNAPSHOT_EXPIRES = 0x80,
    SNAPSHOT_RECORD_MAX = 1 + 5 + 5 + 8, /* without key and value */
    SNAPSHOT_RECORD_MIN = 3,
    SNAPSHOT_TEXT_SIZE = 256
};

struct snapshot_part {
    uint64_t offset, size; /* bytes */
    uint64_t keys;
    uint64_t checksum;
};

struct snapshot_header {
    uint64_t magic;
    uint64_t version;
    uint64_t file_size;
    uint64_t generation; /* one more with each save */
    uint64_t saved_ms;   /* Unix time: what the file shows is of that moment */
    uint64_t parts;
    struct sip_key seed;
    struct snapshot_part part[SNAPSHOT_PARTS];
    uint64_t checksum; /* of all before it */
};

struct snapshot_record {
    const char *key, *value;
    uint32_t key_size, value_size;
    unsigned database;
    bool expires;
    int64_t expiry_ms; /* Unix time */
};

/* A checksum of the header or of a part: it has no secret, so any program can check a file. */
uint64_t snapshot_checksum(const void *data, size_t size);

/* Opens the file and reads its header. Returns the descriptor; -1 with errno ENOENT: there is
 * no file; else -1, and why. */
int snapshot_open(const char *path, struct snapshot_header *ret_header,
                  char ret_why[SNAPSHOT_TEXT_SIZE]);

/* Bytes of the largest part. */
size_t snapshot_largest_part(const struct snapshot_header *header);

/* [worker] The bytes of a part, checked, into a buffer of the size of the largest. 0; or -1,
 * and why. */
int snapshot_read_part(int fd, const struct snapshot_header *header, unsigned part, char *buffer,
                       char ret_why[SNAPSHOT_TEXT_SIZE]);

/* Takes a record off the front. False: what is there is none. */
bool snapshot_next(const char **at, const char *end, struct snapshot_record *ret_record);

/* Writes all of a record but key and value. Returns its size. */
size_t snapshot_encode(char text[SNAPSHOT_RECORD_MAX], const struct snapshot_record *record);

#endif
