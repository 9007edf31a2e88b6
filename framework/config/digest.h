/* A configuration in 16 digits: two have the same digest if they say the same,
 * wherever each value was said and in whatever order keys stand. The record has
 * it, so that others see whether a daemon runs with what a file says by now. */
#ifndef FRAMEWORK_CONFIG_DIGEST_H
#define FRAMEWORK_CONFIG_DIGEST_H

#include "config/config.h"

enum { CONFIG_DIGEST_SIZE = 17 };

/* [start] Hexadecimal. The name of the file is not in it, nor are defaults that
 * the backends have for their options. libjansson is loaded. */
void config_digest(const struct config *config, char ret_text[CONFIG_DIGEST_SIZE]);

#endif
