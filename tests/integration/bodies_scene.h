/* A daemon with plugins/bodies.c, which does what its clients say, and the bytes that they send and
 * get. When the daemon ends, the plugin reports whether all that began has ended. */
#ifndef TESTS_INTEGRATION_BODIES_SCENE_H
#define TESTS_INTEGRATION_BODIES_SCENE_H

#include "common.h"

enum { MIB = 1024 * 1024 };

struct bodies {
    const char *dir, *endpoint, *tcp;
    struct process *rpd;
};

/* more: additional environment variables of the process; NULL: none. The other texts are members of
 * the configuration: at its top, in the options, and in the service. */
struct bodies serve_bodies_in(const char *const *more_env, const char *top, const char *options,
                              const char *more);
struct bodies serve_bodies_with(const char *top, const char *options, const char *more);
struct bodies serve_bodies(void);

/* Stops the daemon, and checks the plugin's report. */
void end_bodies(struct bodies *server);

/* The byte that a file, or a body, has at each place. */
unsigned char byte_at(size_t at);
char *make_bytes(size_t size);
void make_file(const struct bodies *server, const char *name, size_t size);
void make_sparse(const struct bodies *server, const char *name, off_t size);

/* Returns the content, which the caller frees; NULL: it cannot be read. */
char *read_whole(const char *path, size_t *ret_size);

long memory_kb(struct process *process);

/* Sends a line, and returns the next line that comes. */
void hear(const struct bodies *server, int fd, const char *wanted);
void ask_for(const struct bodies *server, int fd, const char *line, const char *wanted);

/* Checks that the next bytes answer "send FILE OFFSET SIZE", for a file that make_file() made. */
void assert_part(const struct bodies *server, int fd, size_t offset, size_t size);

/* The plugin's answer to a body that it sums up; a request with its body. */
unsigned sum_of(const char *bytes, size_t size);
void put(const struct bodies *server, int fd, const char *how, const char *bytes, size_t size);

#endif
