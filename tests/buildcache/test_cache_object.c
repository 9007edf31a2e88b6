/* Objects on disk: none that is damaged, incomplete or another one's is ever found. */
#include "object.h"
#include "process.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct object_key key_of(const char *text)
{
    struct object_key key = {.size = (uint16_t)strlen(text)};

    memcpy(key.bytes, text, key.size);
    return key;
}

static int write_object(int directory, const char *name, const void *body, size_t size)
{
    const struct object_key key = key_of(name);
    struct object_writer writer;
    int error;

    object_writer_init(&writer, directory, &key, size, NULL);
    error = object_write(&writer, body, size);
    object_writer_finish(&writer);
    return error;
}

/* 0: it is there, and right; or an errno. */
static int read_object(int directory, const char *name, const void *body, size_t size)
{
    const struct object_key key = key_of(name);
    char *read_body = malloc(size + 1);
    struct object_file file;
    int error = object_open(directory, &key, &file);

    if (!error) {
        cr_assert_eq(file.size, size);
        error = object_check_body(&file, read_body);
        if (!error) {
            cr_assert_eq(memcmp(read_body, body, size), 0);
            cr_assert_eq(object_check_body(&file, NULL), 0);
        } else {
            cr_assert_eq(object_check_body(&file, NULL), error);
            object_remove_damaged(directory, object_id_of(&key), file.fd);
        }
        close(file.fd);
    }
    free(read_body);
    return error;
}

static const char *path_of(const char *dir, const char *name)
{
    const struct object_key key = key_of(name);
    char path[OBJECT_PATH_SIZE];

    object_path(object_id_of(&key), path);
    return textf("%s/%s", dir, path);
}

/* Whether a file is there that is no object. */
static bool has_leftovers(const char *dir)
{
    char *const roots[] = {(char *)(uintptr_t)dir, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    bool found = false;
    FTSENT *entry;

    while ((entry = fts_read(tree)))
        found |= entry->fts_info == FTS_F && *entry->fts_name == '.';
    fts_close(tree);
    return found;
}

static int open_dir(const char *dir)
{
    object_choose_names();
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

Test(object, what_was_written_is_found)
{
    const char *dir = temp_dir_make();
    const int directory = open_dir(dir);

    cr_assert_eq(read_object(directory, "/a", "", 0), ENOENT);
    cr_assert_eq(write_object(directory, "/a", "hello", 5), 0);
    cr_assert_eq(write_object(directory, "/b", "", 0), 0);
    cr_assert_eq(read_object(directory, "/a", "hello", 5), 0);
    cr_assert_eq(read_object(directory, "/b", "", 0), 0);
    cr_assert_eq(write_object(directory, "/a", "other", 5), 0);
    cr_assert_eq(read_object(directory, "/a", "other", 5), 0);
    cr_assert(!has_leftovers(dir));
    close(directory);
    temp_dir_remove(dir);
}

/* Each bit of head and key, and 24 of the body. */
Test(object, a_bit_that_differs_is_found)
{
    enum { SIZE = 300000 };
    const char *dir = temp_dir_make(), *path = path_of(dir, "/key");
    const int directory = open_dir(dir);
    char *body = calloc(1, SIZE);
    const size_t head = OBJECT_HEAD_SIZE + 4, flips = head * 8 + 24;

    for (size_t i = 0; i < flips; i++) {
        const off_t at = (off_t)(i < head * 8 ? i / 8 : head + (i - head * 8) * (SIZE - 1) / 23);
        unsigned char byte;
        cr_assert_eq(write_object(directory, "/key", body, SIZE), 0);
        const int fd = open(path, O_RDWR | O_CLOEXEC);
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        byte = (unsigned char)(byte ^ 1 << i % 8);
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        cr_assert_neq(read_object(directory, "/key", body, SIZE), 0, "byte %lld", (long long)at);
        cr_assert_eq(access(path, F_OK), -1, "it is removed: byte %lld", (long long)at);
    }
    free(body);
    close(directory);
    temp_dir_remove(dir);
}

Test(object, one_that_was_cut_or_grew_is_found)
{
    static const off_t sizes[] = {0, 1, 39, 40, 43, 44, 1043, 1045, 100000};
    const char *dir = temp_dir_make(), *path = path_of(dir, "/key");
    const int directory = open_dir(dir);
    char body[1000] = "";

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert_eq(write_object(directory, "/key", body, sizeof body), 0);
        cr_assert_eq(truncate(path, sizes[i]), 0);
        cr_assert_eq(read_object(directory, "/key", body, sizeof body), EBADMSG, "%lld bytes",
                     (long long)sizes[i]);
        cr_assert_eq(access(path, F_OK), -1);
    }
    close(directory);
    temp_dir_remove(dir);
}

Test(object, another_ones_file_is_not_it)
{
    const char *dir = temp_dir_make();
    const int directory = open_dir(dir);

    cr_assert_eq(write_object(directory, "/a", "hello", 5), 0);
    cr_assert_eq(write_object(directory, "/b", "hello", 5), 0);
    cr_assert_eq(rename(path_of(dir, "/b"), path_of(dir, "/a")), 0);
    cr_assert_eq(read_object(directory, "/a", "hello", 5), ENOENT);
    cr_assert_eq(unlink(path_of(dir, "/a")), 0);
    cr_assert_eq(symlink("/etc/passwd", path_of(dir, "/a")), 0);
    cr_assert_eq(read_object(directory, "/a", "hello", 5), ELOOP);
    close(directory);
    temp_dir_remove(dir);
}

Test(object, pieces_make_the_same_as_the_whole)
{
    enum { SIZE = 500000 };
    const char *dir = temp_dir_make();
    const int directory = open_dir(dir);
    const struct object_key key = key_of("/pieces");
    struct object_writer writer;
    char *body = malloc(SIZE);

    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)(i * 7 ^ i >> 8);
    object_writer_init(&writer, directory, &key, SIZE, NULL);
    for (size_t at = 0, size = 1; at < SIZE; at += size, size = size * 2 + 1) {
        cr_assert_eq(access(path_of(dir, "/pieces"), F_OK), -1, "it is not there before its end");
        if (size > SIZE - at)
            size = SIZE - at;
        cr_assert_eq(object_write(&writer, body + at, size), 0);
    }
    object_writer_finish(&writer);
    cr_assert_eq(read_object(directory, "/pieces", body, SIZE), 0);
    free(body);
    close(directory);
    temp_dir_remove(dir);
}

