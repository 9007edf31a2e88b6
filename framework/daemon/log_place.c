/* Where the log goes. See log_place.h. */
#include "daemon/log_place.h"

#include "base/log.h"
#include "base/output.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

int log_place_open(const struct arguments *arguments, const struct config *config,
                   struct error *error)
{
    const char *to = config->log_to;
    const bool is_file = to && strcmp(to, "stderr") != 0 && strcmp(to, "journal") != 0;

    if (arguments->mode != ARGUMENTS_RUN)
        return 0;
    if (arguments->log_file)
        output_to_file(arguments->log_file, true);
    if (is_file && output_to_file(to, false) < 0)
        return error_set(error, EXIT_RECORD, "start", to,
                         "cannot open the log: %s; change log.to, or make its directory",
                         strerror(errno));
    if (is_file || (to && strcmp(to, "stderr") == 0) || output_to_journal(to != NULL) || !to)
        return 0;
    log_line(RPD_LOG_WARNING, NULL,
             "log.to: the journal's socket is not there; lines go to stderr");
    return 0;
}
