/* Takes in the files of the page, by the assembler. See files.h. */
#include "files.h"

/* Only for this file. A declared name takes no parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define INCLUDE(symbol, file)                                                                      \
    extern const char symbol[] __attribute__((visibility("hidden")));                              \
    extern const char symbol##_end[] __attribute__((visibility("hidden")));                        \
    __asm__(".pushsection .rodata\n"                                                               \
            ".globl " #symbol ", " #symbol "_end\n"                                                \
            ".hidden " #symbol ", " #symbol "_end\n" #symbol ":\n"                                 \
            ".incbin \"" DASHBOARD_PAGE "/" file "\"\n" #symbol "_end:\n"                          \
            ".popsection\n")
/* NOLINTEND(bugprone-macro-parentheses) */

INCLUDE(dashboard_page, "index.html");
INCLUDE(dashboard_script, "dashboard.js");
INCLUDE(dashboard_style, "dashboard.css");
INCLUDE(dashboard_icon, "icon.svg");

#define FILE_OF(symbol, type)                                                                      \
    {                                                                                              \
        symbol, symbol##_end, type                                                                 \
    }

bool file_of(enum route route, struct file *ret)
{
    static const struct {
        const char *begin, *end, *type;
    } files[] = {
        [ROUTE_PAGE] = FILE_OF(dashboard_page, "text/html; charset=utf-8"),
        [ROUTE_SCRIPT] = FILE_OF(dashboard_script, "text/javascript; charset=utf-8"),
        [ROUTE_STYLE] = FILE_OF(dashboard_style, "text/css; charset=utf-8"),
        [ROUTE_ICON] = FILE_OF(dashboard_icon, "image/svg+xml"),
    };

    if ((size_t)route >= sizeof files / sizeof *files || !files[route].begin)
        return false;
    *ret = (struct file){files[route].begin, files[route].type,
                         (size_t)(files[route].end - files[route].begin)};
    return true;
}
