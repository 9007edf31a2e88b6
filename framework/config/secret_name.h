/* Options whose values may be secrets, by their names. What is printed may end up in logs, or be
 * seen by others, and without a backend's table rpd does not know which of its options are
 * secrets. */
#ifndef FRAMEWORK_CONFIG_SECRET_NAME_H
#define FRAMEWORK_CONFIG_SECRET_NAME_H

#include <stdbool.h>

bool config_name_is_secret(const char *option);

#endif
