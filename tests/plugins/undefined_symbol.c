/* Calls a function that no library has. With RTLD_LAZY it would load. */
#include <rpd/backend.h>

int rpd_test_function_that_nobody_has(void);

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_printf(conn, "%d\n", rpd_test_function_that_nobody_has());
}

RPD_BACKEND(undefined_symbol, .summary = "Lacks a symbol", .on_data = on_data);
