/* Edit distance: letters missing, added or changed, or two that changed places. */
#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 64 };

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* Only the last three rows of the table of distances are needed. */
struct rows {
    size_t before[NAME_MAX_LENGTH + 1];
    size_t above[NAME_MAX_LENGTH + 1];
    size_t here[NAME_MAX_LENGTH + 1];
};

static void next_row(struct rows *rows)
{
    memcpy(rows->before, rows->above, sizeof rows->before);
    memcpy(rows->above, rows->here, sizeof rows->above);
}

static void fill_row(struct rows *rows, const char *a, size_t row, const char *b, size_t width)
{
    rows->here[0] = row;
    for (size_t i = 1; i <= width; i++) {
        size_t changed = rows->above[i - 1] + (a[row - 1] != b[i - 1]);

        rows->here[i] = least(changed, least(rows->above[i], rows->here[i - 1]) + 1);
        if (row > 1 && i > 1 && a[row - 1] == b[i - 2] && a[row - 2] == b[i - 1])
            rows->here[i] = least(rows->here[i], rows->before[i - 2] + 1);
    }
}

static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    struct rows rows = {{0}, {0}, {0}};

    for (size_t i = 0; i <= b_length; i++)
        rows.here[i] = i;
    for (size_t row = 1; row <= a_length; row++) {
        next_row(&rows);
        fill_row(&rows, a, row, b, b_length);
    }
    return rows.here[b_length];
}

void nearest_start(struct nearest *nearest, const char *wanted)
{
    nearest->wanted = wanted;
    nearest->best = NULL;
    /* A third of the letters may be wrong, but never all of them. */
    nearest->distance = strnlen(wanted, NAME_MAX_LENGTH) / 3 + 1;
    if (strlen(wanted) > 1 && nearest->distance < 2)
        nearest->distance = 2;
}

void nearest_try(struct nearest *nearest, const char *known)
{
    size_t wanted_length = strlen(nearest->wanted);
    size_t known_length = strlen(known);
    size_t found;

    if (wanted_length > NAME_MAX_LENGTH || known_length > NAME_MAX_LENGTH)
        return;
    found = distance(nearest->wanted, wanted_length, known, known_length);
    /* A prefix is always near: "drain" for "drain_s". */
    if (wanted_length > 2 && strncmp(nearest->wanted, known, wanted_length) == 0)
        found = 1;
    if (found < nearest->distance && found < known_length) {
        nearest->distance = found;
        nearest->best = known;
    }
}

const char *nearest_hint(const struct nearest *nearest, char hint[NEAREST_HINT_MAX])
{
    hint[0] = '\0';
    if (nearest->best)
        snprintf(hint, NEAREST_HINT_MAX, "; did you mean \"%s\"?", nearest->best);
    return hint;
}
