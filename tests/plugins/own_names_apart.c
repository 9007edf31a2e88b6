/* The same plugin, linked as rpd_add_plugin() links. */
#include "own_names.c"
