/* How much memory this process and its children may still take. */
#ifndef FRAMEWORK_MEMORY_LEFT_H
#define FRAMEWORK_MEMORY_LEFT_H

#include <stdint.h>

/* [loop] In bytes: what the machine has available, or what the control groups of this process still
 * allow (memory.max), whichever is less. UINT64_MAX: not known. */
uint64_t memory_left(void);

#endif
