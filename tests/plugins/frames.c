/* Sends each frame back. "later": when a job is done, outside the connection's callbacks. Input
 * that is not a frame is answered with a line that names the errno, and then the end. */
#include <rpd/backend.h>

#include <errno.h>
#include <string.h>

static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("framing", RPD_FRAME_U32_BE, 0, 99, "enum rpd_framing"),
    RPD_OPTION_INTEGER("max", 0, 0, 1000000000, "bytes of a body"),
    RPD_OPTIONS_END,
};

static enum rpd_framing framing_of(const struct rpd_service *service)
{
    return (enum rpd_framing)rpd_option_integer(service, "framing");
}

static void run(struct rpd_job *job, void *arg)
{
    (void)job;
    (void)arg;
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)cancelled;
    rpd_conn_write_frame(arg, framing_of(service), "later", 5);
    rpd_conn_release(arg);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_service *service = rpd_conn_service(conn);
    struct rpd_span body;
    int got;

    (void)state;
    while ((got = rpd_conn_read_frame(conn, framing_of(service),
                                      (size_t)rpd_option_integer(service, "max"), &body)) > 0) {
        if (body.size != 5 || memcmp(body.data, "later", 5) != 0) {
            if (rpd_conn_write_frame(conn, framing_of(service), body.data, body.size) < 0)
                rpd_conn_printf(conn, "unwritten\n");
            continue;
        }
        rpd_conn_keep(conn);
        if (rpd_job_submit(service, run, done, conn) < 0)
            rpd_conn_release(conn);
    }
    if (got == 0)
        return;
    rpd_conn_printf(conn, "%s\n", strerrorname_np(errno));
    rpd_conn_finish(conn);
}

RPD_BACKEND(frames, .summary = "Sends frames back", .options = options, .on_data = on_data);
