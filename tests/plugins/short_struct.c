/* A descriptor that is shorter than its ABI's first: rpd must not read past it. */
#include <rpd/backend.h>

#include <stddef.h>

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_finish(conn);
}

RPD_NOTE_(note, RPD_NOTE_BACKEND, "short_struct");
RPD_EXPORT_ const struct rpd_backend rpd_backend_v1;
const struct rpd_backend rpd_backend_v1 = {.struct_size = offsetof(struct rpd_backend, load),
                                           .abi = RPD_ABI,
                                           .name = "short_struct",
                                           .on_data = on_data};
