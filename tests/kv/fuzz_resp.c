/* The parser of requests with arbitrary input. Built with -DKV_FUZZ and clang's -fsanitize=fuzzer,
 * this program searches for input that breaks it:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -DKV_FUZZ -D_GNU_SOURCE -Iplugins/kv
 *         tests/kv/fuzz_resp.c plugins/kv/resp.c plugins/kv/number.c -o fuzz_resp
 *     ./fuzz_resp tests/kv/corpus
 *
 * Otherwise it replays the files and directories that it is given.
 *
 * The first byte says where the rest is cut; the result must be the same as for one piece. */
#include "resp.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct resp_limits limits = {.bulk_max = 1 << 20, .request_max = 1 << 22};

/* A number computed from the parsed requests: it differs if any of them differs. */
static uint64_t mix(uint64_t sum, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3U;
    return (sum ^ size) * 0x100000001b3U;
}

static uint64_t mix_request(uint64_t sum, const struct resp_request *request)
{
    for (uint32_t i = 0; i < request->count; i++)
        sum = mix(sum, request->base + request->args[i].at, request->args[i].size);
    return mix(sum, &request->count, sizeof request->count);
}

/* Parses all of data, of which this much comes first. */
static uint64_t parse(const uint8_t *data, size_t size, size_t cut)
{
    struct resp_parser parser = {0};
    struct resp_request request;
    enum resp_result result = RESP_MORE;
    uint64_t sum = 0;
    size_t at = 0;

    for (size_t end = cut; result != RESP_ERROR; end = size) {
        do {
            /* A copy, so that a sanitizer sees a read beyond the end. */
            char *come = malloc(end - at + 1);
            memcpy(come, data + at, end - at);
            result = resp_parse(&parser, &limits, come, end - at, &request);
            if (result == RESP_REQUEST) {
                sum = mix_request(sum, &request);
                at += request.size;
            } else if (result == RESP_ERROR) {
                sum = mix(sum, request.error, strlen(request.error));
            }
            free(come);
        } while (result == RESP_REQUEST && at < end);
        if (end == size)
            break;
    }
    resp_finish(&parser);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 18)
        return 0;
    if (parse(data + 1, size - 1, data[0] % size) != parse(data + 1, size - 1, size - 1))
        abort();
    return 0;
}

#ifndef KV_FUZZ

static size_t replayed;

static void replay_file(const char *path)
{
    static uint8_t data[1 << 18];
    FILE *file = fopen(path, "r");
    size_t size;

    if (!file)
        return;
    size = fread(data, 1, sizeof data, file);
    fclose(file);
    /* Short data is cut at every place. */
    for (unsigned cut = 0; size > 0 && cut < 256 && cut < size; cut++) {
        data[0] = (uint8_t)cut;
        LLVMFuzzerTestOneInput(data, size);
    }
    replayed++;
}

static void replay(const char *path)
{
    DIR *directory = opendir(path);

    if (!directory) {
        replay_file(path);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char inside[4096];
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        if (*entry->d_name != '.')
            replay_file(inside);
    }
    closedir(directory);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%zu files replayed\n", replayed);
    return replayed == 0;
}

#endif
