/* A daemon with plugins/bodies.c, which does what its clients say, and what they send and get. At
 * its end the plugin says whether all that began has ended. */
#ifndef TESTS_INTEGRATION_BODIES_SCENE_H
#define TESTS_INTEGRATION_BODIES_SCENE_H

#include "common.h"

enum { MIB = 1024 * 1024 };

struct bodies {
    const char *dir, *endpoint, *tcp;
    struct process *rpd;
};

/* more: what a process has besides, in its environment; NULL: nothing. The other texts are members
 * of the configuration: of its top, of the options, of the service. */
struct bodies serve_bodies_in(const char *const *more_env, const char *top, const char *options,
                              const char *more);
struct bodies serve_bodies_with(const char *top, const char *options, const char *more);
struct bodies serve_bodies(void);

/* Stops it, and judges what the plugin says. */
void end_bodies(struct bodies *server);

/* What a file, and a body, has at each place. */
unsigned char byte_at(size_t at);
char *make_bytes(size_t size);
void make_file(const struct bodies *server, const char *name, size_t size);
void make_sparse(const struct bodies *server, const char *name, off_t size);

/* NULL: it cannot be read. To be freed. */
char *read_whole(const char *path, size_t *ret_size);

long memory_kb(struct process *process);

/* A line to it, and the next one from it. */
void hear(const struct bodies *server, int fd, const char *wanted);
void ask_for(const struct bodies *server, int fd, const char *line, const char *wanted);

/* The next is the answer to "send FILE OFFSET SIZE", of a file that make_file() made. */
void assert_part(const struct bodies *server, int fd, size_t offset, size_t size);

/* What the plugin answers to a body that it sums up; a request with its body. */
unsigned sum_of(const char *bytes, size_t size);
void put(const struct bodies *server, int fd, const char *how, const char *bytes, size_t size);

#endif
