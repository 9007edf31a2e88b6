/* The place in the code where a signal arrived: the machine registers that hold
 * it, in the context that the handler receives. */
#ifndef FRAMEWORK_REGISTERS_H
#define FRAMEWORK_REGISTERS_H

#include <ucontext.h>

#if defined(__x86_64__)
#define REGISTERS_COUNTER(user) ((user)->uc_mcontext.gregs[REG_RIP])
#define REGISTERS_STACK(user) ((user)->uc_mcontext.gregs[REG_RSP])
#elif defined(__aarch64__)
#define REGISTERS_COUNTER(user) ((user)->uc_mcontext.pc)
#define REGISTERS_STACK(user) ((user)->uc_mcontext.sp)
#define REGISTERS_LINK(user) ((user)->uc_mcontext.regs[30])
#elif defined(__riscv)
#define REGISTERS_COUNTER(user) ((user)->uc_mcontext.__gregs[REG_PC])
#define REGISTERS_STACK(user) ((user)->uc_mcontext.__gregs[REG_SP])
#define REGISTERS_LINK(user) ((user)->uc_mcontext.__gregs[REG_RA])
#else
#error "registers.h does not know this machine's registers"
#endif

#endif
