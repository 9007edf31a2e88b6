/* A configuration in 16 digits. Two configurations have the same digest if they have
 * the same values, regardless of where each value was set and of the order of keys.
 * The record contains the digest, so that others can see whether a daemon runs with
 * the current content of a file. */
#ifndef FRAMEWORK_CONFIG_DIGEST_H
#define FRAMEWORK_CONFIG_DIGEST_H

#include "config/config.h"

enum { CONFIG_DIGEST_SIZE = 17 };

/* [start] Hexadecimal. The digest covers neither the name of the file nor the
 * backends' defaults for their options. libjansson must be loaded. */
void config_digest(const struct config *config, char ret_text[CONFIG_DIGEST_SIZE]);

#endif
