/* One processor for the clients, all others for the server: on the same processor each would
 * sometimes take the other's time and caches. If there is only one, nothing is done. */
#ifndef TESTS_BENCH_PROCESSORS_H
#define TESTS_BENCH_PROCESSORS_H

/* From now on this thread, and the programs that it starts, run there. The first call notes which
 * processors there are; they must not have been changed before. After that it may also be called in
 * a child of vfork(). */
void processors_use_clients(void);
void processors_use_servers(void);
void processors_use_all(void);

#endif
