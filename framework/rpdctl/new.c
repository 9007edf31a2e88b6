/* rpdctl new: writes the project of a new plugin. All of its files or, where one
 * cannot be written, none. */
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/templates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROJECT_NAME_MAX = 63 };

static const char help[] =
    "Usage: rpdctl new NAME\n"
    "\n"
    "Writes ./NAME: the project of a plugin that builds, passes its test and runs.\n"
    "\n"
    "    rpdctl new demo && cd demo\n"
    "    cmake -B build && cmake --build build && ctest --test-dir build\n"
    "    rpd build/demo.so\n"
    "\n"
    "NAME becomes the backend's and the service's: a to z, 0 to 9 and _, starting\n"
    "with a letter, at most 63 of them.\n"
    "\n"
    "Exit codes: 0 done, 1 ./NAME is there or cannot be made, 64 bad command line.\n";

/* ---- names ----------------------------------------------------------------------------- */

/* C would not take them. */
static bool is_taken(const char *name)
{
    static const char *const words[] = {
        "auto",   "break",    "case",   "char",   "const",    "continue", "default", "do",
        "double", "else",     "enum",   "extern", "float",    "for",      "goto",    "if",
        "inline", "int",      "long",   "main",   "register", "restrict", "return",  "short",
        "signed", "sizeof",   "static", "struct", "switch",   "typedef",  "union",   "unsigned",
        "void",   "volatile", "while",  "rpd",    "librpd",
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

static const char *name_mistake(const char *name)
{
    if (name[0] < 'a' || name[0] > 'z' ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
        return "a name is made of a to z, 0 to 9 and _, and starts with a letter";
    if (strlen(name) > PROJECT_NAME_MAX)
        return "a name has at most 63 letters";
    return is_taken(name) ? "C or rpd has that word for itself; take another" : NULL;
}

/* ---- files ----------------------------------------------------------------------------- */

/* The text, with the name for each word. */
static void write_named(FILE *stream, const char *text, const char *name)
{
    const size_t size = strlen(RPDCTL_TEMPLATE_WORD);

    for (const char *word; (word = strstr(text, RPDCTL_TEMPLATE_WORD)); text = word + size) {
        fwrite(text, 1, (size_t)(word - text), stream);
        fputs(name, stream);
    }
    fputs(text, stream);
}

static void name_file(char path[NAME_MAX + 1], const struct rpdctl_template *template,
                      const char *name)
{
    const size_t size = strlen(RPDCTL_TEMPLATE_WORD);

    if (strncmp(template->name, RPDCTL_TEMPLATE_WORD, size) == 0)
        snprintf(path, NAME_MAX + 1, "%s%s", name, template->name + size);
    else
        snprintf(path, NAME_MAX + 1, "%s", template->name);
}

static int write_file(int directory, const struct rpdctl_template *template, const char *name)
{
    char path[NAME_MAX + 1];
    FILE *stream;
    int fd;

    name_file(path, template, name);
    fd = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                template->is_program ? 0755 : 0644);
    stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (!stream)
        return -1;
    write_named(stream, template->text, name);
    const bool failed = ferror(stream) || fchmod(fd, template->is_program ? 0755 : 0644) < 0;
    return fclose(stream) != 0 || failed ? -1 : 0;
}

static void remove_project(int directory, const char *name)
{
    char path[NAME_MAX + 1];

    for (const struct rpdctl_template *at = rpdctl_templates; at->name; at++) {
        name_file(path, at, name);
        unlinkat(directory, path, 0);
    }
    rmdir(name);
}

static int make_project(const char *name)
{
    int directory, cause;

    if (mkdir(name, 0755) < 0) {
        rpdctl_say("new: ./%s: cannot make it: %s; %s", name, strerror(errno),
                   errno == EEXIST ? "take another name, or remove it"
                                   : "go where you can make directories");
        return RPDCTL_NO;
    }
    directory = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const struct rpdctl_template *at = rpdctl_templates; at->name; at++) {
        if (directory >= 0 && write_file(directory, at, name) == 0)
            continue;
        cause = errno;
        remove_project(directory, name);
        rpdctl_say("new: ./%s: cannot write it: %s; nothing was left", name, strerror(cause));
        return RPDCTL_NO;
    }
    close(directory);
    printf("./%s is there. Now:\n"
           "\n"
           "    cd %s\n"
           "    cmake -B build && cmake --build build && ctest --test-dir build\n"
           "    rpd build/%s.so\n",
           name, name, name);
    return 0;
}

static int run(int argc, char **argv)
{
    const char *mistake;

    if (argc != 2)
        return rpdctl_refuse(argv[0], "one name is needed");
    mistake = name_mistake(argv[1]);
    if (mistake)
        return rpdctl_refuse(argv[0], "%s: %s", argv[1], mistake);
    return make_project(argv[1]);
}

const struct rpdctl_command rpdctl_new = {
    .name = "new",
    .summary = "writes the project of a new plugin",
    .help = help,
    .run = run,
};
