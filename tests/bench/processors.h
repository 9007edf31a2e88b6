/* A processor for the clients, all others for the server: on the same one each would take the
 * other's time, and caches, now and then. Where there is only one, nothing is done. */
#ifndef TESTS_BENCH_PROCESSORS_H
#define TESTS_BENCH_PROCESSORS_H

/* From now on this thread, and what it starts, runs there. The first call notes which ones there
 * are; nothing else may have changed that before. In a child of vfork(), too, after it. */
void processors_use_clients(void);
void processors_use_servers(void);
void processors_use_all(void);

#endif
