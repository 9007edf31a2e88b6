/* A daemon with kv, and the client's side of a connection to it. */
#ifndef TESTS_KV_SCENE_H
#define TESTS_KV_SCENE_H

#include "process.h"

/* A daemon that serves dir/kv.sock, with dir/snap as its snapshot. The texts add members to the
 * service and to its options, as JSON that begins with a comma: ", \"warmup\": ...". gated: parts
 * load only as far as scene_open_gate() allows. */
struct process *scene_start(const char *dir, const char *service, const char *options, bool gated);

/* Likewise; top: members of the configuration, "\"drain_s\": 1, ". */
struct process *scene_start_with(const char *dir, const char *top, const char *service,
                                 const char *options, bool gated);
const char *scene_endpoint(const char *dir);
void scene_open_gate(const char *dir, int parts);

/* A daemon whose wall clock is off by this many milliseconds, which may change while it runs. */
struct process *scene_start_with_clock(const char *dir);
void scene_set_clock(const char *dir, long long off_ms);

/* A client; retries until it connects. */
int scene_client(const char *dir);

/* Sends an inline command, and reads one answer: without its "\r\n"; the bytes of a bulk string;
 * "(null)" for null. Valid until 16 more requests. */
const char *scene_ask(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *scene_read(int fd);

/* Waits until INFO has that line. */
void scene_await_info(int fd, const char *line);

/* Waits until READY. */
void scene_await_ready(struct process *process);

#endif
