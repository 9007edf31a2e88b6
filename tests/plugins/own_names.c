/* Has exported functions of its own whose names are those of libraries: rpd's two libraries, libc,
 * and rpd itself. A client gets the results of calls to them: 42 from its own. */
#include <rpd/backend.h>

#include <string.h>

RPD_API int event_new(void);
RPD_API int json_object_get(void);
RPD_API long a64l(const char *text);
RPD_API int rpd_main(void);

int event_new(void)
{
    return 42;
}

int json_object_get(void)
{
    return 42;
}

long a64l(const char *text)
{
    (void)text;
    return 42;
}

int rpd_main(void)
{
    return 42;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        if (line.size == 3 && memcmp(line.data, "rpd", 3) == 0) /* rpd's function would start one */
            rpd_conn_printf(conn, "rpd %d\n", rpd_main());
        else
            rpd_conn_printf(conn, "libevent %d, jansson %d, libc %ld\n", event_new(),
                            json_object_get(), a64l("z"));
}

RPD_BACKEND(own_names, .summary = "Has names of others", .on_data = on_data);
