/* Ends the process in its constructor, with $TEST_EXIT_CODE and without rpd's exit guard. It makes
 * the system call itself, because TSan replaces the code of _exit() within dlopen(). */
#include <rpd/backend.h>

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((constructor)) static void end(void)
{
    const char *code = getenv("TEST_EXIT_CODE");

    if (code)
        syscall(SYS_exit_group, (int)strtol(code, NULL, 10));
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_abort(conn);
}

RPD_BACKEND(ends_early, .summary = "Ends in its constructor", .on_data = on_data);
