/* For the host, not for plugins: all of the `rpd` command. */
#ifndef RPD_MAIN_H
#define RPD_MAIN_H

#include <rpd/base.h>

RPD_BEGIN

/* Runs the daemon that the arguments describe until it is stopped.
 * Returns its exit code. Called once, from main(). */
RPD_API int rpd_main(int argc, char **argv);

RPD_END
#endif
