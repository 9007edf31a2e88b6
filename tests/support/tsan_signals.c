/* Linked into rpd's programs where they are built with ThreadSanitizer, and only there.
 *
 * ThreadSanitizer (LLVM 14) keeps signals that wait for their handler in a
 * record that a thread gets at its first blocking call. A signal that comes while that
 * record is being made is lost. So the main thread makes its blocking call here,
 * before main(), while nothing handles a signal yet. */
#include <time.h>

static void __attribute__((constructor)) wait_for_nothing(void)
{
    nanosleep(&(struct timespec){0}, NULL);
}
