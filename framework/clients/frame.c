/* Where a frame ends, in bytes that a client chose. See rpd/frame.h.
 *
 * What a prefix of the input is judged to be stays so, whatever follows: 0 becomes 1 or -1, and
 * those never change. The size is compared with its bound before anything is added to it, so no
 * sum overflows. */
#include "clients/frame.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MORE = 0, FOUND = 1, BAD = -1, VARINT_MAX = 10, DIGITS_MAX = 19 };

/* What stands before the body says. */
struct head {
    size_t size; /* of itself */
    size_t tail; /* of what stands behind the body */
    uint64_t body;
};

static int bad(int error_number)
{
    errno = error_number;
    return BAD;
}

/* ---- binary sizes ------------------------------------------------------------- */

/* 0: the framing is another. */
static size_t width_of(enum rpd_framing framing)
{
    switch (framing) {
    case RPD_FRAME_U8: return 1;
    case RPD_FRAME_U16_BE:
    case RPD_FRAME_U16_LE: return 2;
    case RPD_FRAME_U32_BE:
    case RPD_FRAME_U32_LE: return 4;
    case RPD_FRAME_U64_BE:
    case RPD_FRAME_U64_LE: return 8;
    case RPD_FRAME_VARINT:
    case RPD_FRAME_HEADERS:
    case RPD_FRAME_NETSTRING: break;
    }
    return 0;
}

static bool is_little(enum rpd_framing framing)
{
    return framing == RPD_FRAME_U16_LE || framing == RPD_FRAME_U32_LE ||
           framing == RPD_FRAME_U64_LE;
}

static int find_fixed(enum rpd_framing framing, struct rpd_span input, struct head *head)
{
    const size_t width = width_of(framing);

    if (input.size < width)
        return MORE;
    head->size = width;
    for (size_t i = 0; i < width; i++)
        head->body = head->body << 8 |
                     (unsigned char)input.data[is_little(framing) ? width - 1 - i : i];
    return FOUND;
}

static int find_varint(struct rpd_span input, struct head *head)
{
    for (size_t i = 0; i < VARINT_MAX; i++) {
        if (i == input.size)
            return MORE;
        const unsigned char byte = (unsigned char)input.data[i];

        if (i == VARINT_MAX - 1 && byte > 1)
            break; /* more than 64 bits */
        head->body |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            head->size = i + 1;
            return FOUND;
        }
    }
    return bad(EBADMSG);
}

/* ---- sizes in digits ------------------------------------------------------------ */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* (19 digits are less than 2^64.) */
static uint64_t number(const char *digits, size_t count)
{
    uint64_t result = 0;

    for (size_t i = 0; i < count; i++)
        result = result * 10 + (uint64_t)(digits[i] - '0');
    return result;
}

static int find_netstring(struct rpd_span input, uint64_t max_body, struct head *head)
{
    size_t count = 0;

    while (count < input.size && count < DIGITS_MAX && is_digit(input.data[count]))
        count++;
    head->body = number(input.data, count);
    if (count > 1 && input.data[0] == '0')
        return bad(EBADMSG);
    if (head->body > max_body)
        return bad(EMSGSIZE);
    if (count == input.size)
        return MORE;
    if (count == 0 || input.data[count] != ':')
        return bad(count == DIGITS_MAX && is_digit(input.data[count]) ? EMSGSIZE : EBADMSG);
    head->size = count + 1;
    head->tail = 1;
    return FOUND;
}

/* Visible letters; what stands between two headers is no header. */
static bool is_name(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (name[i] <= ' ' || name[i] >= 0x7f)
            return false;
    return size > 0;
}

static struct rpd_span trimmed(const char *text, const char *end)
{
    while (text < end && (*text == ' ' || *text == '\t'))
        text++;
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct rpd_span){text, (size_t)(end - text)};
}

static int take_length(struct rpd_span value, bool *has_length, struct head *head)
{
    for (size_t i = 0; i < value.size; i++)
        if (!is_digit(value.data[i]))
            return bad(EBADMSG);
    if (*has_length || value.size == 0)
        return bad(EBADMSG);
    if (value.size > DIGITS_MAX)
        return bad(EMSGSIZE);
    head->body = number(value.data, value.size);
    *has_length = true;
    return MORE;
}

