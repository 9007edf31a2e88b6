/* One request to a daemon's control socket, and its answer. */
#ifndef FRAMEWORK_RPDCTL_ASK_H
#define FRAMEWORK_RPDCTL_ASK_H

/* line: with its newline. Waits for the answer as long as the daemon lives. The answer, without
 * newline, to be freed; NULL: the daemon cannot be asked, or has ended. */
char *rpdctl_ask(const char *control_path, const char *line);

#endif
