/* What a process has but once, and what foreign code that runs in it may change
 * for all: the signal mask and handlers, umask, working directory, resource
 * limits and locale. It is saved before, and put back after, with a warning that
 * names whose code it was and what it did. */
#ifndef FRAMEWORK_SURROUNDINGS_H
#define FRAMEWORK_SURROUNDINGS_H

#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { SURROUNDINGS_SIGNALS = 12 };

struct surroundings {
    bool is_saved;
    sigset_t signal_mask; /* of this thread */
    struct sigaction actions[SURROUNDINGS_SIGNALS];
    mode_t umask;
    int directory; /* a descriptor; -1: it cannot be opened */
    struct rlimit limits[RLIM_NLIMITS];
    char *locale;
    locale_t thread_locale;
    int threads;
};

/* [start] */
void surroundings_save(struct surroundings *ret);

/* [start] On the same thread. whose: "constructors", "bind()". Threads that were
 * started are reported, and stay. */
void surroundings_put_back(struct surroundings *saved, const char *service, const char *plugin,
                           const char *whose);

/* [loop] Of what was saved, signal mask and handlers alone: puts them back, and says what had
 * been changed; false: nothing. */
bool surroundings_put_back_signals(const struct surroundings *saved, char *ret_changes,
                                   size_t size);

/* Legal at any time. */
void surroundings_finish(struct surroundings *saved);

#endif
