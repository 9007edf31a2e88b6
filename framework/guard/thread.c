/* Making threads. See thread.h. */
#include "guard/thread.h"

#include "guard/crash.h"
#include "guard/stack.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

struct beginning {
    const char *name;
    void (*run)(void *arg);
    void *arg;
};

static void *begin(void *argument)
{
    const struct beginning beginning = *(struct beginning *)argument;

    free(argument);
    crash_thread_begin(beginning.name);
    beginning.run(beginning.arg);
    crash_thread_end();
    return NULL;
}

/* A fault whose signal is blocked would kill the process without a word; and
 * every thread can be asked where it is. */
static void block_what_is_the_loops(sigset_t *ret_before)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        sigdelset(&set, crashes[i]);
    sigdelset(&set, stack_signal());
    pthread_sigmask(SIG_SETMASK, &set, ret_before);
}

int thread_create(pthread_t *ret_thread, const char *name, size_t stack_size,
                  void (*run)(void *arg), void *arg)
{
    struct beginning *beginning = malloc(sizeof *beginning);
    pthread_attr_t attributes;
    sigset_t before;
    int failed;

    if (!beginning)
        return ENOMEM;
    *beginning = (struct beginning){name, run, arg};
    pthread_attr_init(&attributes);
    if (stack_size > 0)
        pthread_attr_setstacksize(&attributes, stack_size);
    block_what_is_the_loops(&before);
    failed = pthread_create(ret_thread, &attributes, begin, beginning);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed)
        free(beginning);
    return failed;
}
