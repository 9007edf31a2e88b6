/* What rpdctl reload does, for commands that reload a service on their way. */
#ifndef FRAMEWORK_RPDCTL_RELOAD_H
#define FRAMEWORK_RPDCTL_RELOAD_H

#include "observe/instance.h"

/* Returns the exit code of rpdctl reload; it has reported any error, and nothing else. */
int rpdctl_reload_instance(const struct instance *instance);

#endif
