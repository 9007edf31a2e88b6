/* Sends lines to systemd's journal with its native protocol: each is a datagram of fields. */
#ifndef FRAMEWORK_JOURNAL_H
#define FRAMEWORK_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

/* The fields of a line besides its text. NULL: none. */
struct journal_fields {
    const char *service, *part;
    const char *message_id; /* 32 hexadecimal digits: the kind of line */
};

/* [start] Connects to the journal: $RPD_JOURNAL_SOCKET, or the system's. False: it is not there. */
bool journal_open(void);

/* [any] Async-signal-safe. size: without a newline. False: the journal could not take the line
 * now. */
bool journal_send(int priority, const char *line, size_t size, const struct journal_fields *fields);

/* [any] The message id of lines with this beginning, or NULL. */
const char *journal_message_id(const char *message);

#endif
