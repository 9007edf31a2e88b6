/* Writing a snapshot. See snapshot_writer.h. */
#include "snapshot_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(struct snapshot_writer *writer, const char *step)
{
    if (writer->has_failed)
        return;
    writer->has_failed = true;
    snprintf(writer->why, sizeof writer->why, "%s: %s", step, strerror(errno));
}

void writer_open(struct snapshot_writer *writer, const char *path, struct sip_key seed,
                 uint64_t generation, uint64_t saved_ms)
{
    *writer = (struct snapshot_writer){.path = path, .fd = -1, .offset = sizeof writer->header};
    writer->header = (struct snapshot_header){.magic = SNAPSHOT_MAGIC,
                                              .version = SNAPSHOT_VERSION,
                                              .generation = generation,
                                              .saved_ms = saved_ms,
                                              .parts = SNAPSHOT_PARTS,
                                              .seed = seed};
    writer->buffer = malloc(WRITER_BUFFER);
    if (asprintf(&writer->temporary, "%s.tmp", path) < 0)
        writer->temporary = NULL;
    if (!writer->buffer || !writer->temporary) {
        errno = ENOMEM;
        fail(writer, "begin");
        return;
    }
    /* What is left of one that was killed: only one of us writes this file. */
    if (unlink(writer->temporary) != 0 && errno != ENOENT)
        fail(writer, "remove the old temporary file");
    writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      0600);
    if (writer->fd < 0)
        fail(writer, "make the temporary file");
}

void writer_refuse(struct snapshot_writer *writer, const char *why)
{
    if (writer->has_failed)
        return;
    writer->has_failed = true;
    snprintf(writer->why, sizeof writer->why, "%s", why);
}

static void write_all(struct snapshot_writer *writer, const char *data, size_t size,
                      uint64_t offset)
{
    for (size_t done = 0; done < size && !writer->has_failed;) {
        const ssize_t put = pwrite(writer->fd, data + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            fail(writer, "write");
        else
            done += (size_t)put;
    }
}

/* All of the buffer but what the checksum cannot take yet. */
static void flush(struct snapshot_writer *writer)
{
    const size_t whole = writer->size & ~(size_t)7;

    if (writer->has_failed)
        return;
    sip_stream_add(&writer->checksum, writer->buffer, whole);
    write_all(writer, writer->buffer, whole, writer->offset);
    writer->offset += whole;
    writer->size -= whole;
    memmove(writer->buffer, writer->buffer + whole, writer->size);
}

static void append(struct snapshot_writer *writer, const char *data, size_t size)
{
    while (size > 0 && !writer->has_failed) {
        const size_t room = WRITER_BUFFER - writer->size;
        const size_t piece = size < room ? size : room;
        memcpy(writer->buffer + writer->size, data, piece);
        writer->size += piece;
        data += piece;
        size -= piece;
        if (writer->size == WRITER_BUFFER)
            flush(writer);
    }
}

void writer_begin_part(struct snapshot_writer *writer, unsigned part)
{
    writer->header.part[part].offset = writer->offset;
    sip_stream_init(&writer->checksum, (struct sip_key){SNAPSHOT_MAGIC, SNAPSHOT_VERSION});
}

void writer_add(struct snapshot_writer *writer, unsigned part, const struct snapshot_record *record)
{
    char text[SNAPSHOT_RECORD_MAX];

    append(writer, text, snapshot_encode(text, record));
    append(writer, record->key, record->key_size);
    append(writer, record->value, record->value_size);
    writer->header.part[part].keys++;
}

void writer_end_part(struct snapshot_writer *writer, unsigned part)
{
    struct snapshot_part *of = &writer->header.part[part];

    flush(writer);
    if (writer->has_failed)
        return;
    of->size = writer->offset + writer->size - of->offset;
    of->checksum = sip_stream_end(&writer->checksum, writer->buffer, writer->size);
    write_all(writer, writer->buffer, writer->size, writer->offset);
    writer->offset += writer->size;
    writer->size = 0;
}

static void write_header(struct snapshot_writer *writer)
{
    struct snapshot_header *header = &writer->header;

    header->file_size = writer->offset;
    header->checksum = snapshot_checksum(header, offsetof(struct snapshot_header, checksum));
    write_all(writer, (const char *)header, sizeof *header, 0);
}

/* So that the new name, too, is there after a loss of power. */
static void sync_directory(struct snapshot_writer *writer)
{
    const char *slash = strrchr(writer->path, '/');
    char *directory = slash == writer->path ? strdup("/")
                      : slash               ? strndup(writer->path, (size_t)(slash - writer->path))
                                            : strdup(".");
    const int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0 || fsync(fd) != 0)
        fail(writer, "sync the directory");
    if (fd >= 0)
        close(fd);
    free(directory);
}

/* To rename it changes none of that. */
static void take_mark(struct snapshot_writer *writer)
{
    struct stat status;

    if (fstat(writer->fd, &status) == 0)
        writer->mark = file_mark(&status);
}

int writer_commit(struct snapshot_writer *writer)
{
    if (!writer->has_failed)
        write_header(writer);
    if (!writer->has_failed && fsync(writer->fd) != 0)
        fail(writer, "sync");
    if (writer->has_failed)
        return -1;
    take_mark(writer);
    if (rename(writer->temporary, writer->path) != 0) {
        fail(writer, "rename");
        return -1;
    }
    free(writer->temporary);
    writer->temporary = NULL;
    writer->has_replaced = true;
    sync_directory(writer);
    return writer->has_failed ? -1 : 0;
}

void writer_finish(struct snapshot_writer *writer)
{
    if (writer->fd >= 0) {
        close(writer->fd);
        if (writer->temporary)
            unlink(writer->temporary);
    }
    free(writer->temporary);
    free(writer->buffer);
    writer->temporary = NULL;
    writer->buffer = NULL;
    writer->fd = -1;
}
