/* See processors.h. */
#include "processors.h"

#include "../support/process.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

static cpu_set_t all, clients, servers;

static void divide(void)
{
    static bool is_divided;
    size_t first = 0;

    if (is_divided)
        return;
    is_divided = true;
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        test_die("sched_getaffinity: %s", strerror(errno));
    clients = servers = all;
    if (CPU_COUNT(&all) < 2)
        return;
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&clients);
    CPU_SET(first, &clients);
    CPU_CLR(first, &servers);
}

static void use(const cpu_set_t *set)
{
    divide();
    if (sched_setaffinity(0, sizeof *set, set) != 0)
        test_die("sched_setaffinity: %s", strerror(errno));
}

void processors_use_clients(void)
{
    use(&clients);
}

void processors_use_servers(void)
{
    use(&servers);
}

void processors_use_all(void)
{
    use(&all);
}
