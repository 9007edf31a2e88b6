/* Parses the command line. See arguments.h. */
#include "config/arguments.h"

#include "base/nearest.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char arguments_help[] =
    "Usage: rpd [-c FILE] [PLUGIN.so [-l ENDPOINT]... [-n NAME] [-o KEY=VALUE]...]\n"
    "\n"
    "Runs a service from a plugin, or all services of a configuration, in the\n"
    "foreground. Clients can connect at once, while the state is still loading.\n"
    "With both, the plugin is one more service; with the name of one that the\n"
    "configuration has, it takes that one's place.\n"
    "\n"
    "  -c, --config FILE        read this configuration (JSON)\n"
    "  -l, --listen ENDPOINT    where clients connect; may be repeated\n"
    "                           unix:/path, unix:name, unix:@abstract, tcp:host:port\n"
    "                           default: unix:NAME.sock in the run-time directory\n"
    "  -n, --name NAME          name of the service; default: the plugin's own\n"
    "  -o, --option KEY=VALUE   an option of the plugin; may be repeated\n"
    "      --relative-to DIR    where relative paths of plugin and options begin;\n"
    "                           default: the working directory\n"
    "  -t, --test               check everything that needs no lock and no bind,\n"
    "                           then exit\n"
    "      --keeper             stay when a plugin crashes, hold the clients, and\n"
    "                           start it again\n"
    "      --print-config       print every setting, and where it comes from\n"
    "      --print-schema       print a JSON Schema of the configuration\n"
    "      --notify-fd N        write a line to this descriptor when bound\n"
    "      --start-fd N         write to this descriptor how the start went\n"
    "      --log-file FILE      stderr is this file, which is opened anew on SIGUSR1\n"
    "      --help               print this\n"
    "      --version            print the version\n"
    "\n"
    "Exit codes:\n"
    "   0  stopped when asked           73  cannot write lock or record\n"
    "  64  bad command line             75  already running, or endpoint in use\n"
    "  65  plugin rejected              76  plugin broke the contract at start\n"
    "  66  file does not exist          77  refused for security\n"
    "  69  load failed                  78  bad configuration, option or endpoint\n"
    "  70  internal error               71  the system refused\n";

/* Long options without a letter of their own. */
enum {
    PRINT_CONFIG = 256,
    PRINT_SCHEMA,
    NOTIFY_FD,
    START_FD,
    RUNNER_FD,
    CONFIG_FD,
    LOG_FILE,
    RELATIVE_TO,
    KEEPER,
    HELP,
    VERSION
};

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"listen", required_argument, NULL, 'l'},
    {"name", required_argument, NULL, 'n'},
    {"option", required_argument, NULL, 'o'},
    {"relative-to", required_argument, NULL, RELATIVE_TO},
    {"test", no_argument, NULL, 't'},
    {"print-config", no_argument, NULL, PRINT_CONFIG},
    {"print-schema", no_argument, NULL, PRINT_SCHEMA},
    {"notify-fd", required_argument, NULL, NOTIFY_FD},
    {"start-fd", required_argument, NULL, START_FD},
    {"runner-fd", required_argument, NULL, RUNNER_FD},
    {"config-fd", required_argument, NULL, CONFIG_FD},
    {"keeper", no_argument, NULL, KEEPER},
    {"log-file", required_argument, NULL, LOG_FILE},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

/* "-" hands over a plugin where it stands: options may come before and behind
 * it whatever POSIXLY_CORRECT says, and argv is left alone. ":" marks a missing
 * value from an unknown option. */
static const char short_options[] = "-:c:l:n:o:t";
enum { NOT_AN_OPTION = 1 };

static int refuse(struct error *error, const char *object, const char *why)
{
    return error_set(error, EXIT_COMMAND_LINE, "command line", object, "%s; see rpd --help", why);
}

static int take_once(const char **place, const char *value, const char *option, struct error *error)
{
    if (*place)
        return refuse(error, option, "is given twice");
    *place = value;
    return 0;
}

static int take_plugin(struct arguments *arguments, const char *plugin, struct error *error)
{
    if (arguments->request.plugin)
        return refuse(error, plugin, "a second plugin; more than one needs a configuration");
    arguments->request.plugin = plugin;
    return 0;
}

static int take_mode(struct arguments *arguments, enum arguments_mode mode, struct error *error)
{
    if (arguments->mode != ARGUMENTS_RUN && arguments->mode != mode)
        return refuse(error, "-t, --print-config, --print-schema", "only one of them at a time");
    arguments->mode = mode;
    arguments->request.is_printed = mode == ARGUMENTS_PRINT_CONFIG;
    return 0;
}

/* It must not be relative itself, because there is no base for it. */
static int take_base(const char **base, const char *value, struct error *error)
{
    if (*value != '/')
        return refuse(error, "--relative-to", "expected an absolute path");
    return take_once(base, value, "--relative-to", error);
}

