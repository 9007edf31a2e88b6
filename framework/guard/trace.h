/* A backtrace: taken within a signal handler, and written as text:
 *
 *     f1+0x1f (echo.so) < f2+0x2 (echo.so) x3 < f3+0x40 (echo.so)
 *
 * All of it is async-signal-safe, once trace_prepare() has been called. */
#ifndef FRAMEWORK_TRACE_H
#define FRAMEWORK_TRACE_H

#include "guard/symbol.h"

#include <stdbool.h>
#include <stdint.h>

enum { TRACE_FRAMES_MAX = 64 };

/* The calls that led somewhere, innermost first. */
struct trace {
    void *frames[TRACE_FRAMES_MAX];
    int count;
    int first;           /* the frame to blame */
    bool first_is_exact; /* an instruction's own address, not a return address */
};

/* [start] Loads what a backtrace needs, which takes some 200 us. */
void trace_prepare(void);

/* [any] Within a handler: from the place that the signal has interrupted on
 * outwards, without the handler's own frames. */
void trace_take(struct trace *trace, uintptr_t counter);

/* [any] Whether that address is in the C library. */
bool trace_is_libc(const void *address);

/* [any] Blames the innermost frame outside the C library, if there is one. */
void trace_skip_libc(struct trace *trace);

/* [any] Where C++ has ended the process (std::terminate), blames what made it do so. Whether that
 * was an exception which nothing caught. */
bool trace_skip_terminate(struct trace *trace);

/* [any] Leaves out how the outermost callback came to be called: the frames of
 * rpd, libevent and the start of the thread, if there are others further in. */
void trace_cut_callers(struct trace *trace);

/* [any] How symbol_add() shall look for the frame to blame. */
unsigned trace_how_to_look(bool exact);

/* [any] The frames from the blamed one on, as text. */
void trace_add(struct text_builder *text, const struct trace *trace);

#endif
