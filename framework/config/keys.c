/* The configuration keys. To add one, add its row; see config/keys.h. */
#include "config/keys.h"

#include "base/words.h"
#include "library/libjansson.h"

#include <string.h>

enum { NAME_LENGTH_MAX = 63 };

const char config_name_expected[] = "1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit";

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const notify_moments[] = {"bound", "ready", NULL};
static const char *const load_failures[] = {"exit", "retry", "degraded", NULL};
static const char *const crash_loops[] = {"exit", "wait", NULL};
static const char *const seals[] = {"enforce", "log", "off", NULL};

bool config_name_is_valid(const char *name)
{
    const char *letters = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t length = strspn(name, letters);

    return length > 0 && length <= NAME_LENGTH_MAX && name[length] == '\0' && name[0] != '_' &&
           name[0] != '-';
}

/* Permission bits only: set-id and sticky bits mean nothing on a socket. */
static bool is_mode(const char *text)
{
    if (*text == '0' && strlen(text) == 4)
        text++;
    return strlen(text) == 3 && strspn(text, "01234567") == 3;
}

/* clang-format off */
const struct config_key config_keys[] = {
    {.path = "", .types = CONFIG_OBJECT,
     .meaning = "Configuration of rpd."},
    {.path = "workers", .types = CONFIG_INTEGER, .preset = "4", .min = 1, .max = 256,
     .meaning = "Threads that load state, and as many that run jobs. Unless this is set, no more "
                "load at once than there are processors, so that clients are answered."},
    {.path = "job_nice", .types = CONFIG_INTEGER, .preset = "5", .min = 0, .max = 19,
     .meaning = "How much lower than the loop's the priority of threads that run jobs is. 0: on a "
                "busy machine jobs are not slowed, and clients of the loop may wait for them."},
    {.path = "load_nice", .types = CONFIG_INTEGER, .preset = "5", .min = 0, .max = 19,
     .meaning = "The same of threads that load."},
    {.path = "plugin_dirs", .types = CONFIG_ARRAY, .preset = "[]",
     .meaning = "Directories in which a plugin named without a slash is looked up first. "
                "Relative ones are relative to this file."},
    {.path = "plugin_dirs[]", .types = CONFIG_STRING, .min_size = 1,
     .meaning = "A directory."},
    {.path = "log", .effect = EFFECT_LIVE, .types = CONFIG_OBJECT,
     .meaning = "What is written to standard error, and how."},
    {.path = "log.level", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .preset = "\"info\"", .choices = log_levels,
     .meaning = "The least important lines that are still written."},
    {.path = "log.format", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .preset = "\"text\"", .choices = log_formats,
     .meaning = "Plain lines, or one JSON object a line."},
    {.path = "log.limit", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .preset = "10", .min = 0, .max = 1000000,
     .meaning = "Lines of one cause a second, after as many at once as come in five: a cause is a "
                "service and what its line says, without what is filled in. What is beyond is "
                "counted, and the count is written. 0: no limit."},
    {.path = "log.file", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .min_size = 1,
     .meaning = "The file to which rpdctl ensure appends standard output and error of the daemon "
                "that it starts, relative to this file; none: they go nowhere. Only ensure uses "
                "it; an rpd in the foreground writes to its own. Default: "
                "$XDG_STATE_HOME/rpd/NAME.log, else ~/.local/state/rpd/NAME.log."},
    {.path = "log.to", .effect = EFFECT_RESTART, .types = CONFIG_STRING, .min_size = 1,
     .meaning = "Where the log goes: \"stderr\"; \"journal\", by its native protocol; or a file, "
                "relative to this one, which is opened anew on SIGUSR1 and when it was renamed. "
                "Default: the journal where stderr is the journal's ($JOURNAL_STREAM), else "
                "stderr."},
    {.path = "notify", .effect = EFFECT_RESTART, .types = CONFIG_STRING, .preset = "\"bound\"", .choices = notify_moments,
     .meaning = "When the service manager is notified that the start is complete: once clients can "
                "connect, or once all state is loaded."},
    {.path = "endpoint_deadline_ms", .types = CONFIG_INTEGER, .unit = UNIT_MILLISECONDS, .preset = "500",
     .min = 10, .max = 600000,
     .meaning = "Milliseconds from the start in which every endpoint must be up."},
    {.path = "code_deadline_ms", .types = CONFIG_INTEGER, .unit = UNIT_MILLISECONDS, .preset = "5000",
     .min = 10, .max = 600000,
     .meaning = "Milliseconds in which the code of a plugin must be loaded."},
    {.path = "drain_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "10", .min = 0, .max = 86400,
     .meaning = "Seconds that requests in flight have to finish when rpd is asked to stop."},
    {.path = "stall_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "10", .min = 0, .max = 86400,
     .meaning = "Seconds that the event loop may stand still in one callback. Then the process is "
                "ended, with a line that names the service and the code. 0: never."},
    {.path = "slow_ms", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_MILLISECONDS, .preset = "100", .min = 0, .max = 600000,
     .meaning = "Milliseconds from which on a callback on the event loop is reported as slow, in the "
                "log, the metrics and the status, with the code that it was in. 0: none is."},
    {.path = "trial_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "10", .min = 0, .max = 86400,
     .meaning = "With a keeper, seconds after a reload for which the generation before stays as it "
                "is, and accepts again at once if the new one crashes. 0: not."},
    {.path = "keeper", .effect = EFFECT_RESTART, .types = CONFIG_BOOLEAN, .preset = "false",
     .meaning = "Whether a process that runs no plugin's code stays when that code crashes: it has "
                "the endpoints, holds clients meanwhile and starts the code again."},
    {.path = "on_crash_loop", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .preset = "\"exit\"",
     .choices = crash_loops,
     .meaning = "With a keeper, what it does when crashes in a row before the state is loaded have "
                "brought the pause between two starts to 60 s: it ends (70), or waits and goes on."},
    {.path = "services", .types = CONFIG_ARRAY, .preset = "[]",
     .meaning = "The services of this process. At least one, here or on the command line."},
    {.path = "services[]", .types = CONFIG_OBJECT,
     .meaning = "One instance of a backend."},
    {.path = "services[].name", .types = CONFIG_STRING, .fits = config_name_is_valid,
     .pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", .expected = config_name_expected,
     .meaning = "Unique for this user. Default: the backend's name."},
    {.path = "services[].plugin", .types = CONFIG_STRING, .required = true, .min_size = 1,
     .meaning = "The plugin's file. Without a slash it is looked up in the plugin directories; "
                "a relative path is relative to this file."},
    {.path = "services[].listen", .types = CONFIG_ARRAY, .min_size = 1,
     .meaning = "Where clients connect. Default: unix:NAME.sock in the run-time directory."},
    {.path = "services[].listen[]", .types = CONFIG_STRING | CONFIG_OBJECT, .min_size = 1,
     .meaning = "An endpoint: its text alone, or an object with more about it."},
    {.path = "services[].listen[].endpoint", .types = CONFIG_STRING, .required = true,
     .min_size = 1,
     .meaning = "unix:/path, unix:name (in the run-time directory), unix:@abstract or "
                "tcp:host:port (localhost: 127.0.0.1 and, where the machine has it, ::1)."},
    {.path = "services[].listen[].backlog", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .preset = "4096",
     .min = 1, .max = 65535,
     .meaning = "Connections that may wait to be accepted."},
    {.path = "services[].listen[].mode", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .preset = "\"0600\"",
     .of = OF_UNIX_PATH, .fits = is_mode, .pattern = "^0?[0-7]{3}$",
     .expected = "permission bits in octal such as \"0660\"",
     .meaning = "Permission bits of the socket file, in octal. Only for a unix path."},
    {.path = "services[].listen[].group", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .of = OF_UNIX_PATH,
     .min_size = 1,
     .meaning = "Group of the socket file. Only for a unix path. Default: the process's."},
    {.path = "services[].listen[].freebind", .types = CONFIG_BOOLEAN, .preset = "false",
     .of = OF_TCP,
     .meaning = "Bind an address that the machine does not have yet, as before its network is up. "
                "Only for TCP."},
    {.path = "services[].warmup", .types = CONFIG_STRING, .choices = words_of_warmup,
     .meaning = "What clients get until the state is loaded: held and answered then, served without "
                "it, refused with the backend's busy answer, or left in the kernel's queue. "
                "Default: what the backend declares, else hold."},
    {.path = "services[].on_load_failure", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .preset = "\"exit\"",
     .choices = load_failures,
     .meaning = "When the state cannot be loaded: end the process, try again, or serve without it."},
    {.path = "services[].log_level", .effect = EFFECT_LIVE, .types = CONFIG_STRING, .choices = log_levels,
     .meaning = "What of the service's log is written; rpdctl log NAME --level changes it while it "
                "runs. Default: log.level."},
    {.path = "services[].no_progress_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "300",
     .min = 0, .max = 86400,
     .meaning = "Seconds without progress after which a load counts as failed. 0: never."},
    {.path = "services[].idle_exit_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .min = 0,
     .max = 31536000,
     .meaning = "Seconds without a client after which rpd stops; once that is so for all its "
                "services. 0: never. Default: what the backend declares, else 0."},
    {.path = "services[].seal", .types = CONFIG_STRING, .preset = "\"enforce\"", .choices = seals,
     .meaning = "Whether the kernel keeps a backend's own bind from anything but making sockets: a "
                "call beyond that ends the start, is only logged, or is not looked for."},
    {.path = "services[].limits", .effect = EFFECT_LIVE, .types = CONFIG_OBJECT,
     .meaning = "What clients may take."},
    {.path = "services[].limits.clients", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .preset = "0",
     .min = 0, .max = 1000000,
     .meaning = "Clients at a time. More wait in the kernel's queue until one leaves. 0: as many as "
                "there are descriptors."},
    {.path = "services[].limits.clients_per_peer", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .preset = "0",
     .min = 0, .max = 1000000,
     .meaning = "Clients at a time of one user (unix) or one address (tcp). More are refused. 0: no "
                "limit."},
    {.path = "services[].limits.first_byte_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "0",
     .min = 0, .max = 86400,
     .meaning = "Seconds that a client may be connected, and served, before it sends anything. 0: "
                "for ever."},
    {.path = "services[].limits.request_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "10",
     .min = 0, .max = 86400,
     .meaning = "Seconds in which a request that has begun must be complete, or as much more of it "
                "must come as progress_bytes_per_s asks of that time. 0: for ever."},
    {.path = "services[].limits.idle_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "0",
     .min = 0, .max = 31536000,
     .meaning = "Seconds that a client may be silent between requests. 0: for ever."},
    {.path = "services[].limits.write_stall_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "60",
     .min = 1, .max = 86400,
     .meaning = "Seconds in which a client must take at least a byte of what waits for it, and "
                "after the first ten as much as progress_bytes_per_s asks of that time."},
    {.path = "services[].limits.progress_bytes_per_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_BYTES, .preset = "1024",
     .min = 1, .max = 1073741824,
     .meaning = "Bytes a second that count as progress: a client that sends a request or takes "
                "output more slowly is closed by request_s or write_stall_s."},
    {.path = "services[].limits.keepalive_s", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_SECONDS, .preset = "60",
     .min = 0, .max = 32767,
     .meaning = "Seconds of silence after which the kernel asks a TCP client whether it is still "
                "there: four times, a quarter of that time apart. A client that does not answer, "
                "or does not acknowledge output for as long as all of that takes, is gone. 0: "
                "never asks."},
    {.path = "services[].limits.output_bytes", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_BYTES, .preset = "16777216",
     .min = 65536, .max = 1073741824,
     .meaning = "Bytes that may wait for one client to read them; with more it is closed."},
    {.path = "services[].limits.input_bytes", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_BYTES, .preset = "67108864",
     .min = 1024, .max = 1073741824,
     .meaning = "Bytes of a request that is not complete; with more the client is closed."},
    {.path = "services[].limits.buffer_bytes", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_BYTES, .preset = "268435456",
     .min = 0, .max = 2147483647,
     .meaning = "Bytes of memory that all clients together may take for requests that are not "
                "complete and for output that waits. In the last eighth of it clients with more "
                "than their share are not read; with more the client that holds most is closed. "
                "0: no limit."},
    {.path = "services[].limits.buffer_bytes_per_peer", .effect = EFFECT_LIVE, .types = CONFIG_INTEGER, .unit = UNIT_BYTES, .preset = "0",
     .min = 0, .max = 2147483647,
     .meaning = "Likewise for all clients of one user (unix) or one address (tcp). 0: no limit."},
    {.path = "services[].options", .types = CONFIG_OBJECT, .preset = "{}",
     .meaning = "The backend's own options: see its documentation."},
    {.path = "services[].options.*",
     .types = CONFIG_STRING | CONFIG_INTEGER | CONFIG_NUMBER | CONFIG_BOOLEAN | CONFIG_ARRAY,
     .meaning = "An option of the backend: rpdctl describe lists them, with what they take."},
    {.path = "services[].options.*[]", .types = CONFIG_STRING,
     .meaning = "An item, of an option that is a list."},
};
/* clang-format on */
const size_t config_key_count = sizeof config_keys / sizeof config_keys[0];

