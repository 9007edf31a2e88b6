/* rpdctl new: writes the project of a new plugin. All of its files or, where one
 * cannot be written, none. */
#include "base/nearest.h"
#include "rpdctl/command_line.h"
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
    "Usage: rpdctl new [--kind KIND] NAME\n"
    "\n"
    "Writes ./NAME: the project of a plugin that builds, passes its test and runs.\n"
    "\n"
    "    rpdctl new demo && cd demo\n"
    "    cmake -B build && cmake --build build && ctest --test-dir build\n"
    "    rpd build/demo.so\n"
    "\n"
    "      --kind lines   requests of one line, and a state that is loaded; the default\n"
    "      --kind frames  messages that say how long they are\n"
    "      --kind jobs    answers that take a while, and are made by workers\n"
    "      --kind cpp     as lines, in C++17\n"
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

struct project {
    const char *name;
    const struct rpdctl_kind *kind;
};

/* What stands at a place of a text, if it is a word; its length, or 0. */
static size_t word_at(const struct project *project, const char *at, const char **ret_text)
{
    const size_t size = strlen(RPDCTL_TEMPLATE_WORD);

    *ret_text = project->name;
    if (strncmp(at, RPDCTL_TEMPLATE_WORD, size) == 0)
        return size;
    for (size_t i = 0; *at == '@' && i < RPDCTL_KIND_WORDS; i++) {
        const struct rpdctl_word *word = &project->kind->words[i];

        *ret_text = word->text;
        if (strncmp(at, word->word, strlen(word->word)) == 0)
            return strlen(word->word);
    }
    return 0;
}

/* The text, with what stands for each word; so is what replaces one of the kind's. */
static void write_text(FILE *stream, const char *text, const struct project *project)
{
    while (*text) {
        const char *replacement;
        const size_t size = word_at(project, text, &replacement);

        if (size == 0)
            fputc(*text, stream);
        else if (*text == '@')
            write_text(stream, replacement, project);
        else
            fputs(replacement, stream);
        text += size > 0 ? size : 1;
    }
}

static void name_file(char path[NAME_MAX + 1], const struct rpdctl_template *template,
                      const struct project *project)
{
    FILE *stream = fmemopen(path, NAME_MAX + 1, "w");

    path[0] = '\0';
    if (!stream)
        return; /* no file can have that name */
    write_text(stream, template->name, project);
    fclose(stream);
}

static int write_file(int directory, const struct rpdctl_template *template,
                      const struct project *project)
{
    char path[NAME_MAX + 1];
    FILE *stream;
    int fd;

    name_file(path, template, project);
    fd = openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                template->is_program ? 0755 : 0644);
    stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (!stream)
        return -1;
    write_text(stream, template->text, project);
    const bool failed = ferror(stream) || fchmod(fd, template->is_program ? 0755 : 0644) < 0;
    return fclose(stream) != 0 || failed ? -1 : 0;
}

static void remove_project(int directory, const struct project *project)
{
    char path[NAME_MAX + 1];

    for (const struct rpdctl_template *at = rpdctl_templates; at->name; at++) {
        name_file(path, at, project);
        unlinkat(directory, path, 0);
    }
    rmdir(project->name);
}

static int make_project(const struct project *project)
{
    const char *name = project->name;
    int directory, cause;

    if (mkdir(name, 0755) < 0) {
        rpdctl_say("new: ./%s: cannot make it: %s; %s", name, strerror(errno),
                   errno == EEXIST ? "take another name, or remove it"
                                   : "go where you can make directories");
        return RPDCTL_NO;
    }
    directory = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const struct rpdctl_template *at = rpdctl_templates; at->name; at++) {
        if (directory >= 0 && write_file(directory, at, project) == 0)
            continue;
        cause = errno;
        remove_project(directory, project);
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

/* ---- the command ------------------------------------------------------------------------- */

static int take_kind(void *arg, int option, char **argv)
{
    struct project *project = arg;
    char hint[NEAREST_HINT_MAX];
    struct nearest nearest;

    (void)option;
    nearest_start(&nearest, optarg);
    for (project->kind = rpdctl_kinds; project->kind->name; project->kind++) {
        if (strcmp(project->kind->name, optarg) == 0)
            return 0;
        nearest_try(&nearest, project->kind->name);
    }
    return rpdctl_refuse(argv[0], "--kind %s: expected lines, frames, jobs or cpp%s", optarg,
                         nearest_hint(&nearest, hint));
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"kind", required_argument, NULL, 'k'},
                                            {NULL, 0, NULL, 0}};
    struct project project = {NULL, rpdctl_kinds};
    const char *mistake;
    int code = rpdctl_take_options(argc, argv, ":", options, take_kind, &project);

    if (code)
        return code;
    if (optind + 1 != argc)
        return rpdctl_refuse(argv[0], "one name is needed");
    project.name = argv[optind];
    mistake = name_mistake(project.name);
    if (mistake)
        return rpdctl_refuse(argv[0], "%s: %s", project.name, mistake);
    return make_project(&project);
}

const struct rpdctl_command rpdctl_new = {
    .name = "new",
    .summary = "writes the project of a new plugin",
    .help = help,
    .run = run,
};
