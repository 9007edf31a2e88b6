/* Writing a snapshot: into a file beside the old one, which takes its name when all of it is on
 * the disk. All of it is [worker], or one thread at a time. */
#ifndef KV_SNAPSHOT_WRITER_H
#define KV_SNAPSHOT_WRITER_H

#include "owner.h"
#include "snapshot.h"

enum { WRITER_BUFFER = 256 * 1024 };

struct snapshot_writer {
    const char *path;
    char *temporary; /* its path */
    int fd;
    struct snapshot_header header;
    uint64_t offset;            /* of what is in the buffer */
    struct sip_stream checksum; /* of the part, without what is in the buffer */
    char *buffer;
    size_t size;           /* of what is in it */
    struct file_mark mark; /* of the file that was committed */
    bool has_failed;       /* and why: */
    char why[SNAPSHOT_TEXT_SIZE];
};

/* path must live as long as the writer. Each of these does nothing once one has failed. */
void writer_open(struct snapshot_writer *writer, const char *path, struct sip_key seed,
                 uint64_t generation, uint64_t saved_ms);
/* In the place of writer_open(), or after it: it has failed. */
void writer_refuse(struct snapshot_writer *writer, const char *why);
void writer_begin_part(struct snapshot_writer *writer, unsigned part);
void writer_add(struct snapshot_writer *writer, unsigned part,
                const struct snapshot_record *record);
void writer_end_part(struct snapshot_writer *writer, unsigned part);

/* The whole file is there, under its name, and stays through a loss of power. 0, or -1. */
int writer_commit(struct snapshot_writer *writer);

/* Frees it; what was not committed is removed. */
void writer_finish(struct snapshot_writer *writer);

#endif
