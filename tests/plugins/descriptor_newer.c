/* A plugin with a descriptor of a later rpd: this rpd must ignore the fields that it does not
 * know. */
#include <rpd/backend.h>

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "newer %.*s\n", (int)line.size, line.data);
}

static void on_busy(struct rpd_conn *conn)
{
    rpd_conn_write(conn, "busy\n", 5);
}

RPD_NOTE_(note, RPD_NOTE_BACKEND, "descriptor_newer");

struct newer {
    struct rpd_backend known;
    uintptr_t unknown[8];
};

RPD_API const struct newer rpd_backend_v1 = {.known = {.struct_size = sizeof(struct newer),
                                                       .abi = RPD_ABI,
                                                       .name = "descriptor_newer",
                                                       .on_data = on_data,
                                                       .warmup = RPD_WARMUP_REFUSE,
                                                       .on_busy = on_busy},
                                             .unknown = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u}};
