/* For the host program, not for plugins: the complete `rpd` command. */
#ifndef RPD_MAIN_H
#define RPD_MAIN_H

#include <rpd/base.h>

RPD_BEGIN

/* Runs the daemon that the arguments describe until it is stopped.
 * Returns its exit code. Call it once, from main(). */
RPD_API int rpd_main(int argc, char **argv);

RPD_END
#endif
