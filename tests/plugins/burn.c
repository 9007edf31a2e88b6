/* A load that keeps processors busy: as many parts as the option says, each of which computes for
 * the given seconds and never waits. For answers under "serve" while all workers are busy: each
 * line is answered with "cold" or, once READY, with "warm". */
#include <rpd/backend.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("parts", 4, 0, 256, "how many parts"),
    RPD_OPTION_NUMBER("load_s", 5, 0, 86400, "how long each computes"),
    RPD_OPTIONS_END,
};

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Some microseconds of work that the compiler cannot remove. */
static void compute(void)
{
    volatile unsigned sum = 0;

    for (unsigned i = 0; i < 20000; i++)
        sum = sum * 31 + i;
}

static void *load_part(struct rpd_load *load)
{
    const double wanted = rpd_option_number(rpd_load_service(load), "load_s");
    const double began = seconds();

    for (double passed = 0; passed < wanted; passed = seconds() - began) {
        if (rpd_load_cancelled(load))
            return NULL;
        compute();
        rpd_load_progress(load, (uint64_t)(passed * 1000), (uint64_t)(wanted * 1000), "ms");
    }
    return malloc(1);
}

static void attach(void *state, void *part)
{
    (void)state;
    free(part);
}

static void *load(struct rpd_load *load)
{
    const int64_t parts = rpd_option_integer(rpd_load_service(load), "parts");

    for (int64_t i = 0; i < parts; i++) {
        char name[32];

        snprintf(name, sizeof name, "burn-%d", (int)i);
        if (rpd_load_add_part(
                load, &(struct rpd_load_part){
                          .name = name, .load = load_part, .attach = attach, .discard = free}) < 0)
            return rpd_load_fail(load, "out of memory");
    }
    return malloc(1);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const bool ready = rpd_service_progress(rpd_conn_service(conn)).ready;
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, ready ? "warm\n" : "cold\n");
}

RPD_BACKEND(burn, .summary = "Burns processors while it loads", .options = options, .load = load,
            .unload = free, .on_data = on_data, .warmup = RPD_WARMUP_SERVE,
            .serves_without_state = true);
