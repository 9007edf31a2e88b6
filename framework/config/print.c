/* --print-config: one line a key, with its value and where that was said. */
#include "config/config.h"

#include "config/keys.h"
#include "config/secret_name.h"
#include "config/source.h"
#include "library/libjansson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN_MAX = 60 }; /* longer lines stand out, others stay readable */

struct line {
    char *text; /* "path = value" */
    char *origin;
};

struct printer {
    const struct config_source *source;
    struct line *lines;
    size_t count;
    size_t room;
    size_t service; /* the one being printed */
};

/* A value, and what is known of where it is from. */
struct item {
    const struct config_key *key;
    const struct json_path *path;
    const json_t *value;     /* NULL: not given */
    struct json_place place; /* in the file; without .at it is not there */
    bool is_command;         /* from the command line */
};

static char *string_text(const char *string)
{
    size_t size = strlen(string) * 6 + sizeof "\"...\"" + 1; /* as if all were escaped */
    char *text = malloc(size);

    if (text)
        json_quote(string, text, size);
    return text;
}

static bool is_secret(const struct item *item)
{
    const bool is_item = item->key == config_key_at("services[].options.*[]");
    const struct json_path *path = is_item ? item->path->up : item->path;
    const char *name = path ? path->key : NULL;

    if (!name || (item->key != config_key_at("services[].options.*") && !is_item) || !item->value)
        return false;
    return config_name_is_secret(name);
}

static char *value_text(const struct item *item)
{
    if (is_secret(item))
        return strdup("\"(secret)\"");
    if (json_is_string(item->value))
        return string_text(json_string_value(item->value));
    if (item->value)
        return json_dumps(item->value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (item->key->preset)
        return strdup(item->key->preset);
    return strdup(item->key->types == CONFIG_ARRAY ? "[]" : "null");
}

static char *origin_text(const struct printer *printer, const struct item *item)
{
    if (!item->value)
        return strdup("default");
    if (item->is_command || !item->place.at)
        return strdup("command line");
    return config_file_origin(&printer->source->file, &item->place);
}

static bool make_room(struct printer *printer)
{
    size_t room = printer->room ? printer->room * 2 : 64;
    struct line *lines;

    if (printer->count < printer->room)
        return true;
    lines = realloc(printer->lines, room * sizeof *lines);
    if (!lines)
        return false;
    printer->lines = lines;
    printer->room = room;
    return true;
}

/* Lines for which there is no memory are omitted: this is a report. */
static void add_line(struct printer *printer, const struct item *item)
{
    char path[JSON_PATH_TEXT_MAX];
    char *value = value_text(item);
    struct line line = {NULL, origin_text(printer, item)};

    json_path_text(item->path, path);
    if (!make_room(printer) || !value || !line.origin ||
        asprintf(&line.text, "%s = %s", path + strlen("$."), value) < 0)
        free(line.origin);
    else
        printer->lines[printer->count++] = line;
    free(value);
}

static void print_item(struct printer *printer, const struct item *item);

/* Keys of the user's choice come in the order of the file, and behind them
 * those that only the command line has; so one walk along the text suffices. */
static void print_users_keys(struct printer *printer, const struct item *parent,
                             const struct config_key *key)
{
    struct json_place place = parent->place;
    const char *name;
    json_t *value;

    if (!place.at || !json_place_first(&place))
        place.at = NULL;
    json_object_foreach((json_t *)parent->value, name, value) {
        const struct json_path path = {parent->path, name, 0};
        const struct item item = {
            key, &path, value, place,
            config_source_is_command(printer->source, printer->service, "options", name)};

        if (!config_key_is_users(name))
            print_item(printer, &item);
        if (place.at && !json_place_next(&place))
            place.at = NULL;
    }
}

/* Where the member of an object stands. An endpoint may stand there alone, as
 * a string in place of its object. */
static struct json_place member_place(const struct item *parent, const char *name)
{
    struct json_place place = {NULL, NULL, 0, 0};
    struct json_place key;

    if (!parent->place.at)
        return place;
    if (*parent->place.at == '"')
        return parent->place;
    json_place_member(&parent->place, name, &key, &place);
    return place;
}

/* A line with the mode of a TCP endpoint would be wrong. */
static bool is_of_use(const struct config_key *key, const json_t *object)
{
    const char *endpoint = json_string_value(json_object_get(object, "endpoint"));

    return config_key_is_of(key, endpoint);
}

static void print_member(struct printer *printer, const struct item *parent,
                         const struct config_key *key, const char *name)
{
    const struct json_path path = {parent->path, name, 0};
    struct item item = {key, &path, json_object_get(parent->value, name),
                        member_place(parent, name), parent->is_command};

    if (parent->key == config_key_at("services[]"))
        item.is_command = config_source_is_command(printer->source, printer->service, name, NULL);
    if (is_of_use(key, parent->value))
        print_item(printer, &item);
}

static void print_members(struct printer *printer, const struct item *parent)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const char *name = config_key_name_below(&config_keys[i], parent->key);

        if (name && strcmp(name, "*") == 0)
            print_users_keys(printer, parent, &config_keys[i]);
        else if (name)
            print_member(printer, parent, &config_keys[i], name);
    }
}

static void print_elements(struct printer *printer, const struct item *parent)
{
    const struct config_key *key = config_key_element(parent->key);
    bool are_services = parent->key == config_key_at("services");
    struct json_place place = parent->place;
    size_t index;
    json_t *value;

    if (!place.at || !json_place_first(&place))
        place.at = NULL;
    json_array_foreach(parent->value, index, value) {
        const struct json_path path = {parent->path, NULL, index};
        const struct item item = {key, &path, value, place, parent->is_command};

        if (are_services)
            printer->service = index;
        print_item(printer, &item);
        if (place.at && !json_place_next(&place))
            place.at = NULL;
    }
}

/* An empty array or object is a line of its own; so is one that is not given,
 * but for objects whose keys have defaults. */
static void print_item(struct printer *printer, const struct item *item)
{
    if (json_array_size(item->value) > 0)
        print_elements(printer, item);
    else if (json_object_size(item->value) > 0 ||
             (item->key->types == CONFIG_OBJECT && !item->key->preset))
        print_members(printer, item);
    else
        add_line(printer, item);
}

static int alignment(const struct printer *printer)
{
    size_t widest = 0;

    for (size_t i = 0; i < printer->count; i++) {
        size_t width = strlen(printer->lines[i].text);

        if (width > widest && width <= ALIGN_MAX)
            widest = width;
    }
    return (int)widest;
}

void config_print(const struct config *config)
{
    const struct json_path path = {NULL, NULL, 0};
    struct item document = {
        config_key_at(""), &path, config->source->tree, {NULL, NULL, 0, 0}, false};
    struct printer printer = {config->source, NULL, 0, 0, 0};
    int width;

    if (config->source->file.text)
        json_place_start(&document.place, config->source->file.text, config->source->file.size);
    print_members(&printer, &document);
    width = alignment(&printer);
    for (size_t i = 0; i < printer.count; i++) {
        printf("%-*s   # %s\n", width, printer.lines[i].text, printer.lines[i].origin);
        free(printer.lines[i].text);
        free(printer.lines[i].origin);
    }
    free(printer.lines);
}
