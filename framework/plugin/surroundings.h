/* State that exists once per process and that foreign code may change for the whole
 * process: the signal mask and handlers, umask, working directory, resource limits and
 * locale. It is saved before such code runs, and restored afterwards, with a warning
 * that names the owner of the code and the change. */
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

/* [start] Call on the same thread. whose: "constructors", "bind()". Threads that were
 * started are reported, and keep running. */
void surroundings_put_back(struct surroundings *saved, const char *service, const char *plugin,
                           const char *whose);

/* [loop] Restores only the signal mask and handlers from the saved state, and reports what had
 * been changed. False: nothing. */
bool surroundings_put_back_signals(const struct surroundings *saved, char *ret_changes,
                                   size_t size);

/* Legal at any time. */
void surroundings_finish(struct surroundings *saved);

#endif
