/* A daemon as it is usually written: it loads its state, which takes LOAD_S seconds, and then
 * binds. The load only waits, like that of samples/slow_start.c. tests/bench/curve compares rpd
 * with it.
 *
 *     late_bind PATH LOAD_S */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void load(double seconds)
{
    const struct timespec time = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&time, NULL);
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (argc != 3 || strlen(argv[1]) >= sizeof address.sun_path)
        return 64;
    memcpy(address.sun_path, argv[1], strlen(argv[1]) + 1);
    load(strtod(argv[2], NULL));
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, SOMAXCONN) != 0)
        return 71;
    pause();
    return 0;
}
