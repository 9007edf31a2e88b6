/* Patterns. See glob.h. As Redis has them, to the letter: what an unclosed bracket means, and
 * that an empty text matches nothing but an empty pattern.
 *
 * A pattern is pieces with stars between them. The first is compared with the text's beginning,
 * the last with its end, and each of the others is searched for behind the one before it. */
#include "glob.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANY = 256,
    SETS = 257, /* this and above: the number of a set */
    BYTES = 256,
    WORD = 64,
    WORK_AT_ONCE = 64 * 1024 /* words, of a search */
};

struct set {
    uint64_t has[BYTES / WORD];
};

/* Elements between two stars. */
struct piece {
    uint32_t first, count;
    bool is_literal;
};

struct glob {
    uint32_t *elements; /* a byte, ANY, or a set */
    char *bytes;        /* of those that are bytes */
    uint32_t count, piece_count, set_count;
    struct piece *pieces;
    struct set *sets;
    bool ignores_case;
    /* A search for one piece, by bits: one for each of its elements. */
    uint32_t searched; /* the piece it is made for, and one more; 0: none */
    uint32_t words;
    uint64_t *bits;   /* of the beginnings that are still possible */
    uint64_t *wanted; /* for each byte: the elements that it fits */
    /* Where a text is: */
    uint32_t piece;
    size_t at;
    bool is_on; /* in the middle of it */
};

/* ---- compiling -------------------------------------------------------------------- */

static unsigned fold(const struct glob *glob, char byte)
{
    const unsigned char value = (unsigned char)byte;

    return glob->ignores_case ? (unsigned)tolower(value) : value;
}

static void put(struct set *set, unsigned byte)
{
    set->has[byte / WORD] |= (uint64_t)1 << (byte % WORD);
}

static bool has(const struct set *set, unsigned byte)
{
    return set->has[byte / WORD] >> (byte % WORD) & 1;
}

static void put_range(struct set *set, unsigned from, unsigned to)
{
    const unsigned low = from < to ? from : to, high = from < to ? to : from;

    for (unsigned word = low / WORD; word <= high / WORD; word++) {
        const unsigned first = word == low / WORD ? low % WORD : 0;
        const unsigned last = word == high / WORD ? high % WORD : WORD - 1;
        set->has[word] |= UINT64_MAX >> (WORD - 1 - last) & UINT64_MAX << first;
    }
}

/* From behind the '['. Returns what follows it. */
static const char *read_set(const struct glob *glob, const char *at, const char *end,
                            struct set *ret_set)
{
    const bool inverts = at < end && *at == '^';
    struct set folded = {{0}}, raw = {{0}};

    at += inverts;
    for (; at < end && *at != ']'; at++) {
        if (*at == '\\' && end - at >= 2) {
            put(&raw, (unsigned char)*++at);
        } else if (end - at >= 3 && at[1] == '-') {
            put_range(&folded, fold(glob, at[0]), fold(glob, at[2]));
            at += 2;
        } else {
            put(&folded, fold(glob, *at));
        }
    }
    *ret_set = (struct set){{0}};
    for (unsigned byte = 0; byte < BYTES; byte++)
        if ((has(&folded, fold(glob, (char)byte)) || has(&raw, byte)) != inverts)
            put(ret_set, byte);
    return at + (at < end);
}

/* One element; returns what follows it. */
static const char *read_element(struct glob *glob, const char *at, const char *end)
{
    const char first = *at++;
    uint32_t element = fold(glob, first);

    if (first == '?') {
        element = ANY;
    } else if (first == '[') {
        at = read_set(glob, at, end, &glob->sets[glob->set_count]);
        element = SETS + glob->set_count++;
    } else if (first == '\\' && at < end) {
        element = fold(glob, *at++);
    }
    glob->bytes[glob->count] = element < ANY ? (char)element : 0;
    glob->pieces[glob->piece_count - 1].is_literal &= element < ANY;
    glob->elements[glob->count++] = element;
    glob->pieces[glob->piece_count - 1].count++;
    return at;
}

