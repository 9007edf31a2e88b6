/* warm.c with another descriptor: it serves from the start. */
#define WARM .serves_without_state = true, .warmup = RPD_WARMUP_SERVE
#include "warm.c"
