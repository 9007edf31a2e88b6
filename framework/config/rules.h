/* Rules between keys, which the table of keys cannot express. */
#ifndef FRAMEWORK_CONFIG_RULES_H
#define FRAMEWORK_CONFIG_RULES_H

#include "config/file.h"

#include <stdbool.h>

/* Adds every violation. The tree may have failed config_check(); values of a wrong
 * type are skipped. needs_service: no service comes from elsewhere. */
void config_rules(const struct config_file *file, bool needs_service, struct error_list *errors);

#endif
