/* The options of one service: what the user wrote, checked against the
 * backend's table, with its defaults. */
#ifndef FRAMEWORK_OPTIONS_H
#define FRAMEWORK_OPTIONS_H

#include "plugin/option_read.h"

/* Read-only once made; holds nothing of jansson's, so any thread may read it. */
struct options {
    struct option_value *values; /* one a row, in the table's order */
    size_t count;
};

/* tables: the backend's; they must outlive the options. plugin: its name
 * for errors. service: one of the configuration's. On failure returns -1 with
 * the errors, to be freed by free(): one about the table (65), or all mistakes
 * of the user (78; of a secret's file 66, 71 or 77). The options need no finish then. */
int options_make(struct options *options, const struct option_tables *tables, const char *plugin,
                 const struct config *config, const struct config_service *service,
                 struct error **ret_errors, size_t *ret_count);
void options_finish(struct options *options);

/* The value of an option; NULL if there is none of this name and type. */
const struct option_value *options_find(const struct options *options, const char *name,
                                        enum rpd_option_type type);

#endif
