/* recv() and send() for the data path, where each request pays for them.
 *
 * In a process with threads glibc makes both cancellation points, which costs four atomic exchanges
 * per request, or 2 % of a small one. rpd never cancels a thread that calls these, so they make the
 * system call directly. Under a sanitizer, which must see the calls, and on machines without these
 * system calls they use the functions. */
#ifndef FRAMEWORK_PLAIN_IO_H
#define FRAMEWORK_PLAIN_IO_H

#include <sys/types.h>

/* [any] Without flags, and without SIGPIPE. */
ssize_t plain_recv(int fd, void *data, size_t size);
ssize_t plain_send(int fd, const void *data, size_t size);

#endif
