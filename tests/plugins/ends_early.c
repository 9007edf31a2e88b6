/* Ends the process in its constructor, by _exit() and $TEST_EXIT_CODE: rpd is not asked. */
#include <rpd/backend.h>

#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void end(void)
{
    const char *code = getenv("TEST_EXIT_CODE");

    if (code)
        _exit((int)strtol(code, NULL, 10));
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_abort(conn);
}

RPD_BACKEND(ends_early, .summary = "Ends in its constructor", .on_data = on_data);
