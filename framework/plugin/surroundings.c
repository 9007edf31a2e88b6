/* The process around foreign code. See surroundings.h. */
#include "plugin/surroundings.h"

#include "base/log.h"
#include "guard/crash_chain.h"
#include "guard/stack.h"
#include "guard/symbol.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Those that rpd itself lives by; 0 stands for stack_signal(). */
static const int own_signals[SURROUNDINGS_SIGNALS] = {
    SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGTERM, SIGINT, SIGHUP, SIGPIPE, 0};

static const char *const limit_names[] = {
    [RLIMIT_CPU] = "CPU",           [RLIMIT_FSIZE] = "FSIZE",
    [RLIMIT_DATA] = "DATA",         [RLIMIT_STACK] = "STACK",
    [RLIMIT_CORE] = "CORE",         [RLIMIT_RSS] = "RSS",
    [RLIMIT_NPROC] = "NPROC",       [RLIMIT_NOFILE] = "NOFILE",
    [RLIMIT_MEMLOCK] = "MEMLOCK",   [RLIMIT_AS] = "AS",
    [RLIMIT_LOCKS] = "LOCKS",       [RLIMIT_SIGPENDING] = "SIGPENDING",
    [RLIMIT_MSGQUEUE] = "MSGQUEUE", [RLIMIT_NICE] = "NICE",
    [RLIMIT_RTPRIO] = "RTPRIO",     [RLIMIT_RTTIME] = "RTTIME",
};
_Static_assert(sizeof limit_names / sizeof *limit_names == RLIM_NLIMITS, "each has a name");

static int own_signal(size_t at)
{
    return own_signals[at] ? own_signals[at] : stack_signal();
}

/* The directory of threads has a link for each, and two more. */
static int count_threads(void)
{
    struct stat status;

    return stat("/proc/self/task", &status) < 0 ? 0 : (int)status.st_nlink - 2;
}

static mode_t current_umask(void)
{
    const mode_t mask = umask(077);

    umask(mask);
    return mask;
}

void surroundings_save(struct surroundings *ret)
{
    const char *locale = setlocale(LC_ALL, NULL);

    sigemptyset(&ret->signal_mask);
    pthread_sigmask(SIG_SETMASK, NULL, &ret->signal_mask);
    for (size_t i = 0; i < SURROUNDINGS_SIGNALS; i++)
        sigaction(own_signal(i), NULL, &ret->actions[i]);
    ret->umask = current_umask();
    ret->directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < (int)RLIM_NLIMITS; i++)
        getrlimit((__rlimit_resource_t)i, &ret->limits[i]);
    ret->locale = locale ? strdup(locale) : NULL;
    ret->thread_locale = uselocale((locale_t)0);
    ret->threads = count_threads();
    ret->is_saved = true;
}

void surroundings_finish(struct surroundings *saved)
{
    if (!saved->is_saved)
        return;
    free(saved->locale);
    if (saved->directory >= 0)
        close(saved->directory);
    saved->is_saved = false;
}

/* ---- one by one: what differs is named, and put back ------------------------ */

static void add(struct text_builder *changes, const char *what)
{
    if (changes->used > 0)
        text_add(changes, ", ");
    text_add(changes, what);
}

static void put_back_signal_mask(const struct surroundings *saved, struct text_builder *changes)
{
    sigset_t now;
    int differ = 0;

    sigemptyset(&now);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int number = 1; number < NSIG; number++)
        differ += sigismember(&now, number) != sigismember(&saved->signal_mask, number);
    if (differ == 0)
        return;
    pthread_sigmask(SIG_SETMASK, &saved->signal_mask, NULL);
    add(changes, "the signal mask");
}

