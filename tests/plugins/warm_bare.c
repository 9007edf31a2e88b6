/* warm.c with another descriptor: it needs its state, and has no busy answer. */
#define WARM .version = "1"
#include "warm.c"
