/* Public functions that only the loop's thread may call: [loop] in their headers. One that is
 * called elsewhere, on a worker or on a thread of the plugin's own, is named once a
 * function, with where in the plugin, and
 *
 *   - does nothing, where it would change or read what the loop works on: it returns -1,
 *     false or an empty span;
 *   - answers, where it only hands out a pointer or a number.
 *
 * On the loop the check costs a comparison. */
#ifndef FRAMEWORK_LOOP_ONLY_H
#define FRAMEWORK_LOOP_ONLY_H

#include "guard/foreign.h"

#include <stdatomic.h>

void loop_only_name(const char *function, const void *caller, const char *outcome);

#define LOOP_ONLY_(outcome)                                                                        \
    __extension__({                                                                                \
        static atomic_bool named_;                                                                 \
        const bool is_elsewhere_ = __builtin_expect(!foreign_context_.is_loop, 0);                 \
        if (is_elsewhere_ && !atomic_exchange(&named_, true))                                      \
            loop_only_name(__func__, __builtin_return_address(0), outcome);                        \
        is_elsewhere_;                                                                             \
    })

/* First in such a function: if (loop_only_refuses()) return -1; */
#define loop_only_refuses() LOOP_ONLY_("refused")
#define loop_only_warns() ((void)LOOP_ONLY_("answered, by luck"))

#endif
