/* Takes the templates in by the assembler, as they are. See rpdctl/templates.h. */
#include "rpdctl/templates.h"

#include <stddef.h>

/* Of this file alone; the text ends in a NUL. What is declared takes no parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define INCLUDE(symbol, file)                                                                      \
    extern const char symbol[] __attribute__((visibility("hidden")));                              \
    __asm__(".pushsection .rodata\n"                                                               \
            ".globl " #symbol "\n"                                                                 \
            ".hidden " #symbol "\n" #symbol ":\n"                                                  \
            ".incbin \"" RPDCTL_TEMPLATES "/" file "\"\n"                                          \
            ".byte 0\n"                                                                            \
            ".popsection\n")
/* NOLINTEND(bugprone-macro-parentheses) */

INCLUDE(rpdctl_template_lines, "lines.c");
INCLUDE(rpdctl_template_lines_asks, "lines.sh");
INCLUDE(rpdctl_template_frames, "frames.c");
INCLUDE(rpdctl_template_frames_asks, "frames.sh");
INCLUDE(rpdctl_template_jobs, "jobs.c");
INCLUDE(rpdctl_template_jobs_asks, "jobs.sh");
INCLUDE(rpdctl_template_cpp, "cpp.cpp");
INCLUDE(rpdctl_template_config, "rpd.json");
INCLUDE(rpdctl_template_build, "CMakeLists.txt");
INCLUDE(rpdctl_template_test, "test.sh");
INCLUDE(rpdctl_template_readme, "README.md");
INCLUDE(rpdctl_template_ignore, "gitignore");

const struct rpdctl_template rpdctl_templates[] = {
    {"skeleton.@extension@", "@code@", false},
    {"rpd.json", rpdctl_template_config, false},
    {"CMakeLists.txt", rpdctl_template_build, false},
    {"test.sh", rpdctl_template_test, true},
    {"README.md", rpdctl_template_readme, false},
    {".gitignore", rpdctl_template_ignore, false},
    {NULL, NULL, false},
};

const struct rpdctl_kind rpdctl_kinds[] = {
    {"lines",
     {{"@code@", rpdctl_template_lines},
      {"@asks@", rpdctl_template_lines_asks},
      {"@extension@", "c"},
      {"@language@", "C"},
      {"@about@", "it knows the primes up to a limit, and answers a number a line"},
      {"@example@", "97\\n"},
      {"@argument@", "limit=1000"},
      {"@options@", "{ \"limit\": 1000000 }"}}},
    {"frames",
     {{"@code@", rpdctl_template_frames},
      {"@asks@", rpdctl_template_frames_asks},
      {"@extension@", "c"},
      {"@language@", "C"},
      {"@about@", "it answers each netstring by its bytes in the opposite order"},
      {"@example@", "5:hello,"},
      {"@argument@", "max_size=1000"},
      {"@options@", "{ \"max_size\": \"1M\" }"}}},
    {"jobs",
     {{"@code@", rpdctl_template_jobs},
      {"@asks@", rpdctl_template_jobs_asks},
      {"@extension@", "c"},
      {"@language@", "C"},
      {"@about@", "it counts the primes up to a number, one number a line, on a worker"},
      {"@example@", "1000\\n"},
      {"@argument@", "limit=1000"},
      {"@options@", "{ \"limit\": 1000000 }"}}},
    {"cpp",
     {{"@code@", rpdctl_template_cpp},
      {"@asks@", rpdctl_template_lines_asks},
      {"@extension@", "cpp"},
      {"@language@", "CXX"},
      {"@about@", "it knows the primes up to a limit, and answers a number a line"},
      {"@example@", "97\\n"},
      {"@argument@", "limit=1000"},
      {"@options@", "{ \"limit\": 1000000 }"}}},
    {NULL, {{NULL, NULL}}},
};
