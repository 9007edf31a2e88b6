/* kv compared with redis-server: both get the same random requests, in pipelines that are cut at
 * random places, and the answers are compared byte by byte. Answers that differ by nature (times to
 * live, the order of KEYS, cursors) are compared by their meaning.
 *
 *     differential [--commands N] [--seed N]
 *
 * Exit code 77: redis-server is not installed. */
#include "process.h"
#include "requests.h"
#include "resp_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_MAX = 24, ANSWER_MAX = 16 * 1024 * 1024, SHOWN_MAX = 10, SKIPPED = 77 };

struct server {
    const char *name;
    const char *endpoint;
    struct process *process;
    int fd;
    char *answer;
    size_t size;
};

static struct server servers[2];
static long commands = 20000;
static uint64_t seed = 1;
static long differences;

static bool has_redis(void)
{
    return access("/usr/bin/redis-server", X_OK) == 0 ||
           access("/usr/local/bin/redis-server", X_OK) == 0;
}

static int connect_patiently(const char *endpoint)
{
    const int64_t until = now_ns() + 20000000000;
    int fd;

    while ((fd = connect_to(endpoint)) < 0 && now_ns() < until)
        poll(NULL, 0, 5);
    if (fd < 0)
        test_die("connect %s: %s", endpoint, strerror(errno));
    return fd;
}

static void start(const char *dir)
{
    servers[0] = (struct server){.name = "kv", .endpoint = textf("unix:%s/kv.sock", dir)};
    servers[1] = (struct server){.name = "redis", .endpoint = textf("unix:%s/redis.sock", dir)};
    servers[0].process = RPD_START(dir, build_path("plugins/kv.so"), "-l", servers[0].endpoint);
    servers[1].process = process_start(&(struct process_options){
        .argv = ARGS("redis-server", "--port", "0", "--save", "", "--appendonly", "no", "--dir",
                     dir, "--unixsocket", textf("%s/redis.sock", dir)),
        .directory = dir});
    for (int i = 0; i < 2; i++) {
        servers[i].fd = connect_patiently(servers[i].endpoint);
        servers[i].answer = malloc(ANSWER_MAX);
    }
}

/* Sends the request in pieces. Returns the answers up to the marker. */
static void send_cut(struct server *server, const char *data, size_t size)
{
    size_t sent = 0;

    while (sent < size) {
        const uint64_t kind = requests_random(4);
        size_t piece = kind == 0 ? 1 + requests_random(3) : 1 + requests_random(4000);
        if (kind == 3 || piece > size - sent)
            piece = size - sent;
        if (send_all(server->fd, data + sent, piece) != 0)
            test_die("%s: send: %s", server->name, strerror(errno));
        sent += piece;
    }
}

static void receive(struct server *server, size_t answers)
{
    size_t seen = 0, cut = 0;

    server->size = 0;
    while (seen < answers) {
        const size_t one = resp_answer_size(server->answer + cut, server->size - cut);
        if (one > 0) {
            cut += one;
            seen++;
            continue;
        }
        const ssize_t got = recv(server->fd, server->answer + server->size,
                                 ANSWER_MAX - server->size, 0);
        if (got <= 0)
            test_die("%s: %zu of %zu answers, then %s; seed %llu", server->name, seen, answers,
                     got < 0 ? strerror(errno) : "end-of-file", (unsigned long long)seed);
        server->size += (size_t)got;
    }
    if (cut != server->size)
        test_die("%s: more answers than questions", server->name);
}

/* ---- comparing ----------------------------------------------------------------- */

static bool are_near(const char *a, const char *b, long long by)
{
    const long long x = strtoll(a + 1, NULL, 10), y = strtoll(b + 1, NULL, 10);

    if (*a != ':' || *b != ':')
        return false;
    return x < 0 || y < 0 ? x == y : llabs(x - y) <= by;
}

struct element {
    const char *data;
    size_t size;
};

