/* Writing lines to stderr without ever waiting for its reader: a pipe that no process reads must
 * stop neither the loop nor the end of the process.
 *
 * If stderr is the journal's own socket, which $JOURNAL_STREAM names, each line begins with its
 * priority, "<3>". If it is a file, each line of text begins with the time and its offset:
 * "2026-01-02T03:04:05.678+01:00 ". */
#ifndef FRAMEWORK_OUTPUT_H
#define FRAMEWORK_OUTPUT_H

#include "base/journal.h"

#include <stdbool.h>
#include <stddef.h>

enum { OUTPUT_LINE_MAX = 4096 }; /* a pipe takes this many bytes whole or not at all */
enum { OUTPUT_HEAD_MAX = 32 };

/* The priorities of syslog. */
enum output_priority { OUTPUT_ERROR = 3, OUTPUT_WARNING = 4, OUTPUT_INFO = 6, OUTPUT_DEBUG = 7 };

/* [start] Finds out where stderr goes. Called before the first line; without it lines have no
 * prefix. */
void output_begin(void);

/* [any] Whether lines need their time: they do unless they have it already. */
void output_put_time(bool puts);
/* [start] stderr becomes this file, which is opened here (is_open: stderr is that file already).
 * The file is reopened by output_reopen(), and by output_look() after it was renamed or removed. -1
 * and errno. */
int output_to_file(const char *path, bool is_open);

/* [start] Lines go to the journal. Returns false if it is not there; then they go to stderr.
 * is_asked: the user configured it; otherwise the journal is used only if stderr is the journal's.
 */
bool output_to_journal(bool is_asked);

/* [any] Not for signal handlers. output_reopen() reopens the file, if there is one. output_look()
 * does so only if the path no longer leads to it, and checks that a few times a second at most. */
void output_reopen(void);
void output_look(void);

/* [any] The place that lines go to: a path, "journal", or "stderr". */
const char *output_place(void);

/* [start] Before other threads write. Until then it may wait if another process
 * fills the pipe at the very same moment. */
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

/* [any] Async-signal-safe. Likewise, with the fields of the line for a log that keeps fields. */
bool output_write_with(enum output_priority priority, const char *line, size_t size,
                       const struct journal_fields *fields);

#endif
