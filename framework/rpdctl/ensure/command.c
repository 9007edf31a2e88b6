/* rpdctl ensure: makes sure that a configuration runs, and prints where clients
 * connect. */
#include "rpdctl/ensure/command.h"
#include "base/clock.h"
#include "config/config.h"
#include "library/libjansson.h"
#include "rpdctl/ensure/ensure.h"
#include "rpdctl/program.h"
#include "rpdctl/reload.h"
#include "rpdctl/rpdctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: rpdctl ensure [--ready] [--current] [--json] [--timeout S] CONFIG\n"
    "       rpdctl ensure [--ready] [--current] [--json] [--timeout S] [-c FILE] PLUGIN.so\n"
    "                     [-l ENDPOINT]... [-n NAME] [-o KEY=VALUE]...\n"
    "\n"
    "Makes sure that all services of the configuration, or of rpd's own arguments,\n"
    "run in one process: a living daemon is left as it is; if there is none, one is\n"
    "started, detached from the caller. However many callers call at once, one daemon\n"
    "is started, and each caller gets the result. Prints the endpoints, a line each,\n"
    "as soon as clients can connect.\n"
    "\n"
    "      --ready      return when the state is loaded, too\n"
    "      --current    have a daemon that runs with another configuration take this file\n"
    "                   anew (rpdctl reload) in place of a warning\n"
    "      --timeout S  give up waiting after so many seconds; a start goes on\n"
    "      --json       print JSON: pid, services with their endpoints\n"
    "  -c, -l, -n, -o   as in rpd --help\n"
    "\n"
    "A service that has failed several times in a row is not started for a while: the\n"
    "last error is reported again, with the seconds left. What the daemon writes goes\n"
    "to log.file of the configuration, or rpd/NAME.log in $XDG_STATE_HOME or\n"
    "~/.local/state.\n"
    "\n"
    "Exit codes: 0 it runs, 1 timed out, 75 some of its services run elsewhere; else\n"
    "what rpd ended with (see rpd --help), and its error line.\n";

/* ---- the command line ---------------------------------------------------------------- */

static int take_timeout(struct rpdctl_ensure_request *request, const char *text)
{
    char *end;

    errno = 0;
    request->timeout_s = strtod(text, &end);
    if (end == text || *end || errno || !(request->timeout_s > 0) || request->timeout_s > 1e9)
        return rpdctl_refuse("ensure", "--timeout %s: expected a number of seconds, above 0", text);
    return 0;
}

/* Takes out the options of rpdctl; the rest is for rpd's own parser. */
static int split(struct rpdctl_ensure_request *request, int argc, char **argv)
{
    bool is_ours = true;

    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        int code = 0;

        is_ours = is_ours && strcmp(word, "--") != 0;
        if (is_ours && strcmp(word, "--ready") == 0)
            request->ready = true;
        else if (is_ours && strcmp(word, "--json") == 0)
            request->json = true;
        else if (is_ours && strcmp(word, "--current") == 0)
            request->current = true;
        else if (is_ours && strncmp(word, "--timeout=", 10) == 0)
            code = take_timeout(request, word + 10);
        else if (is_ours && strcmp(word, "--timeout") == 0)
            code = i + 1 < argc ? take_timeout(request, argv[++i])
                                : rpdctl_refuse("ensure", "--timeout: needs a value");
        else
            request->argv[request->argc++] = argv[i];
        if (code)
            return code;
    }
    return 0;
}

static bool is_plugin(const char *name)
{
    const size_t size = strlen(name);

    return size >= 3 && strcmp(name + size - 3, ".so") == 0;
}

static int check(struct arguments *arguments)
{
    struct config_request *request = &arguments->request;

    if (arguments->mode != ARGUMENTS_RUN)
        return rpdctl_refuse("ensure", "of rpd's options only -c, -l, -n and -o make sense here");
    if (arguments->notify_fd >= 0 || arguments->start_fd >= 0)
        return rpdctl_refuse("ensure", "no descriptor is handed to the daemon");
    if (request->plugin && !is_plugin(request->plugin)) {
        if (request->file)
            return rpdctl_refuse("ensure", "%s: a second configuration", request->plugin);
        request->file = request->plugin;
        request->plugin = NULL;
    }
    if (!request->file && !request->plugin)
        return rpdctl_refuse("ensure", "a configuration or a plugin is needed");
    return 0;
}

/* ---- what is printed ------------------------------------------------------------------- */

