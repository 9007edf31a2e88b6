/* skeleton: a backend for rpd. Its messages are frames, which say how long they are: here
 * netstrings, "5:hello,". Each is answered by its bytes in the opposite order.
 *
 *     rpd build/skeleton.so -l unix:/tmp/skeleton.sock
 *     printf '5:hello,' | socat - UNIX-CONNECT:/tmp/skeleton.sock
 *
 * Make it yours: first the framing, then answer(). <rpd/frame.h> has all framings (sizes in 1 to 8
 * bytes of either order, varints, Content-Length headers), <rpd/load.h> has how to load a state. */
#include <rpd/backend.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What may be set: -o max_size=64K on the command line, "options" in rpd.json. rpd checks
 * what the user wrote, and applies the defaults. */
static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("max_size", 1 << 20, 1, 1 << 30, "of a message"),
    RPD_OPTIONS_END,
};
static const struct rpd_option_detail details[] = {RPD_DETAIL_SIZE("max_size", 0), RPD_DETAILS_END};

static const enum rpd_framing framing = RPD_FRAME_NETSTRING;

/* The message is valid until on_data returns, and not NUL-terminated. */
static void answer(struct rpd_conn *conn, struct rpd_span message)
{
    char *bytes = malloc(message.size + 1);

    if (!bytes) {
        rpd_conn_abort(conn);
        return;
    }
    for (size_t i = 0; i < message.size; i++)
        bytes[i] = message.data[message.size - 1 - i];
    rpd_conn_write_frame(conn, framing, bytes, message.size);
    free(bytes);
}

/* [loop] Some input has come: perhaps half a message, perhaps a hundred. Never block here;
 * what takes longer than a moment is a job (<rpd/job.h>). */
static void on_data(struct rpd_conn *conn, void *state)
{
    const struct rpd_service *service = rpd_conn_service(conn);
    const size_t max_size = (size_t)rpd_option_integer(service, "max_size");
    struct rpd_span message;
    int got;

    (void)state;
    while ((got = rpd_conn_read_frame(conn, framing, max_size, &message)) > 0)
        answer(conn, message);
    if (got == 0)
        return; /* more has to come */
    rpd_log(service, RPD_LOG_WARNING, "a client sent no message: %s", strerror(errno));
    rpd_conn_finish(conn);
}

/* The probe is for `rpdctl check`: a request, and how its answer begins. */
RPD_BACKEND(skeleton, .summary = "Turns messages round", .version = "0.1", .options = options,
            .on_data = on_data, .probe = RPD_PROBE("5:hello,", "5:olleh,"),
            .option_details = details);
