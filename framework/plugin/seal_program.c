/* A program of the build: writes the filters of the seal as a C source, so that no start
 * has to make them. What is known only then, seal_filter.c puts in. */
#include "plugin/seal_rules.h"

#include <stdio.h>

static int write_program(enum config_seal mode, const char *name)
{
    static struct sock_filter program[SEAL_PROGRAM_MAX];
    const struct seal_rules rules = {mode, SEAL_PID_LATER, SEAL_CRASH_FD_LATER};
    unsigned short count;

    if (seal_rules_compile(&rules, program, &count) < 0)
        return -1;
    printf("static const struct sock_filter %s[] = {\n", name);
    for (unsigned i = 0; i < count; i++)
        printf("    {0x%02x, %u, %u, 0x%08x},\n", program[i].code, program[i].jt, program[i].jf,
               program[i].k);
    puts("};");
    return 0;
}

int main(void)
{
    puts("/* Made by seal_program.c from the rules in seal_rules.c. */");
    return write_program(SEAL_ENFORCE, "program_enforce") < 0 ||
           write_program(SEAL_LOG, "program_log") < 0;
}
