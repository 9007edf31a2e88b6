/* Checks a backend's table of options: a plugin may be wrong. */
#ifndef FRAMEWORK_OPTION_TABLE_H
#define FRAMEWORK_OPTION_TABLE_H

#include "base/error.h"

#include <rpd/option.h>

#include <stdint.h>

/* table: NULL is one without rows. plugin: its name for the error (65), which
 * names the first row that cannot be right. */
int option_table_check(const struct rpd_option *table, const char *plugin, struct error *error);

/* The row of this name, or NULL. */
const struct rpd_option *option_table_find(const struct rpd_option *table, const char *name);

/* Whether an integer is in the row's range. The range is of doubles, which
 * cannot distinguish neighbours from 2^53 on: so it is the range that is turned
 * into integers, and not the other way around. */
bool option_table_allows(const struct rpd_option *row, int64_t integer);

/* [any] A bound or a value as people write it: 1000000000, 0.5; 1e+300. Returns the text. */
enum { OPTION_NUMBER_MAX = 32 };
const char *option_number(double number, char text[OPTION_NUMBER_MAX]);

#endif
