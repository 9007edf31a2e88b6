/* Its second table of options names an option that the first does not have. */
#include <rpd/backend.h>

static const struct rpd_option options[] = {RPD_OPTION_STRING("path", NULL, "where"),
                                            RPD_OPTIONS_END};
static const struct rpd_option_detail details[] = {RPD_DETAIL_PATH("paht", 0), RPD_DETAILS_END};

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_finish(conn);
}

RPD_BACKEND(bad_details, .options = options, .on_data = on_data, .option_details = details);
