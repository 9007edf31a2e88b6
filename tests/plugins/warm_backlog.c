/* warm.c with another descriptor: its clients are not accepted until it is ready. */
#define WARM .warmup = RPD_WARMUP_BACKLOG
#include "warm.c"