static void begin_piece(struct glob *glob)
{
    glob->pieces[glob->piece_count++] = (struct piece){glob->count, 0, true};
}

static bool allocate(struct glob *glob, const char *pattern, size_t size)
{
    size_t stars = 0, brackets = 0;

    for (size_t i = 0; i < size; i++) {
        stars += pattern[i] == '*';
        brackets += pattern[i] == '[';
    }
    glob->elements = malloc((size + 1) * sizeof *glob->elements);
    glob->bytes = malloc(size + 1);
    glob->pieces = malloc((stars + 1) * sizeof *glob->pieces);
    glob->sets = malloc((brackets + 1) * sizeof *glob->sets);
    return glob->elements && glob->bytes && glob->pieces && glob->sets;
}

/* Several stars side by side are one. */
static bool compile(struct glob *glob, const char *at, const char *end)
{
    begin_piece(glob);
    while (at < end) {
        const struct piece *last = &glob->pieces[glob->piece_count - 1];
        if (*at != '*') {
            at = read_element(glob, at, end);
            continue;
        }
        at++;
        if (glob->piece_count == 1 || last->count > 0)
            begin_piece(glob);
    }
    for (uint32_t i = 1; i + 1 < glob->piece_count; i++)
        if (!glob->pieces[i].is_literal && glob->pieces[i].count > GLOB_PIECE_MAX)
            return false;
    return true;
}

bool glob_is_too_long(size_t size)
{
    return size > GLOB_PATTERN_MAX;
}

struct glob *glob_compile(const char *pattern, size_t size, bool ignores_case)
{
    struct glob *glob = glob_is_too_long(size) ? NULL : calloc(1, sizeof *glob);

    if (!glob)
        return NULL;
    glob->ignores_case = ignores_case;
    if (allocate(glob, pattern, size) && compile(glob, pattern, pattern + size))
        return glob;
    glob_free(glob);
    return NULL;
}

void glob_free(struct glob *glob)
{
    if (!glob)
        return;
    free(glob->elements);
    free(glob->bytes);
    free(glob->pieces);
    free(glob->sets);
    free(glob->bits);
    free(glob->wanted);
    free(glob);
}

/* ---- trying ------------------------------------------------------------------------ */

static bool fits(const struct glob *glob, uint32_t element, char byte)
{
    if (element < ANY)
        return element == fold(glob, byte);
    return element == ANY || has(&glob->sets[element - SETS], (unsigned char)byte);
}

/* The text has the piece just here. */
static bool is_here(const struct glob *glob, const struct piece *piece, const char *text)
{
    if (piece->is_literal && !glob->ignores_case)
        return memcmp(glob->bytes + piece->first, text, piece->count) == 0;
    for (uint32_t i = 0; i < piece->count; i++)
        if (!fits(glob, glob->elements[piece->first + i], text[i]))
            return false;
    return true;
}

static void want(struct glob *glob, uint32_t i, uint32_t element)
{
    const uint64_t bit = (uint64_t)1 << (i % WORD);
    uint64_t *wanted = glob->wanted + i / WORD;

    if (element < ANY && !glob->ignores_case) {
        wanted[(size_t)element * glob->words] |= bit;
        return;
    }
    for (unsigned byte = 0; byte < BYTES; byte++)
        if (fits(glob, element, (char)byte))
            wanted[(size_t)byte * glob->words] |= bit;
}

