/* recv() and send() for the data path, where each request pays for them.
 *
 * In a process with threads glibc makes both a point at which a thread can be cancelled: four
 * atomic exchanges a request, and 2 % of what a small one costs. rpd cancels no thread that does
 * this, so the kernel is asked directly; where a sanitizer must see the calls, or the machine has
 * no such ones, by the functions. */
#ifndef FRAMEWORK_PLAIN_IO_H
#define FRAMEWORK_PLAIN_IO_H

#include <sys/types.h>

/* [any] Without flags; and without SIGPIPE. */
ssize_t plain_recv(int fd, void *data, size_t size);
ssize_t plain_send(int fd, const void *data, size_t size);

#endif