/* One line, without its end. */
static int take_header(const char *line, size_t size, bool *has_length, struct head *head)
{
    static const char name[] = "Content-Length";
    const char *colon = memchr(line, ':', size);

    if (!colon || !is_name(line, (size_t)(colon - line)) || memchr(line, '\0', size) ||
        memchr(line, '\r', size))
        return bad(EBADMSG);
    if ((size_t)(colon - line) != sizeof name - 1 || strncasecmp(line, name, sizeof name - 1) != 0)
        return MORE;
    return take_length(trimmed(colon + 1, line + size), has_length, head);
}

static int find_headers(struct rpd_span input, uint64_t max_body, struct head *head)
{
    const size_t size = input.size < RPD_FRAME_HEADERS_MAX ? input.size : RPD_FRAME_HEADERS_MAX;
    bool has_length = false;

    if (size == 0)
        return MORE;
    for (const char *line = input.data, *end = input.data + size, *newline;
         line < end && (newline = memchr(line, '\n', (size_t)(end - line))); line = newline + 1) {
        const size_t length = (size_t)(newline - line) - (newline > line && newline[-1] == '\r');

        if (length > 0) {
            if (take_header(line, length, &has_length, head) == BAD)
                return BAD;
            if (has_length && head->body > max_body)
                return bad(EMSGSIZE);
            continue;
        }
        if (!has_length)
            return bad(EBADMSG);
        head->size = (size_t)(newline + 1 - input.data);
        return FOUND;
    }
    return size == RPD_FRAME_HEADERS_MAX ? bad(EBADMSG) : MORE;
}

/* ---- any ---------------------------------------------------------------------------- */

static int find_head(enum rpd_framing framing, struct rpd_span input, uint64_t max_body,
                     struct head *head)
{
    if (width_of(framing) > 0)
        return find_fixed(framing, input, head);
    switch (framing) {
    case RPD_FRAME_VARINT: return find_varint(input, head);
    case RPD_FRAME_HEADERS: return find_headers(input, max_body, head);
    case RPD_FRAME_NETSTRING: return find_netstring(input, max_body, head);
    default: return bad(EINVAL);
    }
}

int frame_find(enum rpd_framing framing, struct rpd_span input, const struct frame_bounds *bounds,
               struct rpd_span *ret_body, size_t *ret_frame_size)
{
    struct head head = {0, 0, 0};
    const int found = find_head(framing, input, bounds->body, &head);

    if (found != FOUND)
        return found;
    if (head.body > bounds->body || head.size + head.tail > bounds->frame ||
        head.body > bounds->frame - head.size - head.tail)
        return bad(EMSGSIZE);
    const size_t body = (size_t)head.body, whole = head.size + body + head.tail;

    if (input.size < whole)
        return MORE;
    if (head.tail > 0 && input.data[whole - 1] != ',')
        return bad(EBADMSG);
    *ret_body = (struct rpd_span){input.data + head.size, body};
    *ret_frame_size = whole;
    return FOUND;
}

int rpd_frame_find(enum rpd_framing framing, struct rpd_span input, size_t max_size,
                   struct rpd_span *ret_body, size_t *ret_frame_size)
{
    const struct frame_bounds bounds = {max_size > 0 ? max_size : SIZE_MAX, SIZE_MAX};

    return frame_find(framing, input, &bounds, ret_body, ret_frame_size);
}

static size_t put_fixed(enum rpd_framing framing, uint64_t size, char *head)
{
    const size_t width = width_of(framing);

    if (width < sizeof size && size >> (8 * width) != 0)
        return 0;
    for (size_t i = 0; i < width; i++, size >>= 8)
        head[is_little(framing) ? i : width - 1 - i] = (char)(size & 0xff);
    return width;
}

static size_t put_varint(uint64_t size, char *head)
{
    size_t used = 0;

    for (; size >= 0x80; size >>= 7)
        head[used++] = (char)(0x80 | (size & 0x7f));
    head[used++] = (char)size;
    return used;
}

size_t rpd_frame_head(enum rpd_framing framing, size_t size, char ret_head[RPD_FRAME_HEAD_MAX])
{
    if (width_of(framing) > 0)
        return put_fixed(framing, size, ret_head);
    switch (framing) {
    case RPD_FRAME_VARINT: return put_varint(size, ret_head);
    case RPD_FRAME_HEADERS:
        return (size_t)snprintf(ret_head, RPD_FRAME_HEAD_MAX, "Content-Length: %zu\r\n\r\n", size);
    case RPD_FRAME_NETSTRING: return (size_t)snprintf(ret_head, RPD_FRAME_HEAD_MAX, "%zu:", size);
    default: return 0;
    }
}
