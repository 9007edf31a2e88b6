/* A daemon with kv, and a client's side of it. */
#ifndef TESTS_KV_SCENE_H
#define TESTS_KV_SCENE_H

#include "process.h"

/* One that serves dir/kv.sock with dir/snap as its snapshot. More may be said of the service
 * and of its options, as JSON that begins with a comma: ", \"warmup\": ...". gated: parts load as
 * far as scene_open_gate() says. */
struct process *scene_start(const char *dir, const char *service, const char *options, bool gated);
const char *scene_endpoint(const char *dir);
void scene_open_gate(const char *dir, int parts);

/* One whose wall clock is off by so many milliseconds; they may be changed while it runs. */
struct process *scene_start_with_clock(const char *dir);
void scene_set_clock(const char *dir, long long off_ms);

/* A client; connects until it can. */
int scene_client(const char *dir);

/* Asks with inline commands, and reads one answer: without its "\r\n", of a bulk string its bytes,
 * of null "(null)". Valid until 16 more were asked. */
const char *scene_ask(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *scene_read(int fd);

/* Until INFO has that line. */
void scene_await_info(int fd, const char *line);

/* Until READY. */
void scene_await_ready(struct process *process);

#endif
