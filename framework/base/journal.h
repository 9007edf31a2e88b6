/* Lines to systemd's journal by its native protocol: a datagram each, of fields. */
#ifndef FRAMEWORK_JOURNAL_H
#define FRAMEWORK_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

/* What is said of a line beside its text. NULL: nothing. */
struct journal_fields {
    const char *service, *part;
    const char *message_id; /* 32 hexadecimal digits: of what kind it is */
};

/* [start] Opens the way to the journal, $RPD_JOURNAL_SOCKET or its own. False: it is not there. */
bool journal_open(void);

/* [any], async-signal-safe. size: without a newline. False: it could not take it now. */
bool journal_send(int priority, const char *line, size_t size, const struct journal_fields *fields);

/* [any] The id of lines that begin so, or NULL. */
const char *journal_message_id(const char *message);

#endif
