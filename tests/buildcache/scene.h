/* A daemon with buildcache, and clients of it over HTTP and the helper protocol. What fails that is
 * not a test's business ends in test_die(). */
#ifndef TESTS_BUILDCACHE_SCENE_H
#define TESTS_BUILDCACHE_SCENE_H

#include "process.h"

/* A daemon that serves dir/http.sock, dir/cache.crsh and a port of TCP, with dir/cache as its
 * directory. options: more of them, as JSON that begins with a comma: ", \"read_only\": true".
 * service: likewise, of the service. */
struct process *scene_start(const char *dir, const char *options, const char *service);

/* The same; folders are read as far as scene_open_gate() lets them. */
struct process *scene_start_gated(const char *dir, const char *options);
void scene_open_gate(const char *dir, int folders);

/* The configuration that the others write: dir/config.json. */
const char *scene_configuration(const char *dir, const char *options, const char *service);

const char *scene_http(const char *dir);   /* an endpoint */
const char *scene_helper(const char *dir); /* likewise */
void scene_await_ready(struct process *process);

/* Connects until it can. */
int scene_connect(const char *endpoint);

/* An answer of HTTP; the body is valid until the next one is read. */
struct answer {
    int status; /* 0: the connection was closed before an answer was whole */
    const char *head;
    char *body;
    size_t size;
};

struct answer scene_read_answer(int fd, bool is_head);

/* Sends a request, and reads the answer. headers: whole lines, with their CRLF. body NULL: none.
 * The path may be any target. */
struct answer scene_ask(int fd, const char *method, const char *path, const char *headers,
                        const void *body, size_t size);

/* On a connection of its own, at the unix socket. */
struct answer scene_get(const char *dir, const char *path);
int scene_put(const char *dir, const char *path, const void *body, size_t size); /* status */

/* size bytes that only this seed has. Valid until the end of the test. */
char *scene_bytes(unsigned seed, size_t size);

/* Files below dir/cache/objects: their number, and the sum of what they take of the disk. */
size_t scene_count_objects(const char *dir, uint64_t *ret_bytes);

/* Whether a file below dir/cache/objects is one that was not completed. */
bool scene_has_leftovers(const char *dir);

/* The one file below dir/cache/objects that has the key in it; NULL: none. */
const char *scene_find_object(const char *dir, const char *key);

bool scene_is_long(void);

#endif
