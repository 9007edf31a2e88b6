/* hello: the smallest backend. It greets each line that a client sends.
 *
 *     build/rpd build/samples/hello.so -l unix:/tmp/hello.sock
 *     printf 'Ada\n' | socat - UNIX-CONNECT:/tmp/hello.sock
 */
#include <rpd/backend.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("greeting", "hello", "what each line is greeted with"),
    RPD_OPTIONS_END,
};

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    const char *greeting = rpd_option_string(rpd_conn_service(conn), "greeting");
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "%s, %.*s\n", greeting, (int)line.size, line.data);
}

RPD_BACKEND(hello, .summary = "Greets each line", .options = options, .on_data = on_data,
            .probe = RPD_PROBE("Ada\n", ""));
