/* librpd-client: for the command that needs a warm helper. It needs libc and
 * nothing else.
 *
 *     struct rpd_client_error error;
 *     int fd = rpd_connect("/etc/tool/rpd.json", "index", 5000, &error);
 *
 *     if (fd < 0)
 *         fprintf(stderr, "%s\n", error.text);
 *
 * One that lives is found by its lock, its record and its state page: no process is
 * started for that, and nobody is asked. Only where a start is needed `rpdctl ensure` runs;
 * it is looked for in $RPDCTL, else in PATH. A service that is warming, or does not
 * respond, lives: it is never killed or replaced by guess.
 *
 * Any thread may call these functions, several at once; they leave signals, the
 * environment and other children alone. Link with `pkg-config --libs rpd-client`. */
#ifndef RPD_CLIENT_H
#define RPD_CLIENT_H

#include <rpd/base.h>

RPD_BEGIN

enum {
    RPD_CLIENT_TIMED_OUT = 1,
    RPD_CLIENT_NOT_RUNNING = 2 /* and there is no configuration to start it from */
};

struct rpd_client_error {
    int code;        /* one of the above, or what rpd ended with (rpd --help has the list) */
    char text[1024]; /* one line, as rpd said it; without newline */
};

/* Makes sure that the service lives and is bound: then it takes connections, though its
 * state may still be loading. config: the file that it is started from, with all services that
 * stand there; NULL: it is only looked for. ret_error may be NULL.
 *
 * Returns 0, or -1. Waits for a start, or for the end of one that drains: seconds at
 * most, where the plugin keeps its deadlines. */
RPD_API RPD_MUST_CHECK int rpd_ensure(const char *config, const char *service,
                                      struct rpd_client_error *ret_error);

/* The same, then connects to the first of the service's endpoints that can be had, unix ones
 * first. A full backlog is waited for. timeout_ms: for all of it; -1: none.
 *
 * Returns a blocking, close-on-exec stream socket, which is the caller's; or -1. */
RPD_API RPD_MUST_CHECK int rpd_connect(const char *config, const char *service, int timeout_ms,
                                       struct rpd_client_error *ret_error);

RPD_END
#endif
