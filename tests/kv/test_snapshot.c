/* Snapshots: what is written can be read, and damaged files are refused. Linked with --wrap=fsync
 * and --wrap=rename. */
#include "save_slice.h"
#include "snapshot.h"
#include "snapshot_writer.h"
#include "store.h"

#include "process.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct sip_key seed = {3, 4};
static const struct segment_copies no_copies = SLIST_HEAD_INITIALIZER(no_copies);

static struct store *make_store(unsigned keys)
{
    struct store *store = malloc(sizeof *store);

    store_init(store, seed);
    for (unsigned i = 0; i < keys; i++) {
        char name[32], value[300];
        const struct store_key key = store_key(store, name,
                                               (size_t)snprintf(name, sizeof name, "key:%u", i));
        memset(value, (int)i, sizeof value);
        store_set(store, i % 3, &key, value, i % 300, i % 5 ? STORE_NO_EXPIRY : 5000000000000);
    }
    return store;
}

static void write_store(const struct store *store, const char *path)
{
    struct snapshot_writer writer;
    struct save_slice slice = {0};

    writer_open(&writer, path, seed, 7, 1234);
    for (unsigned part = 0; part < TABLE_PARTS; part++) {
        cr_assert_eq(save_slice_gather(&slice, store, part, 1, &no_copies), 0);
        save_slice_write(&slice, &writer, part, 0, 0);
    }
    save_slice_finish(&slice);
    cr_assert_eq(writer_commit(&writer), 0, "%s", writer.why);
    writer_finish(&writer);
}

/* How many records it has; -1: it is refused, as it must be if it is damaged. */
static long read_file(const char *path, struct store *compared)
{
    struct snapshot_header header;
    char why[SNAPSHOT_TEXT_SIZE];
    const int fd = snapshot_open(path, &header, why);
    long count = 0;

    if (fd < 0)
        return -1;
    for (unsigned part = 0; part < TABLE_PARTS && count >= 0; part++) {
        char *data = malloc(snapshot_largest_part(&header) + 1);
        const char *at = data;
        struct snapshot_record record;
        if (snapshot_read_part(fd, &header, part, data, why) < 0) {
            free(data);
            count = -1;
            break;
        }
        while (at < data + header.part[part].size) {
            cr_assert(snapshot_next(&at, data + header.part[part].size, &record));
            count++;
            if (!compared)
                continue;
            const struct store_key key = store_key(compared, record.key, record.key_size);
            struct entry *entry = store_find(compared, record.database, &key);
            cr_assert_not_null(entry);
            cr_assert_eq(entry_value_size(entry), record.value_size);
            cr_assert_eq(memcmp(entry_value(entry), record.value, record.value_size), 0);
            cr_assert_eq(entry_expires(entry), record.expires);
        }
        free(data);
    }
    close(fd);
    return count;
}

Test(snapshot, what_is_written_is_read)
{
    const char *dir = temp_dir_make();
    const char *path = textf("%s/snap", dir);
    struct store *store = make_store(20000);
    struct stat status;

    write_store(store, path);
    cr_assert_eq(read_file(path, store), 20000);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    cr_assert_neq(access(textf("%s.tmp", path), F_OK), 0);
    store_finish(store);
    free(store);
    temp_dir_remove(dir);
}

