/* The command line's part of the configuration: an additional service, or a different
 * plugin, endpoints or options for a service in the file. */
#ifndef FRAMEWORK_CONFIG_COMMAND_LINE_H
#define FRAMEWORK_CONFIG_COMMAND_LINE_H

#include "config/request.h"
#include "config/source.h"

/* Adds the mistakes of the command line (64), without reading the file. */
int config_command_line_check(const struct config_request *request, struct error_list *errors);

/* Finds the directory that its plugin is relative to. */
int config_command_line_begin(struct config_source *source, const struct config_request *request,
                              struct error_list *errors);

/* Merges a checked command line into the checked tree. */
int config_command_line_merge(struct config_source *source, const struct config_request *request,
                              struct error_list *errors);

#endif
