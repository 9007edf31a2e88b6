/* What stands at an option, in the configuration or behind -o, read by its row; and the words in
 * which it is said what is wrong with it. */
#ifndef FRAMEWORK_OPTION_READ_H
#define FRAMEWORK_OPTION_READ_H

#include "base/nearest.h"
#include "config/config.h"
#include "plugin/option_detail.h"

#include <rpd/option.h>

enum { OPTION_SHOWN_MAX = 192, OPTION_QUOTED_MAX = 80, OPTION_WORDS = 64, OPTION_WORD_MAX = 64 };

struct option_value {
    const struct rpd_option *row;
    struct option_detail detail;
    bool is_default;
    char *string; /* of a string or, as it was read, a secret; NULL: unset */
    int64_t integer;
    double number;
    bool boolean;
    int choice;   /* of its words; -1: unset, or it has none */
    char **items; /* of a list; string has them with commas between them */
    size_t item_count;
};

/* True, and the value filled (but for strings), if what stands there fits its row. */
bool option_read(struct option_value *value, const struct config_option *option);

/* NULL: what stands there is no string. */
const char *option_string(const struct config_option *option);

/* "an integer from 1 to 9"; what stands there instead; and "; did you mean \"fast\"?", or "". */
void option_expected(const struct option_value *value, bool is_text, char text[OPTION_SHOWN_MAX]);
void option_found(const struct option_value *value, const struct config_option *option,
                  char text[OPTION_SHOWN_MAX]);
const char *option_hint(const struct option_value *value, const struct config_option *option,
                        char hint[NEAREST_HINT_MAX]);

/* "bytes", or "". */
const char *option_unit_name(enum rpd_option_unit unit);

#endif
