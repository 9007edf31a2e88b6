/* skeleton: a backend for rpd. A client sends a number a line, and is answered by how many primes
 * there are up to it. That takes a while, so a job does it, on a worker: the loop serves the
 * other clients meanwhile.
 *
 *     rpd build/skeleton.so -l unix:/tmp/skeleton.sock
 *     printf '1000\n' | socat - UNIX-CONNECT:/tmp/skeleton.sock
 *
 * Make it yours: run() is the work, done() the answer. <rpd/job.h> has more about jobs,
 * <rpd/load.h> has how to load a state. */
#include <rpd/backend.h>

#include <stdlib.h>
#include <string.h>

/* What may be set: -o limit=100 on the command line, "options" in rpd.json. rpd checks
 * what the user wrote, and applies the defaults. */
static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("limit", 1000000, 2, 1000000000, "the largest number that is taken"),
    RPD_OPTIONS_END,
};

/* One request. It is the worker's while run() runs, and the loop's before and after: so
 * nothing in it needs a lock. */
struct request {
    struct rpd_conn *conn;
    long long number, count; /* count -1: there was no memory */
};

/* [worker] May block, and take as long as it takes; but gives up when it is cancelled. */
static void run(struct rpd_job *job, void *arg)
{
    struct request *request = arg;
    unsigned char *is_composite = calloc(1, (size_t)request->number + 1);

    request->count = is_composite ? 0 : -1;
    for (long long n = 2; is_composite && n <= request->number && !rpd_job_cancelled(job); n++) {
        if (is_composite[n])
            continue;
        request->count++;
        for (long long multiple = n * n; multiple <= request->number; multiple += n)
            is_composite[multiple] = 1;
    }
    free(is_composite);
}

/* [loop] Once for each job, also where it was cancelled, and where the client has left: writing
 * then does nothing. Answer first, then let it go on. */
static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct request *request = arg;

    (void)service;
    if (cancelled || request->count < 0)
        rpd_conn_printf(request->conn, "busy\n");
    else
        rpd_conn_printf(request->conn, "%lld\n", request->count);
    rpd_conn_resume(request->conn);
    rpd_conn_release(request->conn);
    free(request);
}

/* The client is kept, and not read, until it is answered: its answers come in order. */
static void submit(struct rpd_conn *conn, long long number)
{
    struct request *request = calloc(1, sizeof *request);

    if (!request) {
        rpd_conn_abort(conn);
        return;
    }
    *request = (struct request){.conn = conn, .number = number, .count = -1};
    rpd_conn_keep(conn);
    rpd_conn_pause(conn);
    if (rpd_job_submit(rpd_conn_service(conn), run, done, request) < 0)
        done(rpd_conn_service(conn), request, true); /* too many wait already */
}

/* [loop] Some input has come: perhaps half a line, perhaps a hundred. Never block here. */
static void on_data(struct rpd_conn *conn, void *state)
{
    const long long limit = rpd_option_integer(rpd_conn_service(conn), "limit");
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        char text[32], *end;
        long long number;

        /* A line is not NUL-terminated, and can be as long as the client likes. */
        if (line.size >= sizeof text)
            line.size = 0;
        memcpy(text, line.data, line.size);
        text[line.size] = '\0';
        number = strtoll(text, &end, 10);
        if (end == text || *end || number < 0)
            rpd_conn_printf(conn, "?\n");
        else if (number > limit)
            rpd_conn_printf(conn, "%lld is above the limit\n", number);
        else
            submit(conn, number);
    }
}

/* The probe is for `rpdctl check`: a request, and how its answer begins. */
RPD_BACKEND(skeleton, .summary = "Counts primes", .version = "0.1", .options = options,
            .on_data = on_data, .probe = RPD_PROBE("10\n", "4\n"));
