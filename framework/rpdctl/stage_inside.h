/* What the files of the kit share. See rpdctl/kit.h. */
#ifndef FRAMEWORK_RPDCTL_STAGE_INSIDE_H
#define FRAMEWORK_RPDCTL_STAGE_INSIDE_H

#include "rpdctl/kit.h"

/* Waits for its process's end, with these options of waitpid(). True: it has ended. */
bool stage_reap(struct stage *stage, int options);

#endif
