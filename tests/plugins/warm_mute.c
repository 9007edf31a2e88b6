/* warm.c with another descriptor: it can serve without its state, but has no busy answer. */
#define WARM .serves_without_state = true
#include "warm.c"
