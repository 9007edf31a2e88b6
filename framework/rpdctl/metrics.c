/* rpdctl metrics: the numbers of services, read from their pages. No service is asked, so one that
 * is stuck or stopped has numbers, too. */
#include "library/libjansson.h"
#include "observe/metrics_text.h"
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl metrics [NAME] [--json]\n"
    "\n"
    "Prints the numbers of a service, or of all: rpd's own, and those that its backend declares.\n"
    "They are read from its page of metrics; the service is not asked, so one that stands still\n"
    "or is stopped has numbers, too. The text is OpenMetrics, which Prometheus and its kin read.\n"
    "\n"
    "      --json   one JSON document: each metric with name, unit, type, meaning, labels and\n"
    "               value; of a histogram count, sum, quantiles, and the buckets that have values\n"
    "\n"
    "Exit codes: 0 done, 1 nothing is known of the service, 64 bad command line.\n";

enum { JSON = 256, METRICS_VERSION = 1 };

struct request {
    const char *service;
    bool is_json;
};

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *labels_of(const struct metrics_row *row)
{
    json_t *labels = json_object();

    for (size_t i = 0; i < row->label_count; i++)
        json_object_set_new(labels, row->labels[i].key, json_string(row->labels[i].value));
    return labels;
}

/* [from, count], in the metric's own unit. */
static json_t *buckets_of(const struct rpd_histogram *histogram)
{
    json_t *buckets = json_array();

    for (unsigned i = 0; i < RPD_HISTOGRAM_BUCKETS; i++)
        if (histogram->buckets[i] > 0)
            json_array_append_new(buckets, json_pack("[I I]", (json_int_t)rpd_histogram_from(i),
                                                     (json_int_t)histogram->buckets[i]));
    return buckets;
}

static void add_histogram(json_t *json, const struct rpd_histogram *histogram)
{
    static const struct {
        const char *name;
        double part;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};

    json_object_set_new(json, "count",
                        json_integer((json_int_t)metrics_histogram_count(histogram)));
    json_object_set_new(json, "sum", json_integer((json_int_t)histogram->sum));
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        json_object_set_new(
            json, quantiles[i].name,
            json_integer((json_int_t)metrics_histogram_quantile(histogram, quantiles[i].part)));
    json_object_set_new(json, "buckets", buckets_of(histogram));
}

static json_t *metric(const struct metrics_row *row)
{
    static const char *const types[] = {"none", "counter", "gauge", "histogram"};
    json_t *json = json_pack("{ss ss ss ss so}", "name", row->name, "unit", row->unit, "type",
                             types[row->type], "meaning", row->meaning, "labels", labels_of(row));

    if (json && row->type == RPD_METRIC_HISTOGRAM)
        add_histogram(json, &row->histogram);
    else if (json)
        json_object_set_new(json, "value", json_integer((json_int_t)row->value));
    return json;
}

static json_t *service(const struct metrics_service *service)
{
    json_t *metrics = json_array();

    for (size_t i = 0; i < service->view.count; i++)
        json_array_append_new(metrics, metric(&service->view.rows[i]));
    return json_pack("{ss ss so}", "service", service->name, "state",
                     state_verdict_text(service->verdict), "metrics", metrics);
}

static int print_json(const struct metrics_services *services)
{
    json_t *list = NULL, *document;
    struct error error;

    if (libjansson_load(&error) < 0) {
        rpdctl_say("%s", error.text);
        return RPDCTL_NO;
    }
    list = json_array();
    for (size_t i = 0; i < services->count; i++)
        json_array_append_new(list, service(&services->list[i]));
    document = json_pack("{si so}", "version", METRICS_VERSION, "services", list);
    if (!document) {
        rpdctl_say("metrics: --json: out of memory");
        return RPDCTL_NO;
    }
    json_dumpf(document, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    json_decref(document);
    return 0;
}

/* ---- the command --------------------------------------------------------------------------- */

static int print(const struct request *request, const struct metrics_services *services)
{
    if (request->service && services->count == 0) {
        rpdctl_say("metrics: %s: nothing is known of it: it is not running", request->service);
        return RPDCTL_NO;
    }
    if (request->service && !services->list->has_view) {
        rpdctl_say(
            "metrics: %s: it has no page of metrics that can be read: it starts or stops, or "
            "its rpd is another version",
            request->service);
        return RPDCTL_NO;
    }
    if (request->is_json)
        return print_json(services);
    if (metrics_text_print(services, METRICS_OPENMETRICS, stdout) == 0)
        return 0;
    rpdctl_say("metrics: out of memory");
    return RPDCTL_NO;
}

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;

    (void)option;
    (void)argv;
    request->is_json = true;
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, JSON}, {NULL, 0, NULL, 0}};
    struct request request = {0};
    struct metrics_services services = {0};
    int code = rpdctl_take_options(argc, argv, ":", options, take, &request), runtime_dirfd = -1;
    int found;

    if (!code && optind < argc)
        code = rpdctl_take_service(argc, argv, &request.service);
    if (code)
        return code;
    found = rpdctl_find_runtime(&runtime_dirfd);
    if (found < 0)
        return RPDCTL_NO;
    if (found == 0 && metrics_services_read(runtime_dirfd, request.service, &services) < 0) {
        rpdctl_say("metrics: cannot look: %s", strerror(errno));
        code = RPDCTL_NO;
    } else {
        code = print(&request, &services);
    }
    metrics_services_finish(&services);
    if (runtime_dirfd >= 0)
        close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_metrics = {
    .name = "metrics",
    .summary = "the numbers of services, for Prometheus and its kin",
    .help = help,
    .run = run,
};
