/* Which rpd this is: its version and, if it was linked with a build id, the first digits of
 * librpd's: "0.1.0 df4ed464". */
#ifndef FRAMEWORK_BUILD_H
#define FRAMEWORK_BUILD_H

#include <stddef.h>

#ifndef RPD_VERSION
#define RPD_VERSION "0.1.0"
#endif

void build_text(char *ret_text, size_t room);

#endif
