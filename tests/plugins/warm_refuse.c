/* warm.c with another descriptor: it refuses clients until it is ready. */
#define WARM .on_busy = on_busy, .warmup = RPD_WARMUP_REFUSE
#include "warm.c"
