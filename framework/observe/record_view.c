/* Reading records. See record_view.h.
 *
 * A record is a flat JSON object that rpd wrote. What is read here is JSON, in
 * full, so that a newer rpd may add to it; of what it says only strings, numbers
 * and an array of strings are kept. Strings are decoded where they stand. */
#include "observe/record_view.h"

#include "observe/state_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_MAX = 64 * 1024, DEPTH_MAX = 8 };

/* ---- JSON ---------------------------------------------------------------------- */

/* The text ends in a NUL, which no token goes over. */
struct scan {
    char *at;
    int depth;
};

static void skip_space(struct scan *scan)
{
    scan->at += strspn(scan->at, " \t\r\n");
}

static bool take(struct scan *scan, char wanted)
{
    skip_space(scan);
    if (*scan->at != wanted)
        return false;
    scan->at++;
    return true;
}

static int hex4(const char *at)
{
    char digits[5] = "", *end;

    strncpy(digits, at, 4);
    if (strspn(digits, "0123456789abcdefABCDEF") != 4)
        return -1;
    return (int)strtol(digits, &end, 16);
}

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* What stands after \u; a second half of a pair, too. NULL: none. */
static char *take_code(struct scan *scan, char *to)
{
    const int first = hex4(scan->at);
    int second;

    if (first <= 0 || (first >= 0xdc00 && first < 0xe000))
        return NULL;
    scan->at += 4;
    if (first < 0xd800 || first >= 0xe000)
        return put_utf8(to, (unsigned)first);
    second = scan->at[0] == '\\' && scan->at[1] == 'u' ? hex4(scan->at + 2) : -1;
    if (second < 0xdc00 || second >= 0xe000)
        return NULL;
    scan->at += 6;
    return put_utf8(to,
                    0x10000u + ((unsigned)first - 0xd800u) * 0x400u + ((unsigned)second - 0xdc00u));
}

/* What stands after a backslash. */
static char *take_escape(struct scan *scan, char *to)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char letter = *scan->at;
    const char *known = letter ? strchr(letters, letter) : NULL;

    if (known) {
        scan->at++;
        *to = meanings[known - letters];
        return to + 1;
    }
    if (letter != 'u')
        return NULL;
    scan->at++;
    return take_code(scan, to);
}

/* Decoded, where it stands: it never grows. */
static const char *take_string(struct scan *scan)
{
    char *start, *to;

    if (!take(scan, '"'))
        return NULL;
    start = to = scan->at;
    while (*scan->at != '"') {
        const unsigned char byte = (unsigned char)*scan->at;

        if (byte < 0x20) /* the end, too */
            return NULL;
        scan->at++;
        if (byte != '\\')
            *to++ = (char)byte;
        else if (!(to = take_escape(scan, to)))
            return NULL;
    }
    scan->at++;
    *to = '\0';
    return start;
}

/* A number, true, false or null. */
static bool take_word(struct scan *scan, const char **ret_word, size_t *ret_size)
{
    skip_space(scan);
    *ret_word = scan->at;
    *ret_size = strspn(scan->at, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
    scan->at += *ret_size;
    return *ret_size > 0;
}

typedef bool take_value_fn(struct scan *scan, const char *key, void *arg);

/* An object's members or, with ']', an array's elements. */
static bool take_each(struct scan *scan, char end, take_value_fn *take_value, void *arg)
{
    bool taken = true;

    if (++scan->depth > DEPTH_MAX)
        return false;
    scan->at++; /* over the bracket */
    if (!take(scan, end)) {
        do {
            const char *key = end == '}' ? take_string(scan) : NULL;

            taken = (end == ']' || (key && take(scan, ':'))) && take_value(scan, key, arg);
        } while (taken && take(scan, ','));
        taken = taken && take(scan, end);
    }
    scan->depth--;
    return taken;
}

static bool skip_value(struct scan *scan, const char *key, void *arg)
{
    const char *word;
    size_t size;

    (void)key;
    skip_space(scan);
    switch (*scan->at) {
    case '"': return take_string(scan) != NULL;
    case '{': return take_each(scan, '}', skip_value, arg);
    case '[': return take_each(scan, ']', skip_value, arg);
    default: return take_word(scan, &word, &size);
    }
}

/* ---- what a record says ------------------------------------------------------------ */

static bool take_endpoint(struct scan *scan, const char *key, void *arg)
{
    struct record_view *view = arg;
    const char *endpoint = take_string(scan);

    (void)key;
    if (endpoint && view->endpoint_count < RECORD_VIEW_ENDPOINTS)
        view->endpoints[view->endpoint_count++] = endpoint;
    return endpoint != NULL;
}

static const char **text_of(struct record_view *view, const char *key)
{
    const struct {
        const char *key, **value;
    } texts[] = {
        {"service", &view->service}, {"boot_id", &view->boot_id},
        {"plugin", &view->plugin},   {"config", &view->config},
        {"control", &view->control}, {"config_digest", &view->config_digest},
        {"log", &view->log},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(key, texts[i].key) == 0)
            return texts[i].value;
    return NULL;
}

static bool take_number(struct scan *scan, const char *key, struct record_view *view)
{
    const char *word;
    size_t size;

    if (!take_word(scan, &word, &size))
        return false;
    if (strcmp(key, "pid") == 0)
        view->pid = strtoll(word, NULL, 10);
    if (strcmp(key, "start_time") == 0)
        view->start_time = strtoull(word, NULL, 10);
    return true;
}

static bool take_member(struct scan *scan, const char *key, void *arg)
{
    struct record_view *view = arg;
    const char **text = text_of(view, key);

    skip_space(scan);
    if (*scan->at == '"' && text)
        return (*text = take_string(scan)) != NULL;
    if (*scan->at == '[' && strcmp(key, "endpoints") == 0)
        return take_each(scan, ']', take_endpoint, view);
    if (strchr("\"[{", *scan->at))
        return skip_value(scan, key, NULL);
    return take_number(scan, key, view);
}

int record_view_parse(const char *text, size_t size, struct record_view *ret)
{
    struct scan scan = {0};

    *ret = (struct record_view){.text = malloc(size + 1)};
    if (!ret->text)
        return -1;
    memcpy(ret->text, text, size);
    ret->text[size] = '\0';
    scan.at = ret->text;
    skip_space(&scan);
    if (*scan.at == '{' && take_each(&scan, '}', take_member, ret)) {
        skip_space(&scan);
        if (scan.at == ret->text + size && ret->pid > 0)
            return 0;
    }
    record_view_finish(ret);
    errno = EPROTO;
    return -1;
}

int record_view_read(int runtime_dirfd, const char *service, struct record_view *ret)
{
    char *text = NULL;
    ssize_t size = -1;
    int fd, cause, failed = -1;

    *ret = (struct record_view){0};
    fd = state_view_open(runtime_dirfd, service, ".json");
    if (fd < 0)
        return -1;
    text = malloc(RECORD_MAX);
    if (text)
        size = read(fd, text, RECORD_MAX);
    if (size >= 0)
        failed = record_view_parse(text, (size_t)size, ret);
    cause = errno;
    free(text);
    close(fd);
    errno = cause;
    return failed;
}

void record_view_finish(struct record_view *view)
{
    free(view->text);
    *view = (struct record_view){0};
}
