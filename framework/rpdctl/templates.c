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

INCLUDE(rpdctl_template_code, "skeleton.c");
INCLUDE(rpdctl_template_config, "rpd.json");
INCLUDE(rpdctl_template_build, "CMakeLists.txt");
INCLUDE(rpdctl_template_test, "test.sh");
INCLUDE(rpdctl_template_readme, "README.md");
INCLUDE(rpdctl_template_ignore, "gitignore");

const struct rpdctl_template rpdctl_templates[] = {
    {RPDCTL_TEMPLATE_WORD ".c", rpdctl_template_code, false},
    {"rpd.json", rpdctl_template_config, false},
    {"CMakeLists.txt", rpdctl_template_build, false},
    {"test.sh", rpdctl_template_test, true},
    {"README.md", rpdctl_template_readme, false},
    {".gitignore", rpdctl_template_ignore, false},
    {NULL, NULL, false},
};
