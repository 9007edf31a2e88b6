/* The head of a request. See http_request.h. */
#include "http_request.h"

#include <string.h>
#include <strings.h>

/* What has been seen of a head. */
struct reading {
    struct http_request *request;
    unsigned headers, hosts;
    bool is_1_0, has_transfer_encoding, says_close, says_keep_alive;
};

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {204, "No Content"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {409, "Conflict"},
                   {411, "Length Required"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {417, "Expectation Failed"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Service Unavailable"},
                   {505, "HTTP Version Not Supported"},
                   {507, "Insufficient Storage"}};

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter_or_digit(char byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_token_byte(char byte)
{
    return is_letter_or_digit(byte) || (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

static bool is_path_byte(char byte)
{
    return is_letter_or_digit(byte) || (byte && strchr("-._~!$&'()*+,;=:@", byte));
}

static bool is_word(struct rpd_span span, const char *word)
{
    return span.size == strlen(word) && strncasecmp(span.data, word, span.size) == 0;
}

static bool is_exactly(struct rpd_span span, const char *word)
{
    return span.size == strlen(word) && memcmp(span.data, word, span.size) == 0;
}

/* Takes the line off, without its CRLF. 1; 0: it has not come whole; -1: it does not end as it
 * must. */
static int take_line(struct rpd_span *input, struct rpd_span *ret_line)
{
    const char *end = memchr(input->data, '\n', input->size);
    size_t size;

    if (!end)
        return 0;
    size = (size_t)(end - input->data);
    if (size == 0 || end[-1] != '\r')
        return -1;
    *ret_line = (struct rpd_span){input->data, size - 1};
    if (memchr(ret_line->data, '\r', ret_line->size))
        return -1;
    input->data += size + 1;
    input->size -= size + 1;
    return 1;
}

/* ---- the request line -------------------------------------------------------------------------
 */

static int read_method(struct rpd_span word, struct http_request *request)
{
    static const char *const served[] = {"GET", "HEAD", "PUT", "DELETE"};
    static const char *const known[] = {"POST", "PATCH", "OPTIONS", "TRACE", "CONNECT"};

    for (size_t i = 0; i < sizeof served / sizeof *served; i++)
        if (is_exactly(word, served[i])) {
            request->method = (enum http_method)i;
            return 0;
        }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_exactly(word, known[i]))
            return 405;
    for (size_t i = 0; i < word.size; i++)
        if (!is_token_byte(word.data[i]))
            return 400;
    return word.size > 0 ? 501 : 400;
}

/* Each segment has a byte, and is neither "." nor "..". Only "/" has none. */
static bool is_path(struct rpd_span path)
{
    size_t begin = 1;

    if (path.size == 0 || path.data[0] != '/')
        return false;
    for (size_t i = 1; i <= path.size && path.size > 1; i++) {
        const size_t size = i - begin;
        if (i < path.size && path.data[i] != '/') {
            if (!is_path_byte(path.data[i]))
                return false;
            continue;
        }
        if (size == 0 || (size == 1 && path.data[begin] == '.') ||
            (size == 2 && memcmp(path.data + begin, "..", 2) == 0))
            return false;
        begin = i + 1;
    }
    return true;
}

/* "http://host/path", as it is sent to a proxy, is "/path". */
static int read_target(struct rpd_span target, struct http_request *request)
{
    static const char scheme[] = "http://";
    const size_t skipped = sizeof scheme - 1;

    if (target.size > skipped && strncasecmp(target.data, scheme, skipped) == 0) {
        const char *host = target.data + skipped;
        const char *slash = memchr(host, '/', target.size - skipped);
        if (!slash || slash == host)
            return 400;
        target.size -= (size_t)(slash - target.data);
        target.data = slash;
    }
    if (target.size > HTTP_PATH_MAX)
        return 414;
    request->path = target;
    return is_path(target) ? 0 : 400;
}

static int read_version(struct rpd_span version, struct reading *reading)
{
    if (version.size != 8 || memcmp(version.data, "HTTP/", 5) != 0 || !is_digit(version.data[5]) ||
        version.data[6] != '.' || !is_digit(version.data[7]))
        return 400;
    if (version.data[5] != '1')
        return 505;
    reading->is_1_0 = version.data[7] == '0';
    return 0;
}

static int read_request_line(struct rpd_span line, struct reading *reading)
{
    const char *end = line.data + line.size;
    const char *first = memchr(line.data, ' ', line.size);
    const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
    int status;

    if (!second)
        return 400;
    status = read_version((struct rpd_span){second + 1, (size_t)(end - second - 1)}, reading);
    if (!status)
        status = read_method((struct rpd_span){line.data, (size_t)(first - line.data)},
                             reading->request);
    if (!status)
        status = read_target((struct rpd_span){first + 1, (size_t)(second - first - 1)},
                             reading->request);
    return status;
}

/* ---- headers -------------------------------------------------------------------------------- */

static struct rpd_span trim(struct rpd_span span)
{
    while (span.size > 0 && (*span.data == ' ' || *span.data == '\t')) {
        span.data++;
        span.size--;
    }
    while (span.size > 0 && (span.data[span.size - 1] == ' ' || span.data[span.size - 1] == '\t'))
        span.size--;
    return span;
}

static int read_length(struct rpd_span value, struct reading *reading)
{
    struct http_request *request = reading->request;

    if (request->has_body_size || value.size == 0 || value.size > 18)
        return 400;
    for (size_t i = 0; i < value.size; i++) {
        if (!is_digit(value.data[i]))
            return 400;
        request->body_size = 10 * request->body_size + (uint64_t)(value.data[i] - '0');
    }
    request->has_body_size = true;
    return 0;
}

static int read_connection(struct rpd_span value, struct reading *reading)
{
    while (value.size > 0) {
        const char *comma = memchr(value.data, ',', value.size);
        const size_t size = comma ? (size_t)(comma - value.data) : value.size;
        const struct rpd_span word = trim((struct rpd_span){value.data, size});

        reading->says_close |= is_word(word, "close");
        reading->says_keep_alive |= is_word(word, "keep-alive");
        value.data += size + (comma ? 1 : 0);
        value.size -= size + (comma ? 1 : 0);
    }
    return 0;
}

static int read_host(struct rpd_span value, struct reading *reading)
{
    for (size_t i = 0; i < value.size; i++)
        if (!is_path_byte(value.data[i]) && !strchr("[]%", value.data[i]))
            return 400;
    return reading->hosts++ == 0 ? 0 : 400;
}

static int read_expect(struct rpd_span value, struct reading *reading)
{
    if (!is_word(value, "100-continue"))
        return 417;
    reading->request->expects_continue = true;
    return 0;
}

static int read_authorization(struct rpd_span value, struct reading *reading)
{
    if (reading->request->authorization.data)
        return 400;
    reading->request->authorization = value;
    return 0;
}

static int read_transfer_encoding(struct rpd_span value, struct reading *reading)
{
    (void)value;
    reading->has_transfer_encoding = true;
    return 0;
}

static const struct {
    const char *name;
    int (*read)(struct rpd_span value, struct reading *reading);
} headers[] = {{"content-length", read_length},
               {"connection", read_connection},
               {"host", read_host},
               {"expect", read_expect},
               {"authorization", read_authorization},
               {"transfer-encoding", read_transfer_encoding}};

static int read_header(struct rpd_span line, struct reading *reading)
{
    const char *colon = memchr(line.data, ':', line.size);
    const struct rpd_span name = {line.data, colon ? (size_t)(colon - line.data) : 0};
    struct rpd_span value;

    if (++reading->headers > HTTP_HEADERS_MAX)
        return 431;
    for (size_t i = 0; i < name.size; i++)
        if (!is_token_byte(name.data[i]))
            return 400;
    if (name.size == 0)
        return 400;
    value = trim((struct rpd_span){colon + 1, line.size - name.size - 1});
    for (size_t i = 0; i < value.size; i++)
        if (((unsigned char)value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 127)
            return 400;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (is_word(name, headers[i].name))
            return headers[i].read(value, reading);
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int judge(struct reading *reading)
{
    struct http_request *request = reading->request;

    if (reading->hosts == 0 && !reading->is_1_0)
        return 400;
    if (reading->has_transfer_encoding) /* with a length: two readings */
        return request->has_body_size || reading->is_1_0 ? 400 : 411;
    if (request->method != HTTP_PUT && request->body_size > 0)
        return 400;
    if (request->method == HTTP_PUT && !request->has_body_size)
        return 411;
    request->keeps_alive = reading->is_1_0 ? reading->says_keep_alive && !reading->says_close
                                           : !reading->says_close;
    request->expects_continue &= !reading->is_1_0;
    return 1;
}

static int read_lines(struct rpd_span *input, struct reading *reading)
{
    struct rpd_span line = {0};
    int got = take_line(input, &line);
    int status = got > 0 ? read_request_line(line, reading) : 0;

    while (got > 0 && !status && (got = take_line(input, &line)) > 0 && line.size > 0)
        status = read_header(line, reading);
    if (got < 0)
        return 400;
    return status ? status : got;
}

int http_request_read(struct rpd_span input, struct http_request *ret)
{
    struct reading reading = {.request = ret};
    struct rpd_span left = {input.data, input.size < HTTP_HEAD_MAX ? input.size : HTTP_HEAD_MAX};
    int result;

    *ret = (struct http_request){0};
    if (input.size == 0)
        return 0;
    result = read_lines(&left, &reading);
    if (result == 0)
        return input.size < HTTP_HEAD_MAX ? 0 : 431;
    if (result > 1)
        return result;
    ret->head_size = (size_t)(left.data - input.data);
    return judge(&reading);
}
