/* Namespaces. See environments.h. */
#include "environments.h"

bool can_run(const char *const *argv)
{
    struct process *process = process_start(&(struct process_options){.argv = argv});
    const bool can = process_code(process_wait_exit(process)) == 0;

    process_free(process);
    return can;
}
