/* skeleton: a backend for rpd. It knows the primes up to a limit: a client sends a
 * number a line, and each is answered.
 *
 *     rpd build/skeleton.so -l unix:/tmp/skeleton.sock
 *     printf '97\n' | socat - UNIX-CONNECT:/tmp/skeleton.sock
 *
 * Make it yours: first the state and load(), then on_data(). <rpd/backend.h> has
 * all that there is, in the order in which rpd calls it. */
#include <rpd/backend.h>

#include <stdlib.h>
#include <string.h>

/* What may be set: -o limit=100 on the command line, "options" in rpd.json. rpd checks
 * what the user wrote, and applies the defaults. */
static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("limit", 1000000, 2, 1000000000, "the largest number that is known"),
    RPD_OPTIONS_END,
};

/* The state: made by load, freed by unload, and yours alone in between. */
struct primes {
    long long limit;
    unsigned char is_composite[];
};

/* [worker] May take as long as it takes: clients are connected meanwhile, and wait.
 * Say how far you are, and return soon once you are cancelled. */
static void *load(struct rpd_load *load)
{
    const long long limit = rpd_option_integer(rpd_load_service(load), "limit");
    struct primes *primes = calloc(1, sizeof *primes + (size_t)limit + 1);

    if (!primes)
        return rpd_load_fail(load, "no memory for %lld numbers; set a lower limit", limit);
    primes->limit = limit;
    for (long long n = 2; n * n <= limit; n++) {
        if (rpd_load_cancelled(load)) {
            free(primes);
            return NULL;
        }
        rpd_load_progress(load, (uint64_t)(n * n), (uint64_t)limit, "numbers");
        for (long long multiple = n * n; !primes->is_composite[n] && multiple <= limit;
             multiple += n)
            primes->is_composite[multiple] = 1;
    }
    rpd_load_progress(load, (uint64_t)limit, (uint64_t)limit, "numbers");
    return primes;
}

static void answer(struct rpd_conn *conn, const struct primes *primes, const char *line)
{
    char *end;
    const long long number = strtoll(line, &end, 10);

    if (end == line || *end || number < 0)
        rpd_conn_printf(conn, "?\n");
    else if (number > primes->limit)
        rpd_conn_printf(conn, "%lld is above the limit\n", number);
    else
        rpd_conn_printf(conn, "%lld is %s\n", number,
                        number >= 2 && !primes->is_composite[number] ? "prime" : "not prime");
}

/* [loop] Some input has come: perhaps half a line, perhaps a hundred. Never block here;
 * what takes longer than a moment is a job (<rpd/job.h>). */
static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line)) {
        char text[32];

        /* A line is not NUL-terminated, and can be as long as the client likes. */
        if (line.size >= sizeof text)
            line.size = 0;
        memcpy(text, line.data, line.size);
        text[line.size] = '\0';
        answer(conn, state, text);
    }
}

/* The probe is for `rpdctl check`: a request, and how its answer begins. */
RPD_BACKEND(skeleton, .summary = "Knows primes", .version = "0.1", .options = options, .load = load,
            .unload = free, .on_data = on_data, .probe = RPD_PROBE("2\n", "2 is prime"));
