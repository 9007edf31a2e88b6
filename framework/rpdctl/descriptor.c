/* Reads a plugin's descriptor. See rpdctl/descriptor.h.
 *
 *   rpdctl ── fork ──► the reader: inspect, open, check, write JSON to a pipe
 *      └── reads the pipe until it ends, or for so long; then waits for the reader */
#include "rpdctl/descriptor.h"

#include "base/clock.h"
#include "base/words.h"
#include "library/libevent.h"
#include "library/libjansson.h"
#include "plugin/names.h"
#include "plugin/option_read.h"
#include "plugin/option_table.h"
#include "plugin/plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_MS = 10000, TEXT_MAX_SIZE = 1 << 20 };

static const char STEP[] = "describe";

/* ---- the reader: from a descriptor to JSON ------------------------------------------ */

/* Bytes that are not UTF-8 are no text for users. */
static json_t *text(const char *value)
{
    json_t *result = value ? json_string(value) : json_pack("n");

    return result ? result : json_string("(not UTF-8)");
}

static json_t *number(double value)
{
    return isfinite(value) ? json_pack("f", value) : json_pack("n");
}

static json_t *hex(const char *bytes, size_t size)
{
    char *digits = calloc(size + 1, 2);
    json_t *result;

    for (size_t i = 0; digits && i < size; i++)
        snprintf(digits + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    result = json_string(digits ? digits : "");
    free(digits);
    return result;
}

static json_t *option_object(const struct rpd_option *row)
{
    json_t *object = json_pack("{so so}", "name", text(row->name), "meaning", text(row->meaning));

    switch (row->type) {
    case RPD_OPTION_STRING_TYPE:
        json_object_set_new(object, "type", json_string("string"));
        json_object_set_new(object, "default", text(row->string_default));
        break;
    case RPD_OPTION_SECRET_TYPE:
        json_object_set_new(object, "type", json_string("secret"));
        json_object_set_new(object, "default", json_pack("n"));
        break;
    case RPD_OPTION_INTEGER_TYPE:
        json_object_set_new(object, "type", json_string("integer"));
        json_object_set_new(object, "default", json_integer(row->integer_default));
        break;
    case RPD_OPTION_NUMBER_TYPE:
        json_object_set_new(object, "type", json_string("number"));
        json_object_set_new(object, "default", number(row->default_value));
        break;
    default:
        json_object_set_new(object, "type", json_string("boolean"));
        json_object_set_new(object, "default", json_pack("b", row->default_value != 0));
    }
    if (row->type == RPD_OPTION_INTEGER_TYPE || row->type == RPD_OPTION_NUMBER_TYPE) {
        json_object_set_new(object, "min", number(row->min));
        json_object_set_new(object, "max", number(row->max));
    }
    return object;
}

static json_t *choices_array(const char *choices)
{
    json_t *array = json_array();
    const char *word;

    for (size_t at = 0, length; (length = option_choice_at(choices, at, &word)) > 0; at++)
        json_array_append_new(array, json_pack("s%", word, length));
    return array;
}

/* Adds what the second table says about the option, and nothing else. */
static void add_detail(json_t *object, const struct option_detail *detail)
{
    static const struct {
        enum rpd_option_flag flag;
        const char *name;
    } flags[] = {{RPD_OPTION_IS_REQUIRED, "required"},
                 {RPD_OPTION_IS_LIST, "list"},
                 {RPD_OPTION_IS_PATH, "path"},
                 {RPD_OPTION_IS_SECRET, "secret"}};

    if (detail->unit != RPD_UNIT_NONE)
        json_object_set_new(object, "unit", json_string(option_unit_name(detail->unit)));
    if (detail->choices)
        json_object_set_new(object, "choices", choices_array(detail->choices));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (detail->flags & flags[i].flag)
            json_object_set_new(object, flags[i].name, json_true());
}

static json_t *options_array(const struct option_tables *tables)
{
    json_t *array = json_array();

    for (const struct rpd_option *row = tables->options; row && row->type != RPD_OPTION_END;
         row++) {
        const struct option_detail detail = option_detail_of(tables->details, row->name);
        json_t *object = option_object(row);

        add_detail(object, &detail);
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *callbacks_array(const struct plugin *plugin)
{
    const struct rpd_backend *backend = &plugin->backend;
    const struct {
        const char *name;
        bool is_there;
    } all[] = {
        {"bind", plugin->bind},          {"serve", backend->serve},
        {"load", backend->load},         {"unload", backend->unload},
        {"on_ready", backend->on_ready}, {"on_connect", backend->on_connect},
        {"on_data", backend->on_data},   {"on_writable", backend->on_writable},
        {"on_close", backend->on_close}, {"on_drain", backend->on_drain},
        {"stop", backend->stop},         {"on_busy", backend->on_busy},
        {"claim", backend->claim},       {"on_part", backend->on_part},
    };
    json_t *array = json_array();

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].is_there)
            json_array_append_new(array, json_string(all[i].name));
    return array;
}

static json_t *probe_object(const struct rpd_probe *probe)
{
    if (!probe->request || probe->request_size == 0)
        return json_pack("n");
    return json_pack("{so so}", "request", hex(probe->request, probe->request_size), "reply_begins",
                     hex(probe->reply_begins, probe->reply_begins ? probe->reply_size : 0));
}

/* A name may come more than once. */
static void add_taken(void *arg, const char *name, const char *object)
{
    json_object_set_new(json_object_get(arg, "taken_names"), name, text(object));
}

static void add_shared(void *arg, const char *name)
{
    json_object_set_new(json_object_get(arg, "shared_names"), name, json_true());
}

static void add_names(json_t *object, const struct plugin *plugin)
{
    json_object_set_new(object, "borrowed_library", text(plugin->borrowed));
    json_object_set_new(object, "taken_names", json_object());
    json_object_set_new(object, "shared_names", json_object());
    plugin_names_find(plugin, &(const struct plugin_names){add_taken, add_shared, object});
}

static json_t *plugin_object(const struct plugin *plugin, uint64_t opened_us)
{
    const struct rpd_backend *backend = &plugin->backend;
    const struct option_tables tables = {backend->options, backend->option_details};

    return json_pack("{so so so so si sb ss sb so so so sI sI}", "file", text(plugin->path), "name",
                     text(backend->name), "summary", text(backend->summary), "version",
                     text(backend->version), "abi", (int)backend->abi, "own_bind",
                     plugin->bind != NULL, "warmup", word_of_warmup(backend->warmup),
                     "serves_without_state", backend->serves_without_state, "callbacks",
                     callbacks_array(plugin), "options", options_array(&tables), "probe",
                     probe_object(&backend->probe), "opened_us", (json_int_t)opened_us,
                     "idle_exit_s", (json_int_t)backend->idle_exit_s);
}

static json_t *read_plugin(const char *name, struct error *error)
{
    const struct plugin_search search = {.base = "."};
    struct plugin plugin = {.fd = -1};
    uint64_t started_us;
    json_t *object;

    if (plugin_inspect(&plugin, name, &search, error) < 0 || libevent_load(error) < 0)
        return NULL;
    started_us = clock_us();
    if (plugin_load(&plugin, NULL, error) < 0 ||
        option_table_check(plugin.backend.options, plugin.path, error) < 0 ||
        option_details_check(
            &(struct option_tables){plugin.backend.options, plugin.backend.option_details},
            plugin.path, error) < 0)
        return NULL;
    object = plugin_object(&plugin, clock_us() - started_us);
    if (object)
        add_names(object, &plugin);
    else
        error_set(error, EXIT_SYSTEM, STEP, name, "out of memory");
    return object;
}

/* Ends the process without the plugin's destructors and exit handlers. */
static void be_the_reader(const char *plugin, int to)
{
    struct error error;
    json_t *object;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* what the plugin prints is not part of the answer */
    object = read_plugin(plugin, &error);
    if (!object)
        object = json_pack("{si so}", "error_code", (int)error.code, "error", text(error.text));
    FILE *stream = fdopen(to, "w");
    if (!stream || json_dumpf(object, stream, JSON_COMPACT) < 0 || fflush(stream) != 0)
        _exit(EXIT_SYSTEM);
    _exit(0);
}

/* ---- the other side ----------------------------------------------------------------- */

/* Reads all bytes until the end. NULL at the limit. */
static char *read_answer(int from, size_t *ret_size)
{
    const uint64_t end_us = clock_us() + LIMIT_MS * UINT64_C(1000);
    char *answer = malloc(TEXT_MAX_SIZE);

    for (*ret_size = 0; answer && *ret_size < TEXT_MAX_SIZE;) {
        struct pollfd input = {.fd = from, .events = POLLIN};
        const uint64_t now_us = clock_us();
        const int left_ms = now_us < end_us ? (int)((end_us - now_us) / 1000) : 0;
        const int got = poll(&input, 1, left_ms);
        ssize_t size;

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        size = read(from, answer + *ret_size, TEXT_MAX_SIZE - *ret_size);
        if (size <= 0)
            return answer;
        *ret_size += (size_t)size;
    }
    free(answer);
    return NULL;
}

static void say_why_none(const char *plugin, int status, bool in_time, struct error *error)
{
    if (!in_time)
        error_set(error, EXIT_CONTRACT, STEP, plugin,
                  "its code was not loaded within %d s; a constructor must do next to nothing, "
                  "move the work to load",
                  LIMIT_MS / 1000);
    else if (WIFSIGNALED(status))
        error_set(error, EXIT_PLUGIN, STEP, plugin,
                  "it crashed while it was loaded (SIG%s); look at its constructors",
                  sigabbrev_np(WTERMSIG(status)));
    else
        error_set(error, EXIT_PLUGIN, STEP, plugin,
                  "it ended the process while it was loaded (exit code %d); look at its "
                  "constructors",
                  WEXITSTATUS(status));
}

/* The reader's object, or the error that it reports. */
static json_t *parse(const char *plugin, const char *answer, size_t size, int status,
                     struct error *error)
{
    json_t *object = answer ? json_loadb(answer, size, 0, NULL) : NULL;

    if (!object) {
        say_why_none(plugin, status, answer != NULL, error);
        return NULL;
    }
    if (!json_object_get(object, "error"))
        return object;
    error->code = (enum exit_code)json_integer_value(json_object_get(object, "error_code"));
    snprintf(error->text, sizeof error->text, "%s", descriptor_text(object, "error"));
    json_decref(object);
    return NULL;
}

json_t *descriptor_read(const char *plugin, struct error *error)
{
    int ends[2], status = 0;
    json_t *object;
    char *answer;
    size_t size;
    pid_t reader;

    fflush(stdout); /* otherwise the reader would have this output, too */
    if (pipe2(ends, O_CLOEXEC) < 0 || (reader = fork()) < 0) {
        error_set(error, EXIT_SYSTEM, STEP, plugin, "cannot start a process: %s", strerror(errno));
        return NULL;
    }
    if (reader == 0)
        be_the_reader(plugin, ends[1]);
    close(ends[1]);
    answer = read_answer(ends[0], &size);
    close(ends[0]);
    if (!answer)
        kill(reader, SIGKILL);
    while (waitpid(reader, &status, 0) < 0 && errno == EINTR)
        continue;
    object = parse(plugin, answer, size, status, error);
    free(answer);
    return object;
}

const char *descriptor_text(const json_t *object, const char *member)
{
    const char *value = json_string_value(json_object_get(object, member));

    return value ? value : "";
}

bool descriptor_has(const json_t *object, const char *callback)
{
    const json_t *callbacks = json_object_get(object, "callbacks");

    for (size_t i = 0; i < json_array_size(callbacks); i++)
        if (strcmp(json_string_value(json_array_get(callbacks, i)), callback) == 0)
            return true;
    return false;
}
