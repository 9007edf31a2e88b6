/* warm.c with another descriptor: a warm-up policy that does not exist. */
#define WARM .warmup = (enum rpd_warmup)4
#include "warm.c"
