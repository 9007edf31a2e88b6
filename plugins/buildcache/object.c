/* Objects on disk. See object.h. */
#include "object.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define MAGIC "rpdobj1\n"

enum { BLOCK = 128 * 1024, DISK_BLOCK = 4096, PREFIX_SIZE = 16, FOLDER_SIZE = 10 /* objects/AB */ };

/* As it is in the file; numbers are little-endian. */
struct object_head {
    char magic[8];
    uint32_t key_size;
    uint32_t head_sum; /* of the head, with 0 here, and the key */
    uint64_t size;     /* of the body */
    uint64_t sum[2];   /* of the body */
};
_Static_assert(sizeof(struct object_head) == OBJECT_HEAD_SIZE, "it is in files");

/* Of a body that is being written. */
struct object_hashes {
    XXH3_state_t sum;
    struct sha256_ctx sha256;
};

/* ---- names ---------------------------------------------------------------------------------- */

struct object_id object_id_of(const struct object_key *key)
{
    XXH128_canonical_t canonical;
    struct object_id id;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(key->bytes, key->size));
    memcpy(id.bytes, canonical.digest, sizeof id.bytes);
    return id;
}

void object_path(struct object_id id, char ret_path[OBJECT_PATH_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *at = ret_path + sizeof "objects/" - 1;

    memcpy(ret_path, "objects/", sizeof "objects/");
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        *at++ = digits[id.bytes[i] >> 4];
        *at++ = digits[id.bytes[i] & 15];
        if (i == 0)
            *at++ = '/';
    }
    *at = '\0';
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool object_id_from(unsigned folder, const char *name, struct object_id *ret)
{
    ret->bytes[0] = (uint8_t)folder;
    for (size_t i = 1; i < sizeof ret->bytes; i++, name += 2) {
        const int high = digit_value(name[0]), low = high < 0 ? -1 : digit_value(name[1]);

        if (low < 0)
            return false;
        ret->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return *name == '\0';
}

uint64_t object_disk_bytes(uint64_t file_size)
{
    return (file_size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

static _Atomic uint32_t run;

void object_choose_names(void)
{
    uint32_t chosen = run;

    while (chosen == 0)
        if (getrandom(&chosen, sizeof chosen, 0) != sizeof chosen)
            chosen = (uint32_t)getpid();
    run = chosen;
}

static void make_prefix(char ret_prefix[PREFIX_SIZE])
{
    snprintf(ret_prefix, PREFIX_SIZE, ".%08x-", run);
}

bool object_is_leftover(const char *name)
{
    char ours[PREFIX_SIZE];
    size_t digits;

    make_prefix(ours);
    digits = *name == '.' ? strspn(name + 1, "0123456789abcdef") : 0;
    return digits == 8 && name[9] == '-' && strncmp(name, ours, strlen(ours)) != 0;
}

/* ---- the head ------------------------------------------------------------------------------- */

static uint32_t head_sum(const struct object_head *head, const struct object_key *key)
{
    struct object_head summed = *head;

    summed.head_sum = 0;
    return (uint32_t)XXH3_64bits_withSeed(key->bytes, key->size,
                                          XXH3_64bits(&summed, sizeof summed));
}

static struct object_head make_head(const struct object_key *key, uint64_t size, XXH128_hash_t sum)
{
    struct object_head head = {.key_size = htole32(key->size),
                               .size = htole64(size),
                               .sum = {htole64(sum.low64), htole64(sum.high64)}};

    memcpy(head.magic, MAGIC, sizeof head.magic);
    head.head_sum = htole32(head_sum(&head, key));
    return head;
}

/* ---- reading -------------------------------------------------------------------------------- */

static uint32_t mark_of(const struct stat *status)
{
    const uint64_t facts[] = {(uint64_t)status->st_ino, (uint64_t)status->st_size,
                              (uint64_t)status->st_mtim.tv_sec, (uint64_t)status->st_mtim.tv_nsec};

    return (uint32_t)XXH3_64bits(facts, sizeof facts) | 1;
}

/* 0, ENOENT, EBADMSG or another errno. */
static int read_head(const struct object_key *key, struct object_file *file)
{
    struct stat status;
    struct {
        struct object_head head;
        struct object_key key;
    } has;
    struct iovec into[] = {{&has.head, sizeof has.head}, {has.key.bytes, sizeof has.key.bytes}};
    const ssize_t got = preadv(file->fd, into, 2, 0);

    if (got < 0 || fstat(file->fd, &status) < 0)
        return errno;
    if (got < OBJECT_HEAD_SIZE || memcmp(has.head.magic, MAGIC, sizeof has.head.magic) != 0 ||
        le32toh(has.head.key_size) > OBJECT_KEY_MAX ||
        (size_t)got < OBJECT_HEAD_SIZE + le32toh(has.head.key_size))
        return EBADMSG;
    has.key.size = (uint16_t)le32toh(has.head.key_size);
    file->offset = OBJECT_HEAD_SIZE + has.key.size;
    file->size = le64toh(has.head.size);
    file->sum[0] = le64toh(has.head.sum[0]);
    file->sum[1] = le64toh(has.head.sum[1]);
    file->mark = mark_of(&status);
    if (le32toh(has.head.head_sum) != head_sum(&has.head, &has.key) ||
        (uint64_t)status.st_size - file->offset != file->size)
        return EBADMSG;
    return has.key.size == key->size && memcmp(has.key.bytes, key->bytes, key->size) == 0 ? 0
                                                                                          : ENOENT;
}

int object_open(int directory, const struct object_key *key, struct object_file *ret)
{
    const struct object_id id = object_id_of(key);
    char path[OBJECT_PATH_SIZE];
    int error;

    object_path(id, path);
    ret->fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOATIME);
    if (ret->fd < 0)
        return errno;
    error = read_head(key, ret);
    if (error == 0)
        return 0;
    if (error == EBADMSG)
        object_remove_damaged(directory, id, ret->fd);
    close(ret->fd);
    ret->fd = -1;
    return error;
}

void object_remove_damaged(int directory, struct object_id id, int fd)
{
    struct stat ours, there;
    char path[OBJECT_PATH_SIZE];

    object_path(id, path);
    if (fstat(fd, &ours) == 0 && fstatat(directory, path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
        unlinkat(directory, path, 0);
}

/* Reads all of it, or fails. */
static int read_all(int fd, void *data, size_t size, uint64_t at)
{
    size_t done = 0;

    while (done < size) {
        const ssize_t got = pread(fd, (char *)data + done, size - done, (off_t)(at + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : EBADMSG;
        done += (size_t)got;
    }
    return 0;
}

static int compare_sums(const struct object_file *file, XXH128_hash_t sum)
{
    return sum.low64 == file->sum[0] && sum.high64 == file->sum[1] ? 0 : EBADMSG;
}

static int check_blocks(const struct object_file *file, void *block)
{
    XXH3_state_t sum;

    XXH3_128bits_reset(&sum);
    for (uint64_t done = 0; done < file->size;) {
        const uint64_t left = file->size - done;
        const size_t size = left < BLOCK ? (size_t)left : BLOCK;
        const int error = read_all(file->fd, block, size, file->offset + done);

        if (error)
            return error;
        XXH3_128bits_update(&sum, block, size);
        done += size;
    }
    return compare_sums(file, XXH3_128bits_digest(&sum));
}

int object_check_body(const struct object_file *file, void *body)
{
    void *block;
    int error;

    if (body) {
        error = read_all(file->fd, body, (size_t)file->size, file->offset);
        return error ? error : compare_sums(file, XXH3_128bits(body, (size_t)file->size));
    }
    block = malloc(BLOCK);
    error = block ? check_blocks(file, block) : ENOMEM;
    free(block);
    return error;
}

/* ---- writing -------------------------------------------------------------------------------- */

void object_writer_init(struct object_writer *writer, int directory, const struct object_key *key,
                        uint64_t size, const uint8_t *sha256)
{
    static atomic_ulong numbers;

    writer->directory = directory;
    writer->fd = -1;
    writer->number = atomic_fetch_add(&numbers, 1);
    writer->key.size = key->size;
    memcpy(writer->key.bytes, key->bytes, key->size);
    writer->size = size;
    writer->written = 0;
    writer->hashes = NULL;
    if (sha256)
        memcpy(writer->sha256_wanted, sha256, OBJECT_SHA256_SIZE);
    writer->has_sha256 = sha256 != NULL;
}

static void temporary_path(const struct object_writer *writer, char ret_path[OBJECT_PATH_SIZE])
{
    char prefix[PREFIX_SIZE];

    make_prefix(prefix);
    object_path(object_id_of(&writer->key), ret_path);
    snprintf(ret_path + FOLDER_SIZE + 1, OBJECT_PATH_SIZE - FOLDER_SIZE - 1, "%s%lu", prefix,
             writer->number);
}

static int begin_hashes(struct object_writer *writer)
{
    const size_t alignment = _Alignof(struct object_hashes);

    writer->hashes = aligned_alloc(alignment, sizeof *writer->hashes);
    if (!writer->hashes)
        return ENOMEM;
    XXH3_128bits_reset(&writer->hashes->sum);
    sha256_init(&writer->hashes->sha256);
    return 0;
}

static void make_folder(int directory, const char *path)
{
    char folder[FOLDER_SIZE + 1];

    memcpy(folder, path, FOLDER_SIZE);
    folder[FOLDER_SIZE] = '\0';
    mkdirat(directory, "objects", 0700);
    mkdirat(directory, folder, 0700);
}

/* Makes the file, and its folder if it is the first of it. */
static int create(struct object_writer *writer)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    char path[OBJECT_PATH_SIZE];

    temporary_path(writer, path);
    writer->fd = openat(writer->directory, path, flags, 0600);
    if (writer->fd < 0 && errno == ENOENT) {
        make_folder(writer->directory, path);
        writer->fd = openat(writer->directory, path, flags, 0600);
    }
    return writer->fd < 0 ? errno : 0;
}

static int write_all(int fd, const void *data, size_t size, uint64_t at)
{
    size_t done = 0;

    while (done < size) {
        const ssize_t now = pwrite(fd, (const char *)data + done, size - done, (off_t)(at + done));

        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return now < 0 ? errno : EIO;
        done += (size_t)now;
    }
    return 0;
}

static int add(struct object_writer *writer, const void *data, size_t size)
{
    const uint64_t at = OBJECT_HEAD_SIZE + writer->key.size + writer->written;

    XXH3_128bits_update(&writer->hashes->sum, data, size);
    if (writer->has_sha256)
        sha256_update(&writer->hashes->sha256, size, data);
    writer->written += size;
    return write_all(writer->fd, data, size, at);
}

static int check_sha256(const struct object_writer *writer, struct sha256_ctx *sha256)
{
    uint8_t digest[OBJECT_SHA256_SIZE];

    sha256_digest(sha256, sizeof digest, digest);
    return memcmp(digest, writer->sha256_wanted, sizeof digest) == 0 ? 0 : EBADMSG;
}

static int publish(struct object_writer *writer)
{
    char from[OBJECT_PATH_SIZE], to[OBJECT_PATH_SIZE];

    temporary_path(writer, from);
    object_path(object_id_of(&writer->key), to);
    if (renameat(writer->directory, from, writer->directory, to) < 0)
        return errno;
    close(writer->fd);
    writer->fd = -1;
    return 0;
}

/* All of it in one piece: then it is written in one call. */
static int write_whole(struct object_writer *writer, const void *data, size_t size)
{
    struct object_head head = make_head(&writer->key, size, XXH3_128bits(data, size));
    const struct iovec pieces[] = {{&head, sizeof head},
                                   {writer->key.bytes, writer->key.size},
                                   {(void *)(uintptr_t)data, size}};
    const size_t whole = sizeof head + writer->key.size + size;
    struct sha256_ctx sha256;
    ssize_t written;
    int error;

    if (writer->has_sha256) {
        sha256_init(&sha256);
        sha256_update(&sha256, size, data);
        if (check_sha256(writer, &sha256) != 0)
            return EBADMSG;
    }
    error = create(writer);
    if (error)
        return error;
    written = pwritev(writer->fd, pieces, 3, 0);
    if (written < 0)
        return errno;
    writer->written = size;
    return (size_t)written == whole ? publish(writer) : ENOSPC;
}

static int complete(struct object_writer *writer)
{
    const struct object_head head = make_head(&writer->key, writer->size,
                                              XXH3_128bits_digest(&writer->hashes->sum));
    int error = writer->has_sha256 ? check_sha256(writer, &writer->hashes->sha256) : 0;

    if (!error)
        error = write_all(writer->fd, &head, sizeof head, 0);
    if (!error)
        error = write_all(writer->fd, writer->key.bytes, writer->key.size, sizeof head);
    return error ? error : publish(writer);
}

static int write_piece(struct object_writer *writer, const void *data, size_t size)
{
    int error = 0;

    if (!writer->hashes)
        error = begin_hashes(writer);
    if (!error && writer->fd < 0)
        error = create(writer);
    if (!error)
        error = add(writer, data, size);
    if (!error && writer->written == writer->size)
        error = complete(writer);
    return error;
}

int object_write(struct object_writer *writer, const void *data, size_t size)
{
    const bool is_whole = writer->written == 0 && size == writer->size;
    const int error = is_whole ? write_whole(writer, data, size) : write_piece(writer, data, size);

    if (error)
        object_writer_finish(writer);
    return error;
}

void object_writer_finish(struct object_writer *writer)
{
    char path[OBJECT_PATH_SIZE];

    if (writer->fd >= 0) {
        temporary_path(writer, path);
        unlinkat(writer->directory, path, 0);
        close(writer->fd);
        writer->fd = -1;
    }
    free(writer->hashes);
    writer->hashes = NULL;
}
