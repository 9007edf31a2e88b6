/* rpdctl check: runs a plugin against the contract, and names each breach. The checks are in the
 * other files of rpdctl/check; rpdctl/kit.h has what they work with. */
#include "base/clock.h"
#include "base/nearest.h"
#include "library/libjansson.h"
#include "plugin/plugin.h"
#include "rpdctl/check/checks.h"
#include "rpdctl/command_line.h"
#include "rpdctl/descriptor.h"
#include "rpdctl/options.h"
#include "rpdctl/program.h"
#include "rpdctl/report.h"
#include "rpdctl/rpdctl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl check PLUGIN.so [-o KEY=VALUE]... [--config FILE] [--quick]\n"
    "                    [--only ID]... [--json | --junit]\n"
    "\n"
    "Runs the plugin against rpd's contract: the file, its constructors, bind, each\n"
    "warm-up policy, slow, cancelled and failing loads, clients that leave or write\n"
    "byte by byte, leaks, EMFILE, many requests at once, jobs of clients that have\n"
    "left, calls where they are not allowed, SIGTERM in each phase. Each check has\n"
    "daemons of its own, in a directory of its own. What does not apply is skipped; with a\n"
    ".probe in the descriptor (RPD_PROBE) the kit can ask something, too.\n"
    "\n"
    "  -o, --option KEY=VALUE  an option of the plugin: one that makes its load short\n"
    "  -c, --config FILE       the options of this plugin in a configuration of rpd\n"
    "      --quick             fewer rounds\n"
    "      --only ID           only this check; may be repeated. \"load.\" is all of load\n"
    "      --timeout S         what is not done by then has failed; default: 60\n"
    "      --json, --junit     print JSON, or JUnit's XML\n"
    "\n"
    "Exit codes: 0 nothing failed, 1 something did, 64 bad command line.\n";

enum { TIMEOUT_S = 60, ONLY_MAX = 64, FINDINGS_MAX = 128, QUICK = 256, ONLY, TIMEOUT, JSON, JUNIT };

struct request {
    const char *plugin, *config;
    const char **options;
    size_t option_count;
    const char *only[ONLY_MAX];
    size_t only_count;
    bool quick;
    int timeout_s;
    enum report_format format;
};

static const struct check *const tables[] = {checks_of_file,    checks_of_bind,    checks_of_load,
                                             checks_of_clients, checks_of_answers, checks_of_end};
enum { TABLES = sizeof tables / sizeof tables[0] };

/* ---- the command line ------------------------------------------------------------------- */

/* "load.cancelled", or "load." for all of them. */
static bool matches(const char *id, const char *wanted)
{
    const size_t size = strlen(wanted);

    return strcmp(id, wanted) == 0 ||
           (size > 0 && wanted[size - 1] == '.' && strncmp(id, wanted, size) == 0);
}

static int take_only(struct request *request, const char *command, const char *wanted)
{
    char hint[NEAREST_HINT_MAX];
    struct nearest nearest;

    nearest_start(&nearest, wanted);
    for (size_t t = 0; t < TABLES; t++)
        for (const struct check *check = tables[t]; check->id; check++) {
            if (matches(check->id, wanted) && request->only_count < ONLY_MAX) {
                request->only[request->only_count++] = wanted;
                return 0;
            }
            nearest_try(&nearest, check->id);
        }
    return rpdctl_refuse(command, "--only %s: unknown check%s", wanted,
                         nearest_hint(&nearest, hint));
}

static int take_timeout(struct request *request, const char *command, const char *text)
{
    char *end;
    const long seconds = strtol(text, &end, 10);

    if (end == text || *end || seconds < 1 || seconds > 86400)
        return rpdctl_refuse(command, "--timeout %s: expected 1 to 86400 seconds", text);
    request->timeout_s = (int)seconds;
    return 0;
}

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;

    switch (option) {
    case 'o': request->options[request->option_count++] = optarg; return 0;
    case 'c': request->config = optarg; return 0;
    case QUICK: request->quick = true; return 0;
    case ONLY: return take_only(request, argv[0], optarg);
    case TIMEOUT: return take_timeout(request, argv[0], optarg);
    case JSON: request->format = REPORT_JSON; return 0;
    case JUNIT: request->format = REPORT_JUNIT; return 0;
    default: return 0; /* getopt returns no other */
    }
}

static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"option", required_argument, NULL, 'o'},      {"config", required_argument, NULL, 'c'},
        {"quick", no_argument, NULL, QUICK},           {"only", required_argument, NULL, ONLY},
        {"timeout", required_argument, NULL, TIMEOUT}, {"json", no_argument, NULL, JSON},
        {"junit", no_argument, NULL, JUNIT},           {NULL, 0, NULL, 0},
    };
    const int code = rpdctl_take_options(argc, argv, ":o:c:", options, take, request);

    if (code)
        return code;
    return rpdctl_take_plugin(argc, argv, &request->plugin);
}

/* ---- what is tested ---------------------------------------------------------------------- */

/* Makes bytes from hex digits that the reader wrote. */
static char *bytes_of(const char *digits, size_t *ret_size)
{
    const size_t size = strlen(digits) / 2;
    char *bytes = malloc(size + 1);

    for (size_t i = 0; bytes && i < size; i++) {
        const char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};

        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    *ret_size = size;
    return bytes;
}

