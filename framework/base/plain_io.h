/* recv() and send() for the data path, where each request pays for them.
 *
 * In a process with threads glibc makes both a point at which a thread can be cancelled: four
 * atomic exchanges a request, and 2 % of what a small one costs. rpd cancels no thread that does
 * this, so the kernel is asked directly; where a sanitizer must see the calls, or the machine has
 * no such ones, by the functions. */
#ifndef FRAMEWORK_PLAIN_IO_H
#define FRAMEWORK_PLAIN_IO_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLAIN_IO_IS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define PLAIN_IO_IS_WATCHED 1
#endif
#endif

static inline ssize_t plain_recv(int fd, void *data, size_t size)
{
#if defined(SYS_recvfrom) && !defined(PLAIN_IO_IS_WATCHED)
    return syscall(SYS_recvfrom, fd, data, size, 0, NULL, NULL);
#else
    return recv(fd, data, size, 0);
#endif
}

/* Without SIGPIPE. */
static inline ssize_t plain_send(int fd, const void *data, size_t size)
{
#if defined(SYS_sendto) && !defined(PLAIN_IO_IS_WATCHED)
    return syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, NULL, 0);
#else
    return send(fd, data, size, MSG_NOSIGNAL);
#endif
}

#endif
