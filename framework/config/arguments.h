/* The command line of rpd: its syntax. What its values mean is config.h's. */
#ifndef FRAMEWORK_ARGUMENTS_H
#define FRAMEWORK_ARGUMENTS_H

#include "base/error.h"
#include "config/config.h"

enum arguments_mode {
    ARGUMENTS_RUN,
    ARGUMENTS_TEST, /* check, and leave */
    ARGUMENTS_PRINT_CONFIG,
    ARGUMENTS_PRINT_SCHEMA,
    ARGUMENTS_HELP,
    ARGUMENTS_VERSION
};

struct arguments {
    enum arguments_mode mode;
    struct config_request request; /* its strings are argv's, its arrays are owned here */
    int notify_fd, start_fd;       /* -1: none */
    const char *log_file;          /* that stderr is; NULL: none */
};

/* 0, or -1 with an error (64). argv stays as it is. Finish the arguments in
 * both cases. --help and --version win over all that stands behind them. */
int arguments_parse(struct arguments *arguments, int argc, char **argv, struct error *error);
void arguments_finish(struct arguments *arguments);

/* [start] The name of an option that getopt did not take, as the user wrote it: "-x",
 * which is made in letter, or the word of argv. */
const char *arguments_culprit(char **argv, char letter[3]);

/* What --help prints. */
extern const char arguments_help[];

#endif
