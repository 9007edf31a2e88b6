/* Its note and its descriptor name different backends. */
#include <rpd/backend.h>

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_finish(conn);
}

RPD_NOTE_(note, RPD_NOTE_BACKEND, "one_name");
RPD_EXPORT_ const struct rpd_backend rpd_backend_v1;
const struct rpd_backend rpd_backend_v1 = {.struct_size = sizeof(struct rpd_backend),
                                           .abi = RPD_ABI,
                                           .name = "another_name",
                                           .on_data = on_data};