static int take_descriptor(int *descriptor, const char *option, const char *text,
                           struct error *error)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number > INT_MAX)
        return refuse(error, option, "expected the number of a descriptor");
    if (*descriptor >= 0)
        return refuse(error, option, "is given twice");
    *descriptor = (int)number;
    return 0;
}

/* 0: none, so that a request that names nothing has none. */
static int take_copy(int *copy_fd, const char *text, struct error *error)
{
    int descriptor = *copy_fd > 0 ? *copy_fd : -1;

    if (take_descriptor(&descriptor, "--config-fd", text, error) < 0)
        return -1;
    *copy_fd = descriptor;
    return 0;
}

const char *arguments_culprit(char **argv, char letter[3])
{
    if (optopt <= 0 || optopt > UCHAR_MAX || strncmp(argv[optind - 1], "--", 2) == 0)
        return argv[optind - 1];
    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = '\0';
    return letter;
}

static int refuse_unknown(char **argv, struct error *error)
{
    char letter[3];
    const char *name = arguments_culprit(argv, letter);
    struct nearest nearest;

    if (optopt > 0 && name != letter)
        return refuse(error, name, "takes no value");
    if (name == letter)
        return refuse(error, name, "unknown option");
    nearest_start(&nearest, name + strlen("--"));
    for (const struct option *option = long_options; option->name; option++)
        nearest_try(&nearest, option->name);
    if (!nearest.best)
        return refuse(error, name, "unknown option");
    return error_set(error, EXIT_COMMAND_LINE, "command line", name,
                     "unknown option; did you mean --%s? see rpd --help", nearest.best);
}

static int refuse_missing(char **argv, struct error *error)
{
    char letter[3];

    return refuse(error, arguments_culprit(argv, letter), "needs a value");
}

/* A runner is given its own first; what follows is its keeper's command line. */
static int take_channel(struct arguments *arguments, int *descriptor, const char *option,
                        struct error *error)
{
    const bool is_keepers = arguments->runner_fd >= 0 &&
                            (*descriptor >= 0 || descriptor == &arguments->notify_fd);

    return is_keepers ? 0 : take_descriptor(descriptor, option, optarg, error);
}

static int take(struct arguments *arguments, int option, char **argv, struct error *error)
{
    struct config_request *request = &arguments->request;

    switch (option) {
    case NOT_AN_OPTION: return take_plugin(arguments, optarg, error);
    case 'c': return take_once(&request->file, optarg, "-c", error);
    case 'n': return take_once(&request->name, optarg, "-n", error);
    case 'l': request->listen[request->listen_count++] = optarg; return 0;
    case 'o': request->options[request->option_count++] = optarg; return 0;
    case RELATIVE_TO: return take_base(&request->base, optarg, error);
    case 't': return take_mode(arguments, ARGUMENTS_TEST, error);
    case PRINT_CONFIG: return take_mode(arguments, ARGUMENTS_PRINT_CONFIG, error);
    case PRINT_SCHEMA: return take_mode(arguments, ARGUMENTS_PRINT_SCHEMA, error);
    case NOTIFY_FD: return take_channel(arguments, &arguments->notify_fd, "--notify-fd", error);
    case START_FD: return take_channel(arguments, &arguments->start_fd, "--start-fd", error);
    case RUNNER_FD: return take_descriptor(&arguments->runner_fd, "--runner-fd", optarg, error);
    case CONFIG_FD: return take_copy(&request->copy_fd, optarg, error);
    case LOG_FILE: return take_once(&arguments->log_file, optarg, "--log-file", error);
    case KEEPER: arguments->is_kept = true; return 0;
    case ':': return refuse_missing(argv, error);
    default: return refuse_unknown(argv, error);
    }
}

static int parse(struct arguments *arguments, int argc, char **argv, struct error *error)
{
    int option;

    while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (option == HELP || option == VERSION) {
            arguments->mode = option == HELP ? ARGUMENTS_HELP : ARGUMENTS_VERSION;
            return 0;
        }
        if (take(arguments, option, argv, error) < 0)
            return -1;
    }
    for (; optind < argc; optind++) /* behind "--" */
        if (take_plugin(arguments, argv[optind], error) < 0)
            return -1;
    return 0;
}

int arguments_parse(struct arguments *arguments, int argc, char **argv, struct error *error)
{
    size_t room = (size_t)argc + 1;

    memset(arguments, 0, sizeof *arguments);
    arguments->notify_fd = arguments->start_fd = arguments->runner_fd = -1;
    arguments->argv = argv;
    arguments->request.listen = calloc(room, sizeof(char *));
    arguments->request.options = calloc(room, sizeof(char *));
    if (!arguments->request.listen || !arguments->request.options)
        return error_set(error, EXIT_SYSTEM, "command line", "rpd", "out of memory");
    opterr = 0;
    optind = 0; /* start anew, also in a test that was here before */
    return parse(arguments, argc, argv, error);
}

void arguments_finish(struct arguments *arguments)
{
    free(arguments->request.listen);
    free(arguments->request.options);
    memset(arguments, 0, sizeof *arguments);
}