static int compare_elements(const void *a_, const void *b_)
{
    const struct element *a = a_, *b = b_;
    const size_t size = a->size < b->size ? a->size : b->size;
    const int order = memcmp(a->data, b->data, size);

    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static size_t sort_elements(const char *data, size_t size, struct element *elements, size_t room)
{
    long long count = 0;
    const char *at = resp_header(data, size, &count);

    for (size_t i = 0; i < (size_t)count && i < room; i++) {
        elements[i] = (struct element){at, resp_answer_size(at, size - (size_t)(at - data))};
        at += elements[i].size;
    }
    qsort(elements, (size_t)count, sizeof *elements, compare_elements);
    return (size_t)count;
}

static bool are_same_set(const char *a, size_t a_size, const char *b, size_t b_size)
{
    static struct element as[1000], bs[1000];
    size_t count;

    if (*a != '*' || *b != '*')
        return a_size == b_size && memcmp(a, b, a_size) == 0;
    count = sort_elements(a, a_size, as, 1000);
    if (count != sort_elements(b, b_size, bs, 1000))
        return false;
    for (size_t i = 0; i < count; i++)
        if (compare_elements(&as[i], &bs[i]) != 0)
            return false;
    return true;
}

static bool is_alike(enum answer_kind kind, const char *a, size_t a_size, const char *b,
                     size_t b_size)
{
    const bool same = a_size == b_size && memcmp(a, b, a_size) == 0;

    if (same)
        return true;
    switch (kind) {
    case ANSWER_SECONDS: return are_near(a, b, 2);
    case ANSWER_MILLISECONDS: return are_near(a, b, 2000);
    case ANSWER_ANY_ORDER: return are_same_set(a, a_size, b, b_size);
    case ANSWER_ONE_OF: return *a == '$' && *b == '$' && (a[1] == '-') == (b[1] == '-');
    case ANSWER_LOOSE: return *a == *b && *a != '-';
    default: return false;
    }
}

static void print_escaped(const char *label, const char *data, size_t size)
{
    printf("  %s ", label);
    for (size_t i = 0; i < size && i < 400; i++)
        if (data[i] >= ' ' && data[i] <= '~')
            putchar(data[i]);
        else
            printf("\\x%02x", (unsigned char)data[i]);
    putchar('\n');
}

static void compare(const struct request *requests, size_t count)
{
    size_t at[2] = {0, 0};

    for (size_t i = 0; i < count; i++) {
        const char *answers[2];
        size_t sizes[2];
        for (int j = 0; j < 2; j++) {
            answers[j] = servers[j].answer + at[j];
            sizes[j] = resp_answer_size(answers[j], servers[j].size - at[j]);
            at[j] += sizes[j];
        }
        if (is_alike(requests[i].kind, answers[0], sizes[0], answers[1], sizes[1]))
            continue;
        if (++differences > SHOWN_MAX)
            continue;
        printf("answers differ (seed %llu):\n", (unsigned long long)seed);
        print_escaped("asked:", requests[i].data, requests[i].size);
        print_escaped("kv:   ", answers[0], sizes[0]);
        print_escaped("redis:", answers[1], sizes[1]);
    }
}

/* ---- the requests --------------------------------------------------------------------- */

static void ask(const struct request *requests, size_t count)
{
    static char pipeline[BATCH_MAX * REQUEST_SIZE];
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        memcpy(pipeline + size, requests[i].data, requests[i].size);
        size += requests[i].size;
    }
    for (int i = 0; i < 2; i++)
        send_cut(&servers[i], pipeline, size);
    for (int i = 0; i < 2; i++)
        receive(&servers[i], count);
    compare(requests, count);
}

/* No key may expire in one server and not yet in the other. */
static void wait_for_expiry(void)
{
    poll(NULL, 0, 12);
}

static void ask_random(long count)
{
    static struct request requests[BATCH_MAX];

    while (count > 0) {
        const size_t size = 1 + (size_t)requests_random(BATCH_MAX);
        size_t made = 0;
        bool expires_soon = false;
        while (made < size && !expires_soon) {
            request_make(&requests[made]);
            expires_soon = requests[made].expires_soon;
            made++;
        }
        ask(requests, made);
        if (expires_soon)
            wait_for_expiry();
        count -= (long)made;
    }
}

/* All keys of both, and their values. */
static void compare_keys(void)
{
    static struct request request;

    for (int i = 0; i < 2; i++) {
        request_of(&request, ANSWER_SAME,
                   (const char *[]){"SELECT", (const char *[]){"0", "1"}[i], NULL});
        ask(&request, 1);
        request_of(&request, ANSWER_ANY_ORDER, (const char *[]){"KEYS", "*", NULL});
        ask(&request, 1);
    }
}

/* ---- broken requests: each on a connection of its own ------------------------------------ */

