/* The parser of HTTP's heads, given anything at all. Built with -DBUILDCACHE_FUZZ and clang's
 * -fsanitize=fuzzer it looks for what breaks it:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -DBUILDCACHE_FUZZ -D_GNU_SOURCE -Iinclude
 *         -Iplugins/buildcache tests/buildcache/fuzz_requests.c plugins/buildcache/http_request.c
 *         -o fuzz_requests
 *     ./fuzz_requests tests/buildcache/corpus
 *
 * Else it is a program that reads the files of a directory, and 200,000 variations of them.
 *
 * What is read must not depend on how much of it has come: a beginning is either not enough, or
 * refused as the whole is. */
#include "http_request.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *why, const uint8_t *data, size_t size)
{
    fprintf(stderr, "%s:\n%.*s\n", why, (int)size, (const char *)data);
    abort();
}

static int read_copy(const uint8_t *data, size_t size, struct http_request *ret)
{
    char *copy = malloc(size ? size : 1); /* so that a byte too far is seen */
    int result;

    memcpy(copy, data, size);
    result = http_request_read((struct rpd_span){copy, size}, ret);
    if (result == 1 && (ret->head_size > size || ret->path.data < copy ||
                        ret->path.data + ret->path.size > copy + size))
        fail("it reads what is not there", data, size);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request whole, part;
    const int result = read_copy(data, size, &whole);
    const size_t cut = size > 0 ? data[size - 1] * size / 256 : 0;
    const int early = read_copy(data, cut, &part);

    if (early > 1 && early != result)
        fail("it is refused early, and not in the end", data, size);
    if (early == 1 && (result != 1 || part.head_size != whole.head_size))
        fail("it is read early, and otherwise in the end", data, size);
    if (result == 1 && (whole.path.size == 0 || whole.path.size > HTTP_PATH_MAX))
        fail("its path has no size", data, size);
    if (result != 0 && result != 1 && (result < 400 || result > 505))
        fail("it has no status", data, size);
    return 0;
}

#ifndef BUILDCACHE_FUZZ
enum { SIZE_MAX_ = 4096, FILES_MAX = 100, VARIATIONS = 200000 };

static struct {
    uint8_t bytes[SIZE_MAX_];
    size_t size;
} files[FILES_MAX];

static size_t read_files(const char *directory)
{
    DIR *stream = opendir(directory);
    const struct dirent *entry;
    size_t count = 0;

    while (stream && count < FILES_MAX && (entry = readdir(stream))) {
        char path[4096];
        FILE *file;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        file = *entry->d_name == '.' ? NULL : fopen(path, "re");
        if (!file)
            continue;
        files[count].size = fread(files[count].bytes, 1, SIZE_MAX_, file);
        count++;
        fclose(file);
    }
    if (stream)
        closedir(stream);
    return count;
}

/* A byte changed, a piece removed, or one of another file put in. */
static size_t vary(uint8_t *bytes, size_t size, size_t count)
{
    static const char special[] = "\r\n :/?%.,\t0\x7f\x80";
    const size_t at = size > 0 ? (size_t)random() % size : 0;
    const size_t other = (size_t)random() % count, piece = (size_t)random() % 16;

    switch (size > 0 ? random() % 4 : 3) {
    case 0: bytes[at] = (uint8_t)random(); return size;
    case 1: bytes[at] = (uint8_t)special[(size_t)random() % (sizeof special - 1)]; return size;
    case 2: {
        const size_t gone = piece < size - at ? piece : size - at;
        memmove(bytes + at, bytes + at + gone, size - at - gone);
        return size - gone;
    }
    default: {
        const size_t from = files[other].size > 0 ? (size_t)random() % files[other].size : 0;
        size_t added = piece < files[other].size - from ? piece : files[other].size - from;
        added = size + added <= 2 * SIZE_MAX_ ? added : 0;
        memmove(bytes + at + added, bytes + at, size - at);
        memcpy(bytes + at, files[other].bytes + from, added);
        return size + added;
    }
    }
}

int main(int argc, char **argv)
{
    const size_t count = argc > 1 ? read_files(argv[1]) : 0;
    static uint8_t bytes[2 * SIZE_MAX_];
    size_t size = 0;

    if (count == 0) {
        fprintf(stderr, "usage: fuzz_requests CORPUS\n");
        return 64;
    }
    srandom(1);
    for (unsigned i = 0; i < VARIATIONS; i++) {
        if (i % 8 == 0) {
            size = files[i / 8 % count].size;
            memcpy(bytes, files[i / 8 % count].bytes, size);
        }
        LLVMFuzzerTestOneInput(bytes, size);
        size = vary(bytes, size, count);
    }
    printf("%zu files, %d variations\n", count, VARIATIONS);
    return 0;
}
#endif