/* With any wrong bit, and any end. */
Test(snapshot, damage_is_refused, .timeout = 300)
{
    const char *dir = temp_dir_make();
    const char *path = textf("%s/snap", dir), *broken = textf("%s/broken", dir);
    struct store *store = make_store(12);
    struct stat status;
    char *data;
    FILE *file;

    write_store(store, path);
    cr_assert_eq(stat(path, &status), 0);
    const size_t size = (size_t)status.st_size;
    data = malloc(size + 1);
    file = fopen(path, "r");
    cr_assert_eq(fread(data, 1, size, file), size);
    fclose(file);
    for (size_t bit = 0; bit < size * 8; bit++) {
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
        file_write(broken, data, size);
        cr_assert_eq(read_file(broken, NULL), -1, "bit %zu of byte %zu", bit % 8, bit / 8);
        data[bit / 8] = (char)(data[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        file_write(broken, data, cut);
        cr_assert_eq(read_file(broken, NULL), -1, "cut at %zu", cut);
    }
    data[size] = 'x';
    file_write(broken, data, size + 1);
    cr_assert_eq(read_file(broken, NULL), -1, "longer than it was");
    file_write(broken, data, size);
    cr_assert_eq(read_file(broken, NULL), 12, "as it was");
    free(data);
    store_finish(store);
    free(store);
    temp_dir_remove(dir);
}

/* Wrong sizes behind a correct checksum. */
Test(snapshot, no_size_is_believed)
{
    static const char *const records[] = {
        "\x10\x01\x01kv",                 /* no such database */
        "\x00\xff\xff\xff\xff\x7f\x01kv", /* a size without an end */
        "\x00\x05\x01kv",                 /* beyond the end */
        "\x00\x01\xff\xff\xff\xff\x01k",
        "\x80\x01\x01kv", /* no room for the expiry */
    };

    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        const char *at = records[i];
        struct snapshot_record record;
        const size_t size = i == 0 || i == 2 || i == 4 ? 5 : i == 1 ? 9 : 8;
        cr_assert_not(snapshot_next(&at, records[i] + size, &record), "record %zu", i);
    }
}

Test(snapshot, a_missing_file_is_told)
{
    struct snapshot_header header;
    char why[SNAPSHOT_TEXT_SIZE];

    errno = 0;
    cr_assert_eq(snapshot_open("/nonexistent/file", &header, why), -1);
    cr_assert_eq(errno, ENOENT);
    cr_assert_eq(snapshot_open("/dev/zero", &header, why), -1);
    cr_assert_str_eq(why, "it is no regular file");
}

/* An error leaves the old file unchanged, and no other file beside it. */
Test(snapshot, a_failed_write_changes_nothing)
{
    const char *dir = temp_dir_make();
    const char *path = textf("%s/snap", dir);
    struct store *store = make_store(100);
    struct snapshot_writer writer;

    write_store(store, path);
    writer_open(&writer, path, seed, 8, 1);
    writer_begin_part(&writer, 0);
    writer_finish(&writer);
    cr_assert_eq(read_file(path, store), 100);
    cr_assert_neq(access(textf("%s.tmp", path), F_OK), 0);
    writer_open(&writer, textf("%s/no/such/directory", dir), seed, 8, 1);
    cr_assert(writer.has_failed);
    cr_assert_eq(writer_commit(&writer), -1);
    writer_finish(&writer);
    store_finish(store);
    free(store);
    temp_dir_remove(dir);
}

/* ---- what reaches the disk, and in which order --------------------------------------------- */

static char calls[8];   /* f: a file is synced, d: a directory, r: a file is renamed */
static char fails_then; /* the one of them that fails */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

static int note_call(char call)
{
    const size_t count = strlen(calls);

    if (count + 1 < sizeof calls)
        calls[count] = call;
    if (call != fails_then)
        return 0;
    errno = EIO;
    return -1;
}

int __wrap_fsync(int fd)
{
    struct stat status;

    cr_assert_eq(fstat(fd, &status), 0);
    return note_call(S_ISDIR(status.st_mode) ? 'd' : 'f') < 0 ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return note_call('r') < 0 ? -1 : __real_rename(from, to);
}

/* The result of the save. */
static int save_again(const char *path)
{
    struct snapshot_writer writer;
    int result;

    memset(calls, 0, sizeof calls);
    writer_open(&writer, path, seed, 8, 1);
    for (unsigned part = 0; part < TABLE_PARTS; part++) {
        writer_begin_part(&writer, part);
        writer_end_part(&writer, part);
    }
    result = writer_commit(&writer);
    writer_finish(&writer);
    return result;
}

/* Otherwise a power cut may leave an empty file under its name, or the old file after a save that
 * was acknowledged. */
Test(snapshot, is_on_the_disk_before_it_has_its_name)
{
    const char *dir = temp_dir_make();
    const char *path = textf("%s/snap", dir);
    struct store *store = make_store(100);

    write_store(store, path);
    cr_assert_str_eq(calls, "frd");
    fails_then = 'f';
    cr_assert_eq(save_again(path), -1);
    cr_assert_str_eq(calls, "f");
    cr_assert_eq(read_file(path, store), 100);
    fails_then = 'r';
    cr_assert_eq(save_again(path), -1);
    cr_assert_str_eq(calls, "fr");
    cr_assert_eq(read_file(path, store), 100);
    cr_assert_neq(access(textf("%s.tmp", path), F_OK), 0);
    fails_then = 'd';
    cr_assert_eq(save_again(path), -1);
    cr_assert_str_eq(calls, "frd");
    fails_then = 0;
    cr_assert_eq(save_again(path), 0);
    cr_assert_eq(read_file(path, NULL), 0);
    store_finish(store);
    free(store);
    temp_dir_remove(dir);
}
