/* Threads of rpd: each with its name and alternate stack for a crash line, and
 * with all signals blocked, which are the loop thread's, but those of a crash
 * and stack.h's. */
#ifndef FRAMEWORK_THREAD_H
#define FRAMEWORK_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* [start] name: a literal. stack_size: what run may use; 0: the usual one. run
 * returns when the thread shall end. 0, or an errno. */
int thread_create(pthread_t *ret_thread, const char *name, size_t stack_size,
                  void (*run)(void *arg), void *arg);

#endif
