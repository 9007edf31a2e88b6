/* Snapshots. See snapshot.h. */
#include "snapshot.h"

#include "entry.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t snapshot_checksum(const void *data, size_t size)
{
    return siphash((struct sip_key){SNAPSHOT_MAGIC, SNAPSHOT_VERSION}, data, size);
}

/* ---- records -------------------------------------------------------------------- */

static size_t put_size(char *text, uint32_t size)
{
    size_t used = 0;

    for (; size >= 0x80; size >>= 7)
        text[used++] = (char)(size | 0x80);
    text[used++] = (char)size;
    return used;
}

static bool take_size(const char **at, const char *end, uint32_t *ret_size)
{
    uint64_t size = 0;

    for (unsigned shift = 0; shift < 35 && *at < end; shift += 7) {
        const unsigned char byte = (unsigned char)*(*at)++;
        size |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_size = (uint32_t)size;
            return size <= ENTRY_VALUE_MAX;
        }
    }
    return false;
}

size_t snapshot_encode(char text[SNAPSHOT_RECORD_MAX], const struct snapshot_record *record)
{
    size_t used = 1;

    text[0] = (char)(record->database | (record->expires ? SNAPSHOT_EXPIRES : 0));
    used += put_size(text + used, record->key_size);
    used += put_size(text + used, record->value_size);
    if (record->expires) {
        memcpy(text + used, &record->expiry_ms, sizeof record->expiry_ms);
        used += sizeof record->expiry_ms;
    }
    return used;
}

bool snapshot_next(const char **at, const char *end, struct snapshot_record *ret_record)
{
    const unsigned char first = (unsigned char)*(*at)++;

    ret_record->expires = first & SNAPSHOT_EXPIRES;
    ret_record->database = first & ~(unsigned)SNAPSHOT_EXPIRES;
    if (ret_record->database >= STORE_DATABASES || !take_size(at, end, &ret_record->key_size) ||
        !take_size(at, end, &ret_record->value_size))
        return false;
    if (ret_record->expires) {
        if ((size_t)(end - *at) < sizeof ret_record->expiry_ms)
            return false;
        memcpy(&ret_record->expiry_ms, *at, sizeof ret_record->expiry_ms);
        *at += sizeof ret_record->expiry_ms;
    }
    if ((size_t)(end - *at) < (size_t)ret_record->key_size + ret_record->value_size)
        return false;
    ret_record->key = *at;
    ret_record->value = *at + ret_record->key_size;
    *at += (size_t)ret_record->key_size + ret_record->value_size;
    return true;
}

/* ---- reading ---------------------------------------------------------------------- */

/* All of it, or what errno says; 0 in errno: the file ends before. */
static bool read_all(int fd, void *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got < 0 ? errno : 0;
            return false;
        }
        done += (size_t)got;
    }
    return true;
}

/* Parts lie one behind the other, and end with the file. */
static bool has_sound_parts(const struct snapshot_header *header)
{
    uint64_t at = sizeof *header;

    for (unsigned i = 0; i < SNAPSHOT_PARTS; i++) {
        const struct snapshot_part *part = &header->part[i];
        if (part->offset != at || part->size > header->file_size - at ||
            part->keys > part->size / SNAPSHOT_RECORD_MIN)
            return false;
        at += part->size;
    }
    return at == header->file_size;
}

/* NULL: it is good. */
static const char *judge_header(const struct snapshot_header *header, uint64_t file_size)
{
    if (header->magic != SNAPSHOT_MAGIC)
        return "it is no snapshot of kv";
    if (header->version != SNAPSHOT_VERSION)
        return "it is of another version of kv";
    if (snapshot_checksum(header, offsetof(struct snapshot_header, checksum)) != header->checksum)
        return "its header's checksum is wrong";
    if (header->parts != SNAPSHOT_PARTS || header->file_size != file_size ||
        !has_sound_parts(header))
        return "it is not as long as its header says";
    return NULL;
}

int snapshot_open(const char *path, struct snapshot_header *ret_header,
                  char ret_why[SNAPSHOT_TEXT_SIZE])
{
    /* A FIFO would make open() wait. */
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    const char *why = NULL;
    struct stat status;

    if (fd < 0) {
        snprintf(ret_why, SNAPSHOT_TEXT_SIZE, "open: %s",
                 errno == ELOOP ? "it is a symbolic link, and those are not followed"
                                : strerror(errno));
        return -1;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        why = "it is no regular file";
    else if ((size_t)status.st_size < sizeof *ret_header)
        why = "it is too short for a snapshot";
    else if (!read_all(fd, ret_header, sizeof *ret_header, 0))
        why = errno ? strerror(errno) : "it ends too early";
    else
        why = judge_header(ret_header, (uint64_t)status.st_size);
    if (!why)
        return fd;
    snprintf(ret_why, SNAPSHOT_TEXT_SIZE, "%s", why);
    close(fd);
    errno = EINVAL;
    return -1;
}

size_t snapshot_largest_part(const struct snapshot_header *header)
{
    uint64_t largest = 0;

    for (unsigned i = 0; i < SNAPSHOT_PARTS; i++)
        if (header->part[i].size > largest)
            largest = header->part[i].size;
    return largest;
}

int snapshot_read_part(int fd, const struct snapshot_header *header, unsigned part, char *buffer,
                       char ret_why[SNAPSHOT_TEXT_SIZE])
{
    const struct snapshot_part *of = &header->part[part];

    if (!read_all(fd, buffer, of->size, of->offset))
        snprintf(ret_why, SNAPSHOT_TEXT_SIZE, "read: %s",
                 errno ? strerror(errno) : "the file has become shorter");
    else if (snapshot_checksum(buffer, of->size) != of->checksum)
        snprintf(ret_why, SNAPSHOT_TEXT_SIZE, "its checksum is wrong: the file is damaged");
    else
        return 0;
    return -1;
}
