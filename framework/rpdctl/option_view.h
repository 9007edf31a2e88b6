/* The options of a plugin, out of what descriptor_read() gives, for people and for editors. */
#ifndef FRAMEWORK_OPTION_VIEW_H
#define FRAMEWORK_OPTION_VIEW_H

#include <jansson.h>

/* As a table, to stdout. */
void option_view_print(const json_t *options);

/* A JSON Schema of the object under "options"; a new reference. */
json_t *option_view_schema(const json_t *plugin);

#endif
