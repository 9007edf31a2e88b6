/* slow_start: a backend whose state takes as long to load as you say. Clients
 * connect at once, and are answered as soon as it is there:
 *
 *     build/rpd build/samples/slow_start.so -o load_s=10 -l unix:/tmp/slow.sock
 *     echo hello | socat -t 20 - UNIX-CONNECT:/tmp/slow.sock
 *
 * Until then they wait ("warmup": "hold"). Configured otherwise they get an answer that says how
 * far it is, at once ("refuse"), or whenever they ask ("serve").
 */
#include <rpd/backend.h>

#include <stdlib.h>

struct state {
    double load_s; /* the loaded value, with which each line is answered */
};

static const struct rpd_option options[] = {
    RPD_OPTION_NUMBER("load_s", 5, 0, 86400, "how many seconds the load takes"),
    RPD_OPTIONS_END,
};

static void *load(struct rpd_load *load)
{
    const double load_s = rpd_option_number(rpd_load_service(load), "load_s");
    const uint64_t total = (uint64_t)(load_s * 1000);

    for (uint64_t done = 0; done < total;) {
        const uint64_t step = total - done < 20 ? total - done : 20;
        if (!rpd_load_wait(load, (unsigned)step))
            return NULL;
        done += step;
        rpd_load_progress(load, done, total, "ms");
    }
    struct state *state = malloc(sizeof *state);
    if (!state)
        return rpd_load_fail(load, "out of memory");
    state->load_s = load_s;
    return state;
}

static void on_busy(struct rpd_conn *conn)
{
    const struct rpd_progress progress = rpd_service_progress(rpd_conn_service(conn));

    rpd_conn_printf(conn, "busy: loading, %d %%\n", (int)(progress.fraction * 100));
}

static void on_data(struct rpd_conn *conn, void *data)
{
    const struct state *state = data;
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line))
        if (state)
            rpd_conn_printf(conn, "%.*s: loaded in %g s\n", (int)line.size, line.data,
                            state->load_s);
        else
            on_busy(conn);
}

RPD_BACKEND(slow_start, .summary = "Takes its time to load", .options = options, .load = load,
            .unload = free, .on_data = on_data, .on_busy = on_busy, .serves_without_state = true,
            .probe = RPD_PROBE("Ada\n", "Ada: loaded"));
