/* The files of a new project, as they are in framework/templates: a project that
 * could be built as it stands, of a backend called skeleton. They are part of
 * rpdctl, so that it needs no files beside it. */
#ifndef FRAMEWORK_RPDCTL_TEMPLATES_H
#define FRAMEWORK_RPDCTL_TEMPLATES_H

#include <stdbool.h>

#define RPDCTL_TEMPLATE_WORD "skeleton" /* stands for the project's name */

struct rpdctl_template {
    const char *name; /* in the project; may hold the word */
    const char *text;
    bool is_program;
};

extern const struct rpdctl_template rpdctl_templates[]; /* closed by one without a name */

#endif
