/* Checks a configuration file's tree against the table of keys: unknown keys,
 * missing ones, wrong types, values out of range. Adds all mistakes. */
#ifndef FRAMEWORK_CONFIG_CHECK_H
#define FRAMEWORK_CONFIG_CHECK_H

#include "config/file.h"

void config_check(const struct config_file *file, struct error_list *errors);

#endif