const struct config_key *config_key_at(const char *path)
{
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].path, path) == 0)
            return &config_keys[i];
    return NULL;
}

const char *config_key_name_below(const struct config_key *key, const struct config_key *parent)
{
    size_t length = strlen(parent->path);
    const char *name = key->path + length;

    if (key == parent || strncmp(key->path, parent->path, length) != 0)
        return NULL;
    if (length > 0 && *name++ != '.')
        return NULL;
    return *name && !strpbrk(name, ".[") ? name : NULL;
}

const struct config_key *config_key_member(const struct config_key *parent, const char *name)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const char *known = config_key_name_below(&config_keys[i], parent);

        if (known && (strcmp(known, name) == 0 || strcmp(known, "*") == 0))
            return &config_keys[i];
    }
    return NULL;
}

const struct config_key *config_key_element(const struct config_key *array)
{
    size_t length = strlen(array->path);

    for (size_t i = 0; i < config_key_count; i++)
        if (strncmp(config_keys[i].path, array->path, length) == 0 &&
            strcmp(config_keys[i].path + length, "[]") == 0)
            return &config_keys[i];
    return NULL;
}

const char *config_effect_word(enum config_effect effect)
{
    static const char *const words[] = {
        [EFFECT_GENERATION] = "generation", [EFFECT_LIVE] = "live", [EFFECT_RESTART] = "restart"};

    return words[effect];
}

