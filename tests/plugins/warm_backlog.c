/* warm.c with another descriptor: it is not accepted from until it is ready. */
#define WARM .warmup = RPD_WARMUP_BACKLOG
#include "warm.c"
