/* Writing lines to stderr without ever waiting for its reader: a pipe that no process reads must
 * stop neither the loop nor the end of the process.
 *
 * If stderr is the journal's own socket, which $JOURNAL_STREAM names, each line begins with its
 * priority, "<3>". If it is a file, each line of text begins with the time and its offset:
 * "2026-01-02T03:04:05.678+01:00 ". */
#ifndef FRAMEWORK_OUTPUT_H
#define FRAMEWORK_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

enum { OUTPUT_LINE_MAX = 4096 }; /* a pipe takes this many bytes whole or not at all */
enum { OUTPUT_HEAD_MAX = 32 };

/* The priorities of syslog. */
enum output_priority { OUTPUT_ERROR = 3, OUTPUT_WARNING = 4, OUTPUT_INFO = 6, OUTPUT_DEBUG = 7 };

/* [start] Finds out where stderr goes. Called before the first line; without it lines have no
 * prefix. */
void output_begin(void);

/* [start] The lines already carry their time. */
void output_without_time(void);

/* [start] Called before other threads write. Until then a write may block if another process fills
 * the pipe at that moment. */
void output_open(void);

/* [any] The time zone may have changed. Not for signal handlers. */
void output_note_zone(void);

/* [any] Called in a forked child, where another thread may have held the C library's lock: the zone
 * stays as it was. */
void output_keep_zone(void);

/* [any] Async-signal-safe. Writes the prefix of a line, and returns its size. */
size_t output_head(enum output_priority priority, char head[OUTPUT_HEAD_MAX]);

/* [any] Async-signal-safe. Writes a whole line. Returns false if there was no room. */
bool output_write(enum output_priority priority, const char *line, size_t size);

#endif