static const char *const broken[] = {
    "*1\r\n:1\r\n",
    "*-1\r\nPING\r\n",
    "*0\r\nPING\r\n",
    "*abc\r\n",
    "*1\r\n$abc\r\n",
    "*1\r\n$-1\r\n",
    "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$-5\r\n",
    "*3000000000\r\n",
    "*99999999999999999999\r\n",
    "*1\r\n$99999999999\r\n",
    "*2\r\n$3\r\nGET\r\n+x\r\n",
    "*1\r\n\r\n",
    "PING\r\n",
    "PING\n",
    "  PING  \r\n",
    "\r\n\r\nPING\r\n",
    "ECHO \"a\\x41\\n\\q\"\r\n",
    "ECHO 'it\\'s \\n'\r\n",
    "ECHO \"unbalanced\r\n",
    "ECHO 'unbalanced\r\n",
    "ECHO \"a\"b\r\n",
    "SET k \"\"\r\nGET k\r\n",
    "GET\r\n",
    "NOSUCH a b c\r\n",
    "PING\r\nQUIT\r\nPING\r\n",
    "*1\r\n$4\r\nQUIT\r\n",
    "QUIT now\r\n",
    "HELLO 4\r\nHELLO x\r\nHELLO 3 BOGUS\r\nPING\r\n",
    "CLIENT SETNAME a\r\nCLIENT GETNAME\r\nCLIENT SETNAME \"a b\"\r\nCLIENT NOSUCH\r\n",
    "HELLO 2 SETNAME me\r\n",
    "CONFIG NOSUCH\r\nCOMMAND NOSUCH\r\nCOMMAND COUNT 1\r\nCLIENT ID 1\r\n",
    "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n",
    "SAVE now\r\nLASTSAVE x\r\nBGSAVE x\r\nFLUSHALL x\r\nFLUSHDB SYNC\r\nFLUSHALL async\r\n",
};

/* HELLO's answer contains lines that differ; they are left out. */
static size_t without_id(char *text, size_t size)
{
    char *id = size > 0 ? memmem(text, size, "$2\r\nid\r\n:", 9) : NULL;

    if (!id)
        return size;
    char *end = memchr(id + 9, '\n', size - (size_t)(id + 9 - text));
    memmove(id, end, size - (size_t)(end - text));
    return size - (size_t)(end - id);
}

/* All bytes until the end. If a server closes while part of the request is unread, a reset follows
 * its answers. */
static size_t read_answers(int fd, char *answers, size_t room)
{
    size_t size = 0;

    for (ssize_t got; (got = recv(fd, answers + size, room - size, 0)) > 0;)
        size += (size_t)got;
    return size;
}

static void ask_broken(const char *request, size_t size, size_t cut)
{
    char answers[2][70000];
    size_t sizes[2];

    for (int i = 0; i < 2; i++) {
        const int fd = connect_to(servers[i].endpoint);
        send_all(fd, request, cut);
        send_all(fd, request + cut, size - cut);
        shutdown(fd, SHUT_WR);
        sizes[i] = without_id(answers[i], read_answers(fd, answers[i], sizeof answers[i]));
        close(fd);
    }
    if (sizes[0] == sizes[1] && memcmp(answers[0], answers[1], sizes[0]) == 0)
        return;
    if (++differences > SHOWN_MAX)
        return;
    printf("answers differ, cut at %zu:\n", cut);
    print_escaped("asked:", request, size);
    print_escaped("kv:   ", answers[0], sizes[0]);
    print_escaped("redis:", answers[1], sizes[1]);
}

static void ask_all_broken(void)
{
    static char large[80000];

    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        for (size_t cut = 0; cut <= strlen(broken[i]); cut++)
            ask_broken(broken[i], strlen(broken[i]), cut);
    memset(large, 'x', sizeof large);
    ask_broken(large, sizeof large, 100);
    large[0] = '*';
    ask_broken(large, sizeof large, 100);
    memcpy(large, "*1\r\n$", 5);
    ask_broken(large, sizeof large, 100);
}

int main(int argc, char **argv)
{
    const char *dir;

    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--commands") == 0)
            commands = atol(argv[i + 1]);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    if (!has_redis()) {
        puts("skipped: there is no redis-server here to compare with (apt-get install "
             "redis-server)");
        return SKIPPED;
    }
    requests_seed(seed);
    dir = temp_dir_make();
    start(dir);
    ask_random(commands / 2);
    ask(&(struct request){.data = "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
                          .size = 22,
                          .kind = ANSWER_LOOSE},
        1);
    ask_random(commands - commands / 2);
    wait_for_expiry();
    compare_keys();
    ask_all_broken();
    printf("%ld commands, seed %llu: %ld answers differ\n", commands, (unsigned long long)seed,
           differences);
    for (int i = 0; i < 2; i++)
        process_free(servers[i].process);
    temp_dir_remove(dir);
    return differences > 0;
}
