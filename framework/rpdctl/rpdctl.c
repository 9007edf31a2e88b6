/* rpdctl: finds the command, and runs it. See rpdctl.h. */
#include "rpdctl/rpdctl.h"

#include "base/build.h"
#include "base/nearest.h"
#include "rpdctl/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct rpdctl_command *const commands[] = {
    &rpdctl_ensure,       &rpdctl_status,   &rpdctl_health, &rpdctl_wait,    &rpdctl_stop,
    &rpdctl_reload,       &rpdctl_restart,  &rpdctl_forget, &rpdctl_connect, &rpdctl_check,
    &rpdctl_check_daemon, &rpdctl_describe, &rpdctl_new,    &rpdctl_metrics, &rpdctl_log,
    &rpdctl_timeline,     &rpdctl_clients,  &rpdctl_doctor,
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    puts("Usage: rpdctl [-d DIR] COMMAND [ARGUMENT]...\n"
         "\n"
         "Starts services of rpd, looks at them and ends them; helps to write plugins.\n");
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i]->summary)
            printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    puts("\n"
         "  -d DIR         before the command: the run-time directory, instead of that of\n"
         "                 $RPD_RUNTIME_DIR, or the user's own\n"
         "      --help     print this; rpdctl help COMMAND has more\n"
         "      --version  print the version\n"
         "\n"
         "Exit codes: 0 yes or done, 1 no or failed, 64 bad command line; of ensure: those of\n"
         "rpd, and 1 timed out.");
}

/* NULL after it has reported the error. */
static const struct rpdctl_command *find_command(const char *name)
{
    char hint[NEAREST_HINT_MAX];
    struct nearest nearest;

    nearest_start(&nearest, name);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
        if (commands[i]->summary)
            nearest_try(&nearest, commands[i]->name);
    }
    rpdctl_refuse("", "%s: unknown command%s", name, nearest_hint(&nearest, hint));
    return NULL;
}

static int help_on(const char *name)
{
    const struct rpdctl_command *command;

    if (!name) {
        print_help();
        return 0;
    }
    command = find_command(name);
    if (!command)
        return EXIT_COMMAND_LINE;
    fputs(command->help, stdout);
    return 0;
}

/* Programs that rpdctl starts use this directory, too. */
static int choose_directory(const char *path)
{
    char *here = *path == '/' ? NULL : getcwd(NULL, 0), *whole = NULL;
    int failed = *path == '/' ? setenv("RPD_RUNTIME_DIR", path, 1) : -1;

    if (*path && here && asprintf(&whole, "%s/%s", here, path) >= 0)
        failed = setenv("RPD_RUNTIME_DIR", whole, 1);
    free(here);
    free(whole);
    if (failed)
        rpdctl_say("-d '%s': no directory can have that path; name another", path);
    return failed;
}

static int dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct rpdctl_command *command;

    if (strcmp(name, "-d") == 0) {
        if (argc < 3)
            return rpdctl_refuse("", "-d: needs a value");
        return choose_directory(argv[2]) < 0 ? EXIT_COMMAND_LINE : dispatch(argc - 2, argv + 2);
    }
    if (argc < 2)
        return rpdctl_refuse("", "a command is needed");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help_on(NULL);
    if (strcmp(name, "help") == 0)
        return help_on(argv[2]);
    if (strcmp(name, "--version") == 0) {
        puts("rpdctl " RPD_VERSION);
        return 0;
    }
    command = find_command(name);
    if (!command)
        return EXIT_COMMAND_LINE;
    if (argc > 2 && strcmp(argv[2], "--help") == 0)
        return help_on(name);
    return command->run(argc - 1, argv + 1);
}

/* Otherwise rpdctl would print to the first file that it opens. The streams are opened the wrong
 * way round, so that a closed stdout is reported. */
static void open_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return; /* if that fails, a later call will fail, too, and report it */
}

int main(int argc, char **argv)
{
    int code;

    open_standard_streams();
    /* Files that rpdctl makes are the user's to read and write, whatever the mask says. */
    umask(umask(077) & 077);
    signal(SIGCHLD, SIG_DFL); /* if it were ignored, there would be no children to wait for */
    code = dispatch(argc, argv);

    if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0) {
        rpdctl_say("stdout: cannot write; check where it is redirected");
        return RPDCTL_NO;
    }
    return code;
}