Test(object, one_that_is_given_up_leaves_nothing)
{
    const char *dir = temp_dir_make();
    const int directory = open_dir(dir);
    const struct object_key key = key_of("/given-up");
    struct object_writer writer;

    object_writer_init(&writer, directory, &key, 100, NULL);
    object_writer_finish(&writer);
    object_writer_init(&writer, directory, &key, 100, NULL);
    cr_assert_eq(object_write(&writer, "abc", 3), 0);
    cr_assert(has_leftovers(dir), "the control");
    object_writer_finish(&writer);
    cr_assert(!has_leftovers(dir));
    close(directory);
    temp_dir_remove(dir);
}

Test(object, a_body_matches_its_sha256)
{
    const char *dir = temp_dir_make();
    const int directory = open_dir(dir);
    const struct object_key key = key_of("/cas/x");
    struct object_writer writer;
    struct sha256_ctx context;
    uint8_t digest[OBJECT_SHA256_SIZE];

    sha256_init(&context);
    sha256_update(&context, 5, (const uint8_t *)"hello");
    sha256_digest(&context, sizeof digest, digest);
    object_writer_init(&writer, directory, &key, 5, digest);
    cr_assert_eq(object_write(&writer, "hel", 3), 0);
    cr_assert_eq(object_write(&writer, "lo", 2), 0);
    object_writer_finish(&writer);
    cr_assert_eq(read_object(directory, "/cas/x", "hello", 5), 0);
    object_writer_init(&writer, directory, &key, 5, digest);
    cr_assert_eq(object_write(&writer, "hellO", 5), EBADMSG);
    object_writer_finish(&writer);
    cr_assert_eq(read_object(directory, "/cas/x", "hello", 5), 0, "the one before stays");
    cr_assert(!has_leftovers(dir));
    close(directory);
    temp_dir_remove(dir);
}

Test(object, what_another_process_has_left_is_known)
{
    object_choose_names();
    cr_assert(object_is_leftover(".0123abcd-7"));
    cr_assert(!object_is_leftover("."));
    cr_assert(!object_is_leftover(".."));
    cr_assert(!object_is_leftover(".0123abcd"));
    cr_assert(!object_is_leftover("0123abcd-7"));
    cr_assert(!object_is_leftover(".0123abcg-7"));
    cr_assert(!object_is_leftover(".nfs0123abcd-7"));
}

Test(object, names_are_read_back)
{
    const struct object_key key = key_of("/name");
    const struct object_id id = object_id_of(&key);
    char path[OBJECT_PATH_SIZE];
    struct object_id back;
    unsigned folder;

    object_path(id, path);
    cr_assert_eq(sscanf(path, "objects/%2x/", &folder), 1);
    cr_assert(object_id_from(folder, path + 11, &back));
    cr_assert_eq(memcmp(id.bytes, back.bytes, sizeof id.bytes), 0);
    cr_assert(!object_id_from(0, ".", &back));
    cr_assert(!object_id_from(0, "0123456789abcdef0123456789abc", &back));
    cr_assert(!object_id_from(0, "0123456789abcdef0123456789abcde0", &back));
    cr_assert(!object_id_from(0, "0123456789ABCDEF0123456789abcd", &back));
}
