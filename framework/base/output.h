/* Writing lines to stderr without ever waiting for its reader: a pipe that
 * no process reads must stop neither the loop nor the end of the process.
 *
 * Where stderr is the journal's own socket ($JOURNAL_STREAM names it) each line begins with its
 * priority, "<3>". Where it is a file each line of text begins with the time and its offset:
 * "2026-01-02T03:04:05.678+01:00 ". */
#ifndef FRAMEWORK_OUTPUT_H
#define FRAMEWORK_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

enum { OUTPUT_LINE_MAX = 4096 }; /* what a pipe takes whole or not at all */
enum { OUTPUT_HEAD_MAX = 32 };

/* The priorities of syslog. */
enum output_priority { OUTPUT_ERROR = 3, OUTPUT_WARNING = 4, OUTPUT_INFO = 6, OUTPUT_DEBUG = 7 };

/* [start] Looks where stderr goes. Before the first line; without it lines have no heads. */
void output_begin(void);

/* [any] Whether lines need their time: they do unless they have it already. */
void output_put_time(bool puts);

/* [start] Before other threads write. Until then it may wait if another process
 * fills the pipe at the very same moment. */
void output_open(void);

/* [any] The time zone may have changed. Not for signal handlers. */
void output_note_zone(void);

/* [any] In a forked child, whose C library's lock another thread may have held: the zone stays
 * as it was. */
void output_keep_zone(void);

/* [any], async-signal-safe. Writes what a line begins with here, and returns its size. */
size_t output_head(enum output_priority priority, char head[OUTPUT_HEAD_MAX]);

/* [any], async-signal-safe. Writes a whole line, or returns false: there was no room. */
bool output_write(enum output_priority priority, const char *line, size_t size);

#endif
