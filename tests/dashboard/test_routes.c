/* Routes, Host and Accept: plugins/dashboard/routes.c. */
#include "routes.h"

#include <criterion/criterion.h>

#include <stddef.h>

Test(routes, are_exact)
{
    static const char *const none[] = {
        "",     "//",  "/index.html", "/status.json/",    "/Metrics", "/metrics/",
        "/../", "/./", "*",           "http://localhost/"};

    cr_expect_eq(route_of("/"), ROUTE_PAGE);
    cr_expect_eq(route_of("/dashboard.js"), ROUTE_SCRIPT);
    cr_expect_eq(route_of("/dashboard.css"), ROUTE_STYLE);
    cr_expect_eq(route_of("/icon.svg"), ROUTE_ICON);
    cr_expect_eq(route_of("/status.json"), ROUTE_STATUS);
    cr_expect_eq(route_of("/metrics"), ROUTE_METRICS);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_expect_eq(route_of(none[i]), ROUTE_NONE, "%s", none[i]);
}

static void expect_hosts(const struct local_end *end, bool ours, const char *const *hosts)
{
    for (; *hosts; hosts++)
        cr_expect_eq(host_is_ours(*hosts, end), ours, "\"%s\" at port %u", *hosts, end->port);
}

#define HOSTS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(routes, a_host_of_tcp_is_this_machine_and_this_port)
{
    const struct local_end end = {.is_tcp = true, .port = 7070}, web = {.is_tcp = true, .port = 80};

    expect_hosts(&end, true,
                 HOSTS("localhost:7070", "LocalHost:7070", "127.0.0.1:7070", "[::1]:7070"));
    expect_hosts(&end, false,
                 HOSTS("", "localhost", "127.0.0.1", "[::1]", "localhost:", "localhost:80",
                       "localhost:70700", "localhost:07070", "localhost:7070 ",
                       "localhost:7070:7070", "evil.example:7070", "localhost.evil.example:7070",
                       "localhost.:7070", "evil-localhost:7070", "127.0.0.1.evil.example:7070",
                       "127.0.0.2:7070", "::1:7070", "[::1]7070", "[::]:7070", "x@localhost:7070",
                       "vm:7070"));
    cr_expect_not(host_is_ours(NULL, &end));
    expect_hosts(&web, true, HOSTS("localhost", "localhost:80", "[::1]"));
    expect_hosts(&web, false, HOSTS("localhost:7070", "evil.example"));
}

Test(routes, a_host_of_a_unix_socket_is_no_name_of_a_site)
{
    const struct local_end end = {0};

    cr_expect(host_is_ours(NULL, &end));
    expect_hosts(&end, true,
                 HOSTS("", "localhost", "localhost:8080", "127.0.0.1:1", "[::1]:1", "[::1]",
                       "dashboard", "x:80"));
    expect_hosts(&end, false,
                 HOSTS("evil.example", "evil.example:8080", "localhost.", "127.0.0.2",
                       "[fe80::1]:80", "x:y", "x:80:80"));
}

Test(routes, the_older_text_is_had_by_asking)
{
    static const struct {
        const char *accept;
        enum metrics_type type;
    } rows[] = {
        {NULL, METRICS_TYPE_OPENMETRICS},
        {"", METRICS_TYPE_OPENMETRICS},
        {" , ", METRICS_TYPE_OPENMETRICS},
        {"*/*", METRICS_TYPE_OPENMETRICS},
        {"application/openmetrics-text", METRICS_TYPE_OPENMETRICS},
        {"text/plain", METRICS_TYPE_TEXT},
        {"TEXT/PLAIN;version=0.0.4", METRICS_TYPE_TEXT},
        {"text/*", METRICS_TYPE_TEXT},
        {"text/plain;q=0.5, */*;q=0.1", METRICS_TYPE_TEXT},
        {"text/plain; q=0.1, */*; q=0.5", METRICS_TYPE_OPENMETRICS},
        {"text/plain;q=0, */*", METRICS_TYPE_OPENMETRICS},
        {"application/openmetrics-text;q=0, */*", METRICS_TYPE_TEXT},
        /* Prometheus */
        {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version="
         "0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
         METRICS_TYPE_OPENMETRICS},
        {"text/plain;version=0.0.4;q=1,*/*;q=0.1", METRICS_TYPE_TEXT},
        /* a browser, which shows text */
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", METRICS_TYPE_TEXT},
        {"text/html", METRICS_TYPE_NONE},
        {"application/json", METRICS_TYPE_NONE},
        {"text/plain;q=0", METRICS_TYPE_NONE},
        {"text/plain;q=much", METRICS_TYPE_NONE},
        {"text/plainer, text/plai, ;;q=, ,;q", METRICS_TYPE_NONE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(metrics_type_for(rows[i].accept), rows[i].type, "%s",
                     rows[i].accept ? rows[i].accept : "(none)");
}
