/* Names calls on the wrong thread. See loop_only.h. */
#include "guard/loop_only.h"

#include "base/log.h"
#include "guard/foreign.h"
#include "guard/symbol.h"

void loop_only_name(const char *function, const void *caller, const char *outcome)
{
    const struct foreign_context *here = foreign_here();
    char where[256];
    struct text_builder text;

    if (here->is_forked)
        return; /* foreign_leave_forked() has the line */
    text_init(&text, where, sizeof where);
    symbol_add(&text, (uintptr_t)caller, SYMBOL_RETURN_ADDRESS);
    where[text.used] = '\0';
    log_line(RPD_LOG_WARNING, foreign_place_of(here).service,
             "%s called %s() on %s%s; %s: only the loop's thread may call it, as in a job's done",
             where, function, here->thread ? "the thread of a " : "a thread of its own",
             here->thread ? here->thread : "", outcome);
}
