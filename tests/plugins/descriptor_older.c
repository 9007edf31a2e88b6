/* A plugin with the oldest possible descriptor: it ends at stop. rpd must not use the bytes behind
 * it, which would be wrong. */
#include <rpd/backend.h>

#include <string.h>

extern struct rpd_backend rpd_backend_v1 RPD_API;

enum { OLD_SIZE = offsetof(struct rpd_backend, stop) + sizeof(void (*)(void)) };

static void *load(struct rpd_load *load)
{
    rpd_load_progress(load, 1, 1, "states");
    return &rpd_backend_v1;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "older %.*s\n", (int)line.size, line.data);
}

RPD_NOTE_(note, RPD_NOTE_BACKEND, "descriptor_older");

struct rpd_backend rpd_backend_v1 = {.struct_size = OLD_SIZE,
                                     .abi = RPD_ABI,
                                     .name = "descriptor_older",
                                     .load = load,
                                     .on_data = on_data};

__attribute__((constructor)) static void constructor(void)
{
    memset((char *)&rpd_backend_v1 + OLD_SIZE, 0x5a, sizeof rpd_backend_v1 - OLD_SIZE);
}
