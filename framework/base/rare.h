/* RARE marks a function that few calls need. The compiler then keeps it out of its callers, so that
 * those need no registers for it: on the data path that is one instruction in ten. */
#ifndef FRAMEWORK_RARE_H
#define FRAMEWORK_RARE_H

#define RARE __attribute__((cold, noinline))

#endif
