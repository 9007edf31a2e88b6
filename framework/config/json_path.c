/* Writes a JSON path as text. See json_path.h. */
#include "config/json_path.h"

#include "base/safe_text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { KEY_SHOWN_MAX = 72 };

static bool is_plain(const char *key)
{
    const char *at = key;

    while (isalnum((unsigned char)*at) || *at == '_' || *at == '-')
        at++;
    return *at == '\0' && at > key && at - key < KEY_SHOWN_MAX;
}

/* Writes one byte as JSON would; of a control character, its last. Returns the length,
 * at most 6. */
static size_t escape(unsigned char byte, bool is_control, char escaped[8])
{
    if (is_control)
        return (size_t)snprintf(escaped, 8, "\\u%04x", byte);
    if (byte == '"' || byte == '\\')
        return (size_t)snprintf(escaped, 8, "\\%c", byte);
    escaped[0] = (char)byte;
    return 1;
}

const char *json_quote(const char *string, char *text, size_t size)
{
    const size_t tail = sizeof "...\""; /* what must always fit behind */
    const char *at = string;
    size_t used = 1;

    text[0] = '"';
    while (*at) {
        char escaped[8];
        bool is_control;
        /* A character is shown whole or not at all. */
        const size_t length = safe_text_character(at, &is_control);
        const bool is_plain_text = length > 1 && !is_control;
        const size_t written = is_plain_text
                                   ? length
                                   : escape((unsigned char)at[length - 1], is_control, escaped);

        if (used + written + tail > size)
            break;
        memcpy(text + used, is_plain_text ? at : escaped, written);
        used += written;
        at += length;
    }
    snprintf(text + used, size - used, *at ? "...\"" : "\"");
    return text;
}

static void write_step(const struct json_path *step, char *text, size_t size)
{
    char quoted[KEY_SHOWN_MAX];

    if (!step->key)
        snprintf(text, size, "[%zu]", step->index);
    else if (is_plain(step->key))
        snprintf(text, size, ".%s", step->key);
    else
        snprintf(text, size, "[%s]", json_quote(step->key, quoted, sizeof quoted));
}

/* Recursion is as deep as the table of keys, not as the document. */
static size_t write_path(const struct json_path *path, char *text, size_t size)
{
    size_t used;

    if (!path || !path->up)
        return (size_t)snprintf(text, size, "$");
    used = write_path(path->up, text, size);
    write_step(path, text + used, size - used);
    return used + strlen(text + used);
}

const char *json_path_text(const struct json_path *path, char text[JSON_PATH_TEXT_MAX])
{
    write_path(path, text, JSON_PATH_TEXT_MAX);
    return text;
}
