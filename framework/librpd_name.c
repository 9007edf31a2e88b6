/* Gives librpd a name to link programs with: a shared object of this one function,
 * which is never loaded, whose soname is the path of librpd as rpd finds it.
 *
 * A run path would do, too, but costs 20 system calls at the start: the loader
 * looks for each library in each directory under eight names. */
#include <rpd/main.h>

int rpd_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return 0;
}
