/* The second table of a backend's options, by name: a plugin may be wrong, and may know other
 * rows than rpd. See rpd/option.h. */
#ifndef FRAMEWORK_OPTION_DETAIL_H
#define FRAMEWORK_OPTION_DETAIL_H

#include "base/error.h"

#include <rpd/option.h>

/* Both tables of a backend; each may be NULL. */
struct option_tables {
    const struct rpd_option *options;
    const struct rpd_option_detail *details;
};

/* What is said of one option; all zeros where nothing is. */
struct option_detail {
    unsigned flags; /* of enum rpd_option_flag: those that are known */
    const char *choices;
    enum rpd_option_unit unit;
};

/* After option_table_check(). plugin: its name for the error (65). */
int option_details_check(const struct option_tables *tables, const char *plugin,
                         struct error *error);

struct option_detail option_detail_of(const struct rpd_option_detail *details, const char *name);

/* Where a word stands among "fast|exact"; -1: it is none of them. */
int option_choice(const char *choices, const char *word);

/* The word at a place: its length, and where it begins; 0: there are fewer. */
size_t option_choice_at(const char *choices, size_t at, const char **ret_word);

#endif