static void put_back_actions(const struct surroundings *saved, size_t count,
                             struct text_builder *changes)
{
    for (size_t i = 0; i < count; i++) {
        struct sigaction now;

        if (sigaction(own_signal(i), NULL, &now) < 0 ||
            (now.sa_handler == saved->actions[i].sa_handler &&
             (now.sa_flags & SA_SIGINFO) == (saved->actions[i].sa_flags & SA_SIGINFO)))
            continue;
        sigaction(own_signal(i), &saved->actions[i], NULL);
        add(changes, "the handler of SIG");
        text_add(changes, sigabbrev_np(own_signal(i)) ? sigabbrev_np(own_signal(i)) : "RT");
        if (crash_chain_add(own_signal(i), &now))
            text_add(changes, " (stays for faults in its own code)");
    }
}

static void put_back_umask(const struct surroundings *saved, struct text_builder *changes)
{
    if (umask(saved->umask) != saved->umask)
        add(changes, "the umask");
}

static void put_back_directory(const struct surroundings *saved, struct text_builder *changes)
{
    struct stat was, now;

    if (saved->directory < 0 || fstat(saved->directory, &was) < 0 ||
        (stat(".", &now) == 0 && was.st_dev == now.st_dev && was.st_ino == now.st_ino))
        return;
    add(changes, "the working directory");
    if (fchdir(saved->directory) < 0)
        text_add(changes, " (stays so)");
}

static void put_back_limits(struct surroundings *saved, struct text_builder *changes)
{
    for (int i = 0; i < (int)RLIM_NLIMITS; i++) {
        struct rlimit *was = &saved->limits[i], now;

        if (getrlimit((__rlimit_resource_t)i, &now) < 0 ||
            (now.rlim_cur == was->rlim_cur && now.rlim_max == was->rlim_max))
            continue;
        add(changes, "RLIMIT_");
        text_add(changes, limit_names[i]);
        if (setrlimit((__rlimit_resource_t)i, was) == 0)
            continue;
        text_add(changes, " (stays so)");
        *was = now;
    }
}

static void put_back_locale(const struct surroundings *saved, struct text_builder *changes)
{
    const char *now = setlocale(LC_ALL, NULL);
    bool differs = uselocale((locale_t)0) != saved->thread_locale;

    uselocale(saved->thread_locale);
    if (saved->locale && now && strcmp(now, saved->locale) != 0) {
        setlocale(LC_ALL, saved->locale);
        differs = true;
    }
    if (differs)
        add(changes, "the locale");
}

static void tell_threads(struct surroundings *saved, const char *service, const char *plugin,
                         const char *whose)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    int threads = count_threads();

    /* One that has been joined is still counted while the kernel takes it down. */
    for (int i = 0; i < 10 && threads > saved->threads; i++) {
        nanosleep(&moment, NULL);
        threads = count_threads();
    }
    if (threads > saved->threads)
        log_line(RPD_LOG_WARNING, service,
                 "%s: its %s started %d %s; start them in load() or serve()", plugin, whose,
                 threads - saved->threads, threads - saved->threads == 1 ? "thread" : "threads");
    saved->threads = threads;
}

/* But that of stack_signal(), which stack.c installs anew whenever it asks. */
bool surroundings_put_back_signals(const struct surroundings *saved, char *ret_changes, size_t size)
{
    struct text_builder changes;

    text_init(&changes, ret_changes, size);
    put_back_signal_mask(saved, &changes);
    put_back_actions(saved, SURROUNDINGS_SIGNALS - 1, &changes);
    ret_changes[changes.used] = '\0';
    return changes.used > 0;
}

void surroundings_put_back(struct surroundings *saved, const char *service, const char *plugin,
                           const char *whose)
{
    char bytes[512];
    struct text_builder changes;

    if (!saved->is_saved)
        return;
    text_init(&changes, bytes, sizeof bytes);
    put_back_signal_mask(saved, &changes);
    put_back_actions(saved, SURROUNDINGS_SIGNALS, &changes);
    put_back_umask(saved, &changes);
    put_back_directory(saved, &changes);
    put_back_limits(saved, &changes);
    put_back_locale(saved, &changes);
    bytes[changes.used] = '\0';
    if (changes.used > 0)
        log_line(RPD_LOG_WARNING, service,
                 "%s: its %s changed %s; put back: these belong to the whole process", plugin,
                 whose, bytes);
    tell_threads(saved, service, plugin, whose);
}