json_t *config_key_preset(const struct config_key *key)
{
    return key->preset ? json_loads(key->preset, JSON_DECODE_ANY, NULL) : NULL;
}

bool config_key_is_users(const char *name)
{
    return name[0] == 'x' && name[1] == '-';
}

int config_key_choice(const struct config_key *key, const char *string)
{
    int at = 0;

    while (key->choices[at] && strcmp(key->choices[at], string) != 0)
        at++;
    return at;
}

bool config_is_unix_path(const char *endpoint)
{
    return strncmp(endpoint, "unix:", 5) == 0 && endpoint[5] != '@';
}

bool config_key_is_of(const struct config_key *key, const char *endpoint)
{
    switch (key->of) {
    case OF_UNIX_PATH: return endpoint && config_is_unix_path(endpoint);
    case OF_TCP: return endpoint && strncmp(endpoint, "tcp:", 4) == 0;
    case OF_ANY_ENDPOINT: break;
    }
    return true;
}

static int64_t per_unit(const struct config_key *key)
{
    switch (key->unit) {
    case UNIT_SECONDS: return 1000000;
    case UNIT_MILLISECONDS: return 1000;
    case UNIT_BYTES:
    case UNIT_NONE: break;
    }
    return 1;
}

enum quantity_kind config_key_kind(const struct config_key *key)
{
    return key->unit == UNIT_BYTES ? QUANTITY_BYTES : QUANTITY_TIME;
}

bool config_key_quantity(const struct config_key *key, const char *text, json_int_t *ret)
{
    int64_t quantity;

    if (key->unit == UNIT_NONE || !quantity_read(config_key_kind(key), text, &quantity) ||
        quantity % per_unit(key) != 0)
        return false;
    *ret = quantity / per_unit(key);
    return true;
}
