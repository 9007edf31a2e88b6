/* The files of a new project, as they are in rpdctl/templates: of a backend called skeleton. They
 * are part of rpdctl, so that it needs no files beside it. What differs between kinds of projects
 * stands there as a word between two @. */
#ifndef FRAMEWORK_RPDCTL_TEMPLATES_H
#define FRAMEWORK_RPDCTL_TEMPLATES_H

#include <stdbool.h>

#define RPDCTL_TEMPLATE_WORD "skeleton" /* stands for the project's name */

struct rpdctl_template {
    const char *name; /* in the project; may hold words */
    const char *text; /* likewise */
    bool is_program;
};

enum { RPDCTL_KIND_WORDS = 8 };

struct rpdctl_word {
    const char *word, *text; /* the text may hold the project's name */
};

/* What a new plugin begins with. */
struct rpdctl_kind {
    const char *name;
    struct rpdctl_word words[RPDCTL_KIND_WORDS];
};

extern const struct rpdctl_template rpdctl_templates[]; /* closed by one without a name */
extern const struct rpdctl_kind rpdctl_kinds[];         /* likewise; the first is the usual one */

#endif
