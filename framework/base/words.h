/* Words for the numbers in a state page, as used in the configuration, in status, and on the
 * control socket. */
#ifndef FRAMEWORK_WORDS_H
#define FRAMEWORK_WORDS_H

#include <stdint.h>

/* [any] The words of enum rpd_phase, rpd_part_state and rpd_warmup; "unknown" for other numbers. */
const char *word_of_phase(uint32_t phase);
const char *word_of_part(uint32_t part_state);
const char *word_of_warmup(uint32_t warmup);

/* All words of rpd_warmup, in order; NULL-terminated. */
extern const char *const words_of_warmup[];

#endif
