/* What the table of keys cannot say: rules between keys. */
#ifndef FRAMEWORK_CONFIG_RULES_H
#define FRAMEWORK_CONFIG_RULES_H

#include "config/file.h"

#include <stdbool.h>

/* Adds every breach. The tree may have failed config_check(): what is of a
 * wrong type is passed over. needs_service: none comes from elsewhere. */
void config_rules(const struct config_file *file, bool needs_service, struct error_list *errors);

#endif
