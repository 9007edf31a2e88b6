/* All of the `rpd` command: reads the command line and the configuration, and runs them. */
#include <rpd/main.h>

#include "base/build.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/output.h"
#include "config/arguments.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "endpoint/adopt.h"
#include "guard/outcome.h"
#include "guard/signals.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int report_all(struct error *errors, size_t count)
{
    int code = count > 0 ? (int)errors[0].code : EXIT_SYSTEM;

    for (size_t i = 0; i < count; i++)
        outcome_report(&errors[i]);
    free(errors);
    return code;
}

static int run(const struct arguments *arguments, uint64_t started_us)
{
    struct config config;
    struct error *errors;
    size_t count;
    int code = 0;

    if (config_load(&config, &arguments->request, &errors, &count) < 0)
        return report_all(errors, count);
    log_configure(config.log_level, config.log_format, (unsigned)config.log_limit);
    if (arguments->mode == ARGUMENTS_PRINT_CONFIG)
        config_print(&config);
    else
        code = daemon_run(arguments, &config, started_us);
    config_finish(&config);
    return code;
}

int rpd_main(int argc, char **argv)
{
    const uint64_t started_us = clock_us();
    struct arguments arguments;
    struct error error;
    int code = 0;
    bool failed;

    signals_install();
    output_begin();
    failed = arguments_parse(&arguments, argc, argv, &error) < 0;
    outcome_set_start_fd(arguments.start_fd);
    if (failed)
        code = outcome_report(&error);
    else if (arguments.mode == ARGUMENTS_HELP)
        fputs(arguments_help, stdout);
    else if (arguments.mode == ARGUMENTS_VERSION)
        puts("rpd " RPD_VERSION);
    else if (arguments.mode == ARGUMENTS_PRINT_SCHEMA)
        code = config_print_schema(&error) < 0 ? outcome_report(&error) : 0;
    else
        code = run(&arguments, started_us);
    arguments_finish(&arguments);
    if (adoption_is_hopeless(code))
        adoption_turn_away_early();
    if (fflush(stdout) != 0 && code == 0) {
        log_line(RPD_LOG_ERROR, NULL, "output: stdout: cannot write; check where it is redirected");
        code = EXIT_SYSTEM;
    }
    log_tell_left_out(true);
    outcome_ended(code, NULL);
    return code;
}