/* Reports the error as rpd itself does. */
static int say(const struct error *error, int code)
{
    fprintf(stderr, "rpd: %s\n", error->text);
    return code;
}

static int say_all(struct error *errors, size_t count)
{
    const int code = count > 0 ? (int)errors[0].code : EXIT_SYSTEM;

    for (size_t i = 0; i < count; i++)
        say(&errors[i], code);
    free(errors);
    return code;
}

static void pass_on(const char *line)
{
    fprintf(stderr, "rpd: %s\n", line);
}

static void warn(const char *line)
{
    rpdctl_say("ensure: %s", line);
}

static void print_endpoints(const struct ensure *ensure)
{
    for (size_t i = 0; i < ensure->request.count; i++)
        for (size_t k = 0; k < ensure->instances[i].record.endpoint_count; k++)
            puts(ensure->instances[i].record.endpoints[k]);
}

static json_t *service_json(const struct instance *instance)
{
    json_t *endpoints = json_array();

    for (size_t k = 0; k < instance->record.endpoint_count; k++)
        json_array_append_new(endpoints, json_string(instance->record.endpoints[k]));
    return json_pack("{s:s, s:s, s:o}", "name", instance->service, "state",
                     state_verdict_text(instance->verdict), "endpoints", endpoints);
}

static int print_json(const struct ensure *ensure)
{
    json_t *services, *whole;
    struct error error;
    char *text;

    if (libjansson_load(&error) < 0)
        return say(&error, (int)error.code);
    services = json_array();
    for (size_t i = 0; i < ensure->request.count; i++)
        json_array_append_new(services, service_json(&ensure->instances[i]));
    whole = json_pack("{s:i, s:i, s:b, s:o}", "version", 1, "pid", (int)ensure->instances[0].pid,
                      "started", ensure->started, "services", services);
    text = whole ? json_dumps(whole, JSON_INDENT(2)) : NULL;
    if (text)
        puts(text);
    json_decref(whole);
    free(text);
    return text ? 0 : EXIT_SYSTEM;
}

/* ---- the command --------------------------------------------------------------------------- */

static int run_ensure(const struct rpdctl_ensure_request *request, struct ensure *ensure)
{
    struct error error = {0};
    int code = ensure_bound(ensure, &error);

    if (!code && request->ready)
        code = ensure_ready(ensure, &error);
    if (code) /* A stop that did not succeed has reported why. */
        return *error.text ? say(&error, code) : code;
    if (request->json)
        return print_json(ensure);
    print_endpoints(ensure);
    return 0;
}

static int load_and_run(const struct rpdctl_ensure_request *request,
                        const struct arguments *arguments)
{
    struct config config;
    struct error *errors;
    size_t count;
    struct ensure ensure = {
        .request = {.arguments = arguments, .config = &config, .deadline_us = INSTANCE_FOR_EVER},
        .warn = warn,
        .pass_on = pass_on,
        .stop = request->stop,
        .stop_arg = request->stop_arg,
        .renew = request->current ? rpdctl_reload_instance : NULL};
    int code;

    if (request->timeout_s > 0)
        ensure.request.deadline_us = clock_us() + (uint64_t)(request->timeout_s * 1e6);
    if (config_load(&config, &arguments->request, &errors, &count) < 0)
        return say_all(errors, count);
    code = run_ensure(request, &ensure);
    ensure_finish(&ensure);
    config_finish(&config);
    return code;
}

int rpdctl_ensure_arguments(const struct rpdctl_ensure_request *request)
{
    struct arguments arguments = {0};
    struct error error;
    int code = 0;

    if (arguments_parse(&arguments, request->argc, request->argv, &error) < 0)
        code = say(&error, (int)error.code);
    if (!code)
        code = check(&arguments);
    if (!code)
        code = load_and_run(request, &arguments);
    arguments_finish(&arguments);
    return code;
}

static int ensure_command(int argc, char **argv)
{
    struct rpdctl_ensure_request request = {.argv = calloc((size_t)argc + 1, sizeof(char *))};
    int code;

    if (!request.argv)
        return rpdctl_say("ensure: out of memory"), EXIT_SYSTEM;
    code = split(&request, argc, argv);
    if (!code)
        code = rpdctl_ensure_arguments(&request);
    free(request.argv);
    return code;
}

const struct rpdctl_command rpdctl_ensure = {
    .name = "ensure",
    .summary = "make sure that a service runs, and print where clients connect",
    .help = help,
    .run = ensure_command,
};
