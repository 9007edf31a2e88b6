/* rpd: the command. */
#include <rpd/main.h>

int main(int argc, char **argv)
{
    return rpd_main(argc, argv);
}
