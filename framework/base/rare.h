/* RARE marks a function that few calls need. The compiler then keeps it out of its callers, which
 * need fewer registers: this saves one instruction in ten on the data path. */
#ifndef FRAMEWORK_RARE_H
#define FRAMEWORK_RARE_H

#define RARE __attribute__((cold, noinline))

#endif
