/* The syntax of rpd's command line. config.h handles the meaning of its values. */
#ifndef FRAMEWORK_ARGUMENTS_H
#define FRAMEWORK_ARGUMENTS_H

#include "base/error.h"
#include "config/config.h"

enum arguments_mode {
    ARGUMENTS_RUN,
    ARGUMENTS_TEST, /* check, and exit */
    ARGUMENTS_PRINT_CONFIG,
    ARGUMENTS_PRINT_SCHEMA,
    ARGUMENTS_HELP,
    ARGUMENTS_VERSION
};

struct arguments {
    enum arguments_mode mode;
    struct config_request request; /* its strings are argv's, its arrays are owned here */
    int notify_fd, start_fd;       /* -1: none */
    int runner_fd;                 /* of the keeper that started this process; -1: no keeper did */
    bool is_kept;                  /* --keeper */
    char **argv;                   /* all of it, the caller's */
    const char *log_file;          /* that stderr is; NULL: none */
};

/* Returns 0, or -1 with an error (64). argv is not changed. Finish the arguments in
 * both cases. --help and --version override everything after them. */
int arguments_parse(struct arguments *arguments, int argc, char **argv, struct error *error);
void arguments_finish(struct arguments *arguments);

/* [start] The name of an option that getopt did not accept, as the user wrote it: "-x",
 * which is written to letter, or the word in argv. */
const char *arguments_culprit(char **argv, char letter[3]);

/* What --help prints. */
extern const char arguments_help[];

#endif
