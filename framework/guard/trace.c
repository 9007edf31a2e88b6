/* Backtraces. See trace.h. backtrace() is async-signal-safe only once libgcc is
 * loaded, hence trace_prepare(). */
#include "guard/trace.h"

#include <execinfo.h>
#include <gnu/libc-version.h>
#include <stdatomic.h>
#include <string.h>

enum { SHOWN_MAX = 16 }; /* where a run of the same counts as one */

static atomic_bool is_prepared;

void trace_prepare(void)
{
    void *frames[1];

    backtrace(frames, 0); /* loads it; there is no need to walk a stack */
    atomic_store(&is_prepared, true);
}

/* By a function that no sanitizer replaces. */
bool trace_is_libc(const void *address)
{
    return symbol_object((uintptr_t)address) == symbol_object((uintptr_t)gnu_get_libc_version);
}

void trace_skip_libc(struct trace *trace)
{
    int at = trace->first;

    while (at < trace->count && trace_is_libc(trace->frames[at]))
        at++;
    if (at < trace->count && at > trace->first) {
        trace->first = at;
        trace->first_is_exact = false;
    }
}

static bool begins_with_one_of(const char *text, const char *const *beginnings)
{
    for (; *beginnings; beginnings++)
        if (strncmp(text, *beginnings, strlen(*beginnings)) == 0)
            return true;
    return false;
}

/* By names, since libstdc++ may be linked into the plugin. */
bool trace_skip_terminate(struct trace *trace)
{
    static const char *const terminate[] = {"_ZSt9terminate", NULL};
    static const char *const throwing[] = {"__cxa_throw", "__cxa_rethrow", NULL};
    static const char *const runtime[] = {"_ZSt", "_ZN10__cxxabiv1", "__cxa_", NULL};
    bool has_ended = false, was_thrown = false;

    for (int at = trace->first; at < trace->count; at++) {
        struct symbol symbol;
        const bool is_known = symbol_find((uintptr_t)trace->frames[at],
                                          SYMBOL_NO_FILES | SYMBOL_RETURN_ADDRESS, &symbol);

        if (!is_known)
            *symbol.function = '\0';
        has_ended = has_ended || begins_with_one_of(symbol.function, terminate);
        if (!has_ended)
            continue;
        if (!begins_with_one_of(symbol.function, runtime)) {
            trace->first = at;
            trace->first_is_exact = false;
            return was_thrown;
        }
        was_thrown = was_thrown || begins_with_one_of(symbol.function, throwing);
    }
    return false;
}

/* The unwinder reports the place of the signal as it is. */
void trace_take(struct trace *trace, uintptr_t counter)
{
    trace->count = 0;
    if (atomic_load(&is_prepared))
        trace->count = backtrace(trace->frames, TRACE_FRAMES_MAX);
    trace->first_is_exact = true;
    for (trace->first = 0; trace->first < trace->count; trace->first++)
        if ((uintptr_t)trace->frames[trace->first] == counter)
            return;
    trace->frames[0] = (void *)counter;
    trace->count = 1;
    trace->first = 0;
}

static bool is_caller(const void *address)
{
    static const char libevent[] = "libevent";
    struct symbol symbol;

    return trace_is_libc(address) ||
           symbol_object((uintptr_t)address) == symbol_object((uintptr_t)trace_take) ||
           (symbol_find((uintptr_t)address, SYMBOL_NO_FILES | SYMBOL_RETURN_ADDRESS, &symbol) &&
            (symbol.is_program ||
             strncmp(symbol_base_name(symbol.object), libevent, sizeof libevent - 1) == 0));
}

void trace_cut_callers(struct trace *trace)
{
    int count = trace->count;

    while (count > trace->first && is_caller(trace->frames[count - 1]))
        count--;
    if (count > trace->first)
        trace->count = count;
}

unsigned trace_how_to_look(bool exact)
{
    return exact ? 0U : (unsigned)SYMBOL_RETURN_ADDRESS;
}

void trace_add(struct text_builder *text, const struct trace *trace)
{
    int at = trace->first;

    for (int shown = 0; at < trace->count && shown < SHOWN_MAX; shown++) {
        const uintptr_t frame = (uintptr_t)trace->frames[at];
        int run = 1;

        if (shown > 0)
            text_add(text, " < ");
        symbol_add(text, frame, trace_how_to_look(at == trace->first && trace->first_is_exact));
        while (at + run < trace->count && (uintptr_t)trace->frames[at + run] == frame)
            run++;
        if (run > 1) { /* a recursion: seen TRACE_FRAMES_MAX times at most */
            text_add(text, " x");
            text_add_decimal(text, run);
        }
        at += run;
    }
    if (at < trace->count)
        text_add(text, " < ...");
}
