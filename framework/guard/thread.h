/* Threads of rpd. Each has a name and an alternate stack for a crash line. All
 * signals are blocked, because they belong to the loop's thread, except those of a
 * crash and of stack.h. */
#ifndef FRAMEWORK_THREAD_H
#define FRAMEWORK_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* [start] name: a literal. stack_size: what run may use; 0: the default. The thread
 * ends when run returns. Returns 0, or an errno. */
int thread_create(pthread_t *ret_thread, const char *name, size_t stack_size,
                  void (*run)(void *arg), void *arg);

#endif
