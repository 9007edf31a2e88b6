/* client: a command that needs a warm helper. It asks the service "index" (samples/index.c)
 * for names that begin like its arguments; if it is not running yet, the first call starts it.
 *
 *     cc -o client client.c $(pkg-config --cflags --libs rpd-client)
 *     cc -shared -fPIC -o index.so index.c $(pkg-config --cflags --libs rpd)
 *     ./client client.json ls gre
 *
 * In a build tree: RPDCTL=build/rpdctl build/samples/client samples/client.json ls gre */
#include <rpd/client.h>

#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct rpd_client_error error;
    char answer[1024];
    int fd;
    FILE *answers;

    if (argc < 3)
        return fprintf(stderr, "usage: client CONFIG BEGINNING...\n"), 64;
    signal(SIGPIPE, SIG_IGN); /* one that is gone does not answer: that is seen below */
    fd = rpd_connect(argv[1], "index", 10000, &error);
    if (fd < 0)
        return fprintf(stderr, "%s\n", error.text), error.code;
    answers = fdopen(fd, "r");
    for (int i = 2; i < argc; i++) {
        dprintf(fd, "%s\n", argv[i]);
        /* While it loads this waits: a client is held, not refused. */
        if (!answers || !fgets(answer, sizeof answer, answers))
            return fprintf(stderr, "client: %s: no answer\n", argv[i]), 1;
        fputs(answer, stdout);
    }
    return 0;
}
