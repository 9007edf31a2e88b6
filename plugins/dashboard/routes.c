/* Routes, Host and Accept. See routes.h. */
#include "routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum route route_of(const char *url)
{
    static const struct {
        const char *url;
        enum route route;
    } routes[] = {
        {"/", ROUTE_PAGE},         {"/dashboard.js", ROUTE_SCRIPT}, {"/dashboard.css", ROUTE_STYLE},
        {"/icon.svg", ROUTE_ICON}, {"/status.json", ROUTE_STATUS},  {"/metrics", ROUTE_METRICS},
    };

    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strcmp(url, routes[i].url) == 0)
            return routes[i].route;
    return ROUTE_NONE;
}

/* ---- Host ------------------------------------------------------------------------------------ */

static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};

/* The size of the name that it begins with; 0: it begins with none of ours. */
static size_t own_name_size(const char *host)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t size = strlen(names[i]);

        if (strncasecmp(host, names[i], size) == 0 && (host[size] == ':' || host[size] == '\0'))
            return size;
    }
    return 0;
}

static bool is_port(const char *text)
{
    return *text == '\0' || (*text == ':' && text[1 + strspn(text + 1, "0123456789")] == '\0');
}

bool host_is_ours(const char *host, const struct local_end *end)
{
    const size_t size = host ? own_name_size(host) : 0;
    char port[16];

    if (!end->is_tcp)
        return !host || (size > 0 && is_port(host + size)) ||
               (strcspn(host, ".[") == strlen(host) && is_port(host + strcspn(host, ":")));
    snprintf(port, sizeof port, ":%u", end->port);
    return size > 0 && (strcmp(host + size, port) == 0 || (end->port == 80 && !host[size]));
}

/* ---- Accept ---------------------------------------------------------------------------------- */

/* A range of an Accept header, "text/plain;version=0.0.4;q=0.5". */
struct range {
    const char *type;
    size_t size; /* of its type */
    double weight;
};

static double weight_of(const char *parameters, const char *end)
{
    while (parameters && parameters < end) {
        parameters += 1 + strspn(parameters + 1, " \t");
        if (strncasecmp(parameters, "q=", 2) == 0) {
            const double weight = strtod(parameters + 2, NULL);

            return weight >= 0 && weight <= 1 ? weight : 0; /* (No number at all, too.) */
        }
        parameters = memchr(parameters, ';', (size_t)(end - parameters));
    }
    return 1;
}

/* What follows it; NULL: there is none left. */
static const char *take_range(const char *at, struct range *ret)
{
    size_t size;

    at += strspn(at, " \t,");
    if (!*at)
        return NULL;
    size = strcspn(at, ",");
    ret->type = at;
    ret->size = strcspn(at, "; \t,");
    ret->weight = weight_of(memchr(at, ';', size), at + size);
    return at + size;
}

static bool is_range(const struct range *range, const char *type)
{
    return range->size == strlen(type) && strncasecmp(range->type, type, range->size) == 0;
}

/* The range that says most of a type decides. */
static double weight_for(const char *accept, const char *type, const char *group)
{
    double weights[3] = {-1, -1, -1};
    struct range range;

    while ((accept = take_range(accept, &range))) {
        double *weight = is_range(&range, type)    ? &weights[0]
                         : is_range(&range, group) ? &weights[1]
                         : is_range(&range, "*/*") ? &weights[2]
                                                   : NULL;
        if (weight && range.weight > *weight)
            *weight = range.weight;
    }
    for (size_t i = 0; i < 3; i++)
        if (weights[i] >= 0)
            return weights[i];
    return 0;
}

static bool is_of_browser(const char *accept)
{
    struct range range;

    while ((accept = take_range(accept, &range)))
        if (is_range(&range, "text/html"))
            return true;
    return false;
}

enum metrics_type metrics_type_for(const char *accept)
{
    double openmetrics, text;

    if (!accept || !accept[strspn(accept, " \t,")])
        return METRICS_TYPE_OPENMETRICS;
    openmetrics = weight_for(accept, "application/openmetrics-text", "application/*");
    text = weight_for(accept, "text/plain", "text/*");
    if (openmetrics <= 0 && text <= 0)
        return METRICS_TYPE_NONE;
    if (text > openmetrics || (text >= openmetrics && is_of_browser(accept)))
        return METRICS_TYPE_TEXT;
    return METRICS_TYPE_OPENMETRICS;
}