/* False: no memory. */
static bool begin_search(struct glob *glob, const struct piece *piece)
{
    const uint32_t words = (piece->count + WORD - 1) / WORD;

    if (glob->searched != glob->piece + 1) {
        free(glob->bits);
        free(glob->wanted);
        glob->bits = malloc(words * sizeof *glob->bits);
        glob->wanted = calloc((size_t)BYTES * words, sizeof *glob->wanted);
        if (!glob->bits || !glob->wanted)
            return false;
        glob->words = words;
        glob->searched = glob->piece + 1;
        for (uint32_t i = 0; i < piece->count; i++)
            want(glob, i, glob->elements[piece->first + i]);
    }
    memset(glob->bits, 0, words * sizeof *glob->bits);
    return true;
}

/* Bit i: the piece's first i + 1 elements fit what ends at this byte. Whether all do. */
static bool search_byte(struct glob *glob, const struct piece *piece, char byte)
{
    const uint64_t *wanted = glob->wanted + (size_t)(unsigned char)byte * glob->words;
    uint64_t carry = 1;

    for (uint32_t word = 0; word < glob->words; word++) {
        const uint64_t bits = glob->bits[word];
        glob->bits[word] = (bits << 1 | carry) & wanted[word];
        carry = bits >> (WORD - 1);
    }
    return glob->bits[(piece->count - 1) / WORD] >> ((piece->count - 1) % WORD) & 1;
}

/* From glob->at on, which is behind the piece then. */
static enum glob_result search(struct glob *glob, const struct piece *piece, const char *text,
                               size_t size)
{
    const size_t most = WORK_AT_ONCE / ((piece->count + WORD - 1) / WORD);

    if (!glob->is_on && !begin_search(glob, piece))
        return GLOB_NO;
    glob->is_on = true;
    for (size_t done = 0; glob->at < size; done++) {
        if (done == most)
            return GLOB_LATER;
        if (search_byte(glob, piece, text[glob->at++]))
            return GLOB_MATCH;
    }
    return GLOB_NO;
}

static enum glob_result search_literal(struct glob *glob, const struct piece *piece,
                                       const char *text, size_t size)
{
    const char *found = memmem(text + glob->at, size - glob->at, glob->bytes + piece->first,
                               piece->count);

    if (!found)
        return GLOB_NO;
    glob->at = (size_t)(found - text) + piece->count;
    return GLOB_MATCH;
}

/* The pieces between the first and the last one. size: without the last one. */
static enum glob_result search_pieces(struct glob *glob, const char *text, size_t size)
{
    for (; glob->piece + 1 < glob->piece_count; glob->piece++) {
        const struct piece *piece = &glob->pieces[glob->piece];
        const enum glob_result result = piece->is_literal && !glob->ignores_case
                                            ? search_literal(glob, piece, text, size)
                                            : search(glob, piece, text, size);
        if (result != GLOB_MATCH)
            return result;
        glob->is_on = false;
    }
    return GLOB_MATCH;
}

enum glob_result glob_try(struct glob *glob, const char *text, size_t size)
{
    const struct piece *first = glob->pieces, *last = &glob->pieces[glob->piece_count - 1];
    enum glob_result result;

    if (size == 0)
        return glob->count == 0 && glob->piece_count == 1 ? GLOB_MATCH : GLOB_NO;
    if (first == last)
        return size == first->count && is_here(glob, first, text) ? GLOB_MATCH : GLOB_NO;
    if (!glob->is_on) {
        if (size < (size_t)first->count + last->count || !is_here(glob, first, text) ||
            !is_here(glob, last, text + size - last->count))
            return GLOB_NO;
        glob->piece = 1;
        glob->at = first->count;
    }
    result = search_pieces(glob, text, size - last->count);
    glob->is_on = result == GLOB_LATER;
    return result;
}

bool glob_match(const char *pattern, size_t pattern_size, const char *text, size_t text_size,
                bool ignores_case)
{
    struct glob *glob = glob_compile(pattern, pattern_size, ignores_case);
    enum glob_result result = GLOB_NO;

    if (!glob)
        return false;
    do
        result = glob_try(glob, text, text_size);
    while (result == GLOB_LATER);
    glob_free(glob);
    return result == GLOB_MATCH;
}
