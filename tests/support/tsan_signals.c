/* Linked into rpd's programs only if they are built with ThreadSanitizer.
 *
 * ThreadSanitizer (LLVM 14) keeps pending signals in a record that each thread gets at its first
 * blocking call. A signal that comes while that record is being made is lost. So the main thread
 * makes its blocking call here, before main(), while nothing handles a signal yet. */
#include <time.h>

static void __attribute__((constructor)) wait_for_nothing(void)
{
    nanosleep(&(struct timespec){0}, NULL);
}
