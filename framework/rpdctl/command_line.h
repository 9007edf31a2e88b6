/* The command lines of rpdctl's commands: how all commands read and refuse them. Each function
 * returns 0, or 64 after it has reported the error. argv[0] is the command's name. */
#ifndef FRAMEWORK_RPDCTL_COMMAND_LINE_H
#define FRAMEWORK_RPDCTL_COMMAND_LINE_H

#include <getopt.h>
#include <stdint.h>

/* Notes an option: its letter, or its val of the table. Its value is optarg. */
typedef int (*rpdctl_take_fn)(void *request, int option, char **argv);

/* Takes each option in its turn, until one is not taken. letters and options are getopt_long()'s;
 * the letters begin with ":". */
int rpdctl_take_options(int argc, char **argv, const char *letters, const struct option *options,
                        rpdctl_take_fn take, void *request);

/* Takes the argument after the options: the service, or the plugin, that is named, and nothing
 * else. */
int rpdctl_take_service(int argc, char **argv, const char **ret_service);
int rpdctl_take_plugin(int argc, char **argv, const char **ret_plugin);

/* Reads an option's seconds, such as 2 or 0.5. */
int rpdctl_take_seconds(const char *command, const char *option, const char *text,
                        uint64_t *ret_us);

#endif
