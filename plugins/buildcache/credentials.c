/* Whether a request may come in. See credentials.h. */
#include "credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SIZE_MAX_ = 512 };

struct credential {
    struct credential *next;
    bool is_basic;
    size_t size;
    char text[SIZE_MAX_];
};

static int add_line(struct credentials *credentials, const char *line, size_t size)
{
    struct credential *credential;

    if (size > 0 && line[size - 1] == '\r')
        size--;
    if (size == 0 || *line == '#')
        return 0;
    errno = EINVAL;
    credential = size < SIZE_MAX_ ? calloc(1, sizeof *credential) : NULL;
    if (!credential)
        return -1;
    memcpy(credential->text, line, size);
    credential->size = size;
    credential->is_basic = memchr(line, ':', size) != NULL;
    credential->next = credentials->first;
    credentials->first = credential;
    return 0;
}

int credentials_read(struct credentials *credentials, const char *text)
{
    credentials->first = NULL;
    while (*text) {
        const size_t size = strcspn(text, "\n");

        if (add_line(credentials, text, size) < 0) {
            credentials_finish(credentials);
            return -1;
        }
        text += size + (text[size] ? 1 : 0);
    }
    errno = EINVAL;
    return credentials->first ? 0 : -1;
}

void credentials_finish(struct credentials *credentials)
{
    struct credential *credential;

    while ((credential = credentials->first)) {
        credentials->first = credential->next;
        explicit_bzero(credential, sizeof *credential);
        free(credential);
    }
}

/* ---- base64 --------------------------------------------------------------------------------- */

static int value_of(char digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = digit ? strchr(digits, digit) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The number of bytes; -1: it is not base64, or too much. */
static int decode(struct rpd_span text, char ret[SIZE_MAX_])
{
    size_t size = 0;
    unsigned bits = 0, count = 0;

    while (text.size > 0 && text.data[text.size - 1] == '=')
        text.size--;
    for (size_t i = 0; i < text.size; i++) {
        const int value = value_of(text.data[i]);

        if (value < 0 || size == SIZE_MAX_)
            return -1;
        bits = bits << 6 | (unsigned)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            ret[size++] = (char)(bits >> count & 0xff);
        }
    }
    return (int)size;
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* Each byte is looked at, whatever differs. given has SIZE_MAX_ bytes, zeros behind the last. */
static bool is_same(const struct credential *credential, const char *given, size_t size)
{
    unsigned differs = credential->size != size;

    for (size_t i = 0; i < SIZE_MAX_; i++)
        differs |= (unsigned char)credential->text[i] ^ (unsigned char)given[i];
    return !differs;
}

static bool is_known(const struct credentials *credentials, bool is_basic, const char *given,
                     size_t size)
{
    bool found = false;

    for (const struct credential *one = credentials->first; one; one = one->next)
        found |= one->is_basic == is_basic && is_same(one, given, size);
    return found;
}

static bool begins_with(struct rpd_span span, const char *word)
{
    return span.size >= strlen(word) && strncasecmp(span.data, word, strlen(word)) == 0;
}

bool credentials_allow(const struct credentials *credentials, struct rpd_span header)
{
    char given[SIZE_MAX_] = {0};
    int size = -1;
    bool is_basic = false;

    if (!credentials->first)
        return true;
    if (!header.data)
        return false;
    if (begins_with(header, "Basic ")) {
        is_basic = true;
        size = decode((struct rpd_span){header.data + 6, header.size - 6}, given);
    } else if (begins_with(header, "Bearer ") && header.size - 7 < SIZE_MAX_) {
        size = (int)(header.size - 7);
        memcpy(given, header.data + 7, (size_t)size);
    }
    return size > 0 && is_known(credentials, is_basic, given, (size_t)size);
}
