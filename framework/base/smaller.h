/* The smaller of two sizes. */
#ifndef FRAMEWORK_SMALLER_H
#define FRAMEWORK_SMALLER_H

#include <stdint.h>

static inline uint64_t smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

#endif
