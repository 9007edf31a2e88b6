/* Public functions that only the loop's thread may call, marked [loop] in their headers. If one
 * is called elsewhere, on a worker or on a thread of the plugin, this is reported once per
 * function, with the place in the plugin. The function then
 *
 *   - does nothing, if it would change or read what the loop works on: it returns -1,
 *     false or an empty span;
 *   - answers, if it only returns a pointer or a number.
 *
 * On the loop, the check costs one comparison. */
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

/* Put first in such a function: if (loop_only_refuses()) return -1; */
#define loop_only_refuses() LOOP_ONLY_("refused")
#define loop_only_warns() ((void)LOOP_ONLY_("answered, by luck"))

#endif
