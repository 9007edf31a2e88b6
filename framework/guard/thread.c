/* Making threads. See thread.h. */
#include "guard/thread.h"

#include "guard/crash.h"
#include "guard/stack.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

struct beginning {
    const char *name;
    void (*run)(void *arg);
    void *arg;
};

static void end(void *unused)
{
    (void)unused;
    crash_thread_end();
}

/* Foreign code may call pthread_exit(). */
static void *begin(void *argument)
{
    const struct beginning beginning = *(struct beginning *)argument;

    free(argument);
    crash_thread_begin(beginning.name);
    pthread_cleanup_push(end, NULL);
    beginning.run(beginning.arg);
    pthread_cleanup_pop(1);
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

/* What libc itself takes of each thread's stack: above all the static TLS of all
 * libraries, which preloaded ones and GLIBC_TUNABLES can make larger than a small
 * stack. It has no public name; without it, nothing is added. */
static size_t stack_of_libc(const pthread_attr_t *attributes)
{
    size_t (*minimum)(const pthread_attr_t *attributes);

    *(void **)&minimum = dlsym(RTLD_DEFAULT, "__pthread_get_minstack");
    return minimum ? minimum(attributes) : 0;
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
        pthread_attr_setstacksize(&attributes, stack_size + stack_of_libc(&attributes));
    block_what_is_the_loops(&before);
    failed = pthread_create(ret_thread, &attributes, begin, beginning);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed)
        free(beginning);
    return failed;
}