static void take_probe(struct kit *kit)
{
    const json_t *probe = json_object_get(kit->descriptor, "probe");

    if (!json_is_object(probe))
        return;
    kit->request = bytes_of(descriptor_text(probe, "request"), &kit->request_size);
    kit->reply = bytes_of(descriptor_text(probe, "reply_begins"), &kit->reply_size);
}

static void inspect(struct kit *kit)
{
    const struct plugin_search search = {.base = "."};
    struct plugin plugin = {.fd = -1};

    if (plugin_inspect(&plugin, kit->plugin, &search, &kit->file_error) < 0) {
        plugin_finish(&plugin);
        return;
    }
    kit->file_error = (struct error){0};
    kit->note = plugin.note;
    snprintf(kit->path, sizeof kit->path, "%s", plugin.path);
    plugin_finish(&plugin);
    kit->descriptor = descriptor_read(kit->plugin, &kit->code_error);
    if (kit->descriptor)
        take_probe(kit);
}

static int prepare(struct kit *kit, const struct request *request, struct error *error)
{
    static char directory[KIT_DIR_MAX];
    const char *tmp = getenv("TMPDIR");

    kit->plugin = request->plugin;
    kit->quick = request->quick;
    kit->end_us = clock_us() + (uint64_t)request->timeout_s * 1000000u;
    if (libjansson_load(error) < 0 || rpdctl_beside("rpd", kit->rpd, error) < 0 ||
        rpdctl_beside("rpdctl", kit->self, error) < 0)
        return -1;
    /* Socket addresses are short. */
    snprintf(directory, sizeof directory, "%s/rpdctl-XXXXXX",
             tmp && strlen(tmp) < sizeof directory - 20 ? tmp : "/tmp");
    kit->dir = mkdtemp(directory);
    if (!kit->dir)
        return error_set(error, EXIT_SYSTEM, "check", directory, "cannot make it: %s",
                         strerror(errno));
    inspect(kit);
    kit->options = rpdctl_options(kit->descriptor, request->plugin, request->config,
                                  request->options, request->option_count, error);
    return kit->options ? 0 : -1;
}

static void finish(struct kit *kit)
{
    kit_clear(kit);
    if (kit->dir)
        rmdir(kit->dir);
    free(kit->request);
    free(kit->reply);
    if (kit->descriptor)
        json_decref(kit->descriptor);
    if (kit->options)
        json_decref(kit->options);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static volatile sig_atomic_t was_interrupted;

static void note_interrupt(int signal_number)
{
    (void)signal_number;
    was_interrupted = 1;
}

/* The check that runs comes to its end soon, as a terminal interrupts its daemons, too; then all is
 * removed as usual. */
static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = note_interrupt};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* ---- running ------------------------------------------------------------------------------ */

static bool is_wanted(const struct request *request, const struct check *check)
{
    for (size_t i = 0; i < request->only_count; i++)
        if (matches(check->id, request->only[i]))
            return true;
    return request->only_count == 0;
}

static enum verdict run_check(struct kit *kit, const struct check *check)
{
    if (check->needs_code && !kit->descriptor)
        return kit_skipped(kit, "its code cannot be loaded");
    if (clock_us() > kit->end_us)
        return kit_failed(kit, "it was not run: the time is over; set the options that shorten its "
                               "load (-o), or --timeout");
    return check->run(kit);
}

static void run_checks(struct kit *kit, const struct request *request, struct report *report)
{
    for (size_t t = 0; t < TABLES; t++)
        for (const struct check *check = tables[t]; check->id; check++) {
            struct finding *finding = &report->findings[report->count];
            const uint64_t started_us = clock_us();

            if (was_interrupted || !is_wanted(request, check) || report->count == FINDINGS_MAX)
                continue;
            kit->text[0] = '\0';
            *finding = (struct finding){.id = check->id, .title = check->title};
            finding->verdict = run_check(kit, check);
            memcpy(finding->text, kit->text, sizeof finding->text);
            finding->seconds = (double)(clock_us() - started_us) / 1e6;
            kit_clear(kit);
            report->count++;
            report_finding(report, finding);
        }
}

static int check(const struct request *request)
{
    static struct finding findings[FINDINGS_MAX];
    static struct kit kit;
    struct report report = {
        .format = request->format, .plugin = request->plugin, .findings = findings};
    struct error error;
    int code = RPDCTL_NO;

    catch_interrupts();
    if (prepare(&kit, request, &error) < 0) {
        rpdctl_say("%s", error.text);
        if (error.code == EXIT_COMMAND_LINE)
            code = EXIT_COMMAND_LINE;
    } else {
        run_checks(&kit, request, &report);
        code = report_end(&report) && !was_interrupted ? 0 : RPDCTL_NO;
        if (was_interrupted)
            rpdctl_say("check: it was interrupted; not all was checked");
    }
    finish(&kit);
    return code;
}

static int run(int argc, char **argv)
{
    struct request request = {.timeout_s = TIMEOUT_S};
    int code;

    request.options = calloc((size_t)argc + 1, sizeof *request.options);
    if (!request.options)
        return RPDCTL_NO;
    code = parse(&request, argc, argv);
    if (code == 0)
        code = check(&request);
    free(request.options);
    return code;
}

const struct rpdctl_command rpdctl_check = {
    .name = "check",
    .summary = "runs a plugin against rpd's contract",
    .help = help,
    .run = run,
};
