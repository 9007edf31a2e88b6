/* recv() and send() without cancellation points. See plain_io.h. */
#include "base/plain_io.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLAIN_IO_IS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define PLAIN_IO_IS_WATCHED 1
#endif
#endif

ssize_t plain_recv(int fd, void *data, size_t size)
{
#if defined(SYS_recvfrom) && !defined(PLAIN_IO_IS_WATCHED)
    return syscall(SYS_recvfrom, fd, data, size, 0, NULL, NULL);
#else
    return recv(fd, data, size, 0);
#endif
}

ssize_t plain_send(int fd, const void *data, size_t size)
{
#if defined(SYS_sendto) && !defined(PLAIN_IO_IS_WATCHED)
    return syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, NULL, 0);
#else
    return send(fd, data, size, MSG_NOSIGNAL);
#endif
}
