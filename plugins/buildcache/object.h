/* Objects on disk: one file each, which is complete or is not there.
 *
 *     DIRECTORY/objects/AB/CDEF...   AB, CDEF...: the 16 bytes of its id, in hexadecimal digits
 *     DIRECTORY/objects/AB/.RUN-N    one that is being written. RUN is another in each process, so
 *                                    that what a killed one has left is known; and it is beside its
 *                                    last name, because a rename within a folder blocks no others
 *
 *     file    struct object_head, the key, the body
 *     id      a hash of the key. The key itself is in the file, so that of two keys with one id
 *             only one is ever found
 *     mtime   when the body was written; it changes when anything else writes to the file
 *     atime   when the object was last used: the order of eviction
 *
 * All functions here are [worker] or [any]: they read and write files, and know nothing of a loop.
 * Errors are errno values. */
#ifndef BUILDCACHE_OBJECT_H
#define BUILDCACHE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object_hashes;

enum {
    OBJECT_KEY_MAX = 512,
    OBJECT_HEAD_SIZE = 40,
    OBJECT_PATH_SIZE = 48,
    OBJECT_SHA256_SIZE = 32,
    OBJECT_FOLDERS = 256
};

struct object_id {
    uint8_t bytes[16];
};

struct object_key {
    uint16_t size;
    char bytes[OBJECT_KEY_MAX];
};

struct object_id object_id_of(const struct object_key *key);

/* "objects/AB/CDEF...", below the directory. */
void object_path(struct object_id id, char ret_path[OBJECT_PATH_SIZE]);

/* The id that a file's name stands for; false: it is no object's name. */
bool object_id_from(unsigned folder, const char *name, struct object_id *ret);

/* The bytes of disk that a file of this size takes. */
uint64_t object_disk_bytes(uint64_t file_size);

/* ---- reading ------------------------------------------------------------------------------ */

struct object_file {
    int fd;
    uint64_t offset, size; /* of the body */
    uint64_t sum[2];
    uint32_t mark; /* changes when the file is written to or replaced; never 0 */
};

/* Opens an object, and checks all but its body. 0; ENOENT: there is none, or one of another key;
 * EBADMSG: it was damaged, and has been removed; or another errno. */
int object_open(int directory, const struct object_key *key, struct object_file *ret);

/* Reads the body, and checks it. body: room for it, or NULL: it is read and dropped. 0, or EBADMSG
 * or another errno. The caller removes a damaged object with object_remove_damaged(). */
int object_check_body(const struct object_file *file, void *body);

/* Removes the file, unless another was put in its place. */
void object_remove_damaged(int directory, struct object_id id, int fd);

/* ---- writing ------------------------------------------------------------------------------ */

struct object_writer {
    int directory, fd; /* fd -1: no file is there, so far or any more */
    unsigned long number;
    struct object_key key;
    uint64_t size, written;       /* of the body */
    struct object_hashes *hashes; /* NULL: nothing was written */
    bool has_sha256;              /* the body must match sha256_wanted */
    uint8_t sha256_wanted[OBJECT_SHA256_SIZE];
};

/* [any] Nothing is made yet. sha256: what the body must hash to, or NULL. */
void object_writer_init(struct object_writer *writer, int directory, const struct object_key *key,
                        uint64_t size, const uint8_t *sha256);

/* Writes the next bytes of the body. With the last of them, the object is checked and gets its
 * name. For a body of no bytes it is called once. 0; EBADMSG: its hash is another; or an errno of
 * the disk. After an error nothing is left of it. */
int object_write(struct object_writer *writer, const void *data, size_t size);

/* Frees what the writer has. An object that is not complete is removed. */
void object_writer_finish(struct object_writer *writer);

/* [start] Chooses RUN. */
void object_choose_names(void);

/* Whether a file of a folder is one that another process has not completed. */
bool object_is_leftover(const char *name);

#endif
