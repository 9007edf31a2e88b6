/* What the seal costs: a backend's own bind with the seal and without it, in turns.
 *
 *     seal [--runs N] [--check] [--json FILE]
 *
 * First it measures inside this process, with the filter prepared in advance: the framework's own
 * function, from the call to a checked listener. Then it measures from outside: from fork to BOUND
 * of an rpd with such a plugin, which includes building the filter. --check: exit 1 if the median
 * of the first is more than 300 us above that without a seal, or if sealing is unavailable. */
#include "../support/process.h"
#include "json_figures.h"
#include "rounds.h"

#include "endpoint/listener.h"
#include "guard/crash.h"
#include "plugin/seal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_US 300

enum { MAX_RUNS = 2000, STARTS_MAX = 200 };

struct series {
    double us[MAX_RUNS];
    long count;
};

static double middle_of(struct series *series)
{
    return median(series->us, series->count);
}

/* One bind, made and closed again. */
static double bind_once(enum config_seal seal)
{
    const struct listener_bind how = {
        .bind = rpd_bind_plainly, .seal = seal, .owner = {.service = "bench", .plugin = "bench"}};
    const char *endpoint = textf("unix:@rpd-bench-seal-%d", getpid());
    const struct config_listen listen = {.endpoint = endpoint, .backlog = 16, .mode = 0600};
    struct rpd_listener listener = {.fd = -1};
    struct error error;

    listener.claim.dirfd = listener.claim.lock.fd = -1;
    if (endpoint_resolve(&listener.endpoint, &listen, "/tmp", &error) < 0)
        test_die("%s", error.text);
    const int64_t before = now_ns();
    if (listener_bind_own(&listener, &how, &error) < 0)
        test_die("%s", error.text);
    const int64_t after = now_ns();
    listener_close(&listener);
    return (double)(after - before) / 1000;
}

/* From fork to BOUND. */
static double start_once(const char *seal)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *text = textf("{\"services\":[{\"plugin\":\"%s\",\"listen\":[\"unix:%s/x.sock\"],"
                             "\"seal\":\"%s\"}]}",
                             build_path("tests/plugins/corpus.so"), dir, seal);

    file_write(config, text, strlen(text));
    const int64_t before = now_ns();
    struct process *rpd = RPD_START(dir, "-c", config);
    if (process_wait_bound(rpd) != 0)
        test_die("rpd did not start: %s", process_stderr(rpd));
    const double us = (double)(process_bound_ns(rpd) - before) / 1000;
    process_stop(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
    return us;
}

static void print_row(const char *what, double sealed, double unsealed)
{
    printf("%-40s %9.0f %9.0f %9.0f\n", what, sealed, unsealed, sealed - unsealed);
    json_figure("sealed", what, "us", sealed);
    json_figure("unsealed", what, "us", unsealed);
}

static double measure_binds(long runs)
{
    static struct series sealed, unsealed;

    for (long i = -10; i < runs; i++) { /* the first rounds are the warm-up */
        const double with = bind_once(SEAL_ENFORCE), without = bind_once(SEAL_OFF);

        if (i < 0)
            continue;
        sealed.us[sealed.count++] = with;
        unsealed.us[unsealed.count++] = without;
    }
    print_row("own bind, filter prepared", middle_of(&sealed), middle_of(&unsealed));
    return middle_of(&sealed) - middle_of(&unsealed);
}

static void measure_starts(long runs)
{
    static struct series sealed, unsealed;

    for (long i = -1; i < runs && i < STARTS_MAX; i++) {
        const double with = start_once("enforce"), without = start_once("off");

        if (i < 0)
            continue;
        sealed.us[sealed.count++] = with;
        unsealed.us[unsealed.count++] = without;
    }
    print_row("fork to BOUND", middle_of(&sealed), middle_of(&unsealed));
}

int main(int argc, char **argv)
{
    struct rounds rounds = {.count = 500, .least = 15, .most = MAX_RUNS};

    rounds_parse(&rounds, "seal", argc, argv);
    crash_install();
    crash_except_sigsys(seal_take_signal);
    const int64_t before = now_ns();
    const bool can_seal = seal_prepare(SEAL_ENFORCE, "bench") == SEAL_ENFORCE;
    const double prepare_us = (double)(now_ns() - before) / 1000;
    if (!can_seal)
        return rounds.is_check ? 1 : 0;
    printf("%-40s %9s %9s %9s\n", "median us", "sealed", "unsealed", "more");
    const double cost = measure_binds(rounds.count);
    measure_starts(rounds.count / 10);
    printf("seal: to load libseccomp and make the filter, once: %.0f us\n", prepare_us);
    printf("seal: %.0f us more for a bind (at most %d): %s\n", cost, LIMIT_US,
           cost <= LIMIT_US ? "ok" : "too slow");
    json_figure("filter", "made, once", "us", prepare_us);
    json_figures_end("seal");
    return rounds.is_check && cost > LIMIT_US ? 1 : 0;
}
