/* Room for the bytes of parts that are being loaded: as many pieces as workers load at a time,
 * used again and again. To map and unmap one for each part would make the loop wait for the
 * process's memory map. */
#ifndef KV_LOAD_BUFFERS_H
#define KV_LOAD_BUFFERS_H

#include <pthread.h>
#include <stddef.h>

enum { LOAD_BUFFERS = 64 };

struct load_buffers {
    pthread_mutex_t mutex;
    size_t size; /* of each */
    char *spare[LOAD_BUFFERS];
    unsigned count; /* of spare */
};

void load_buffers_init(struct load_buffers *buffers, size_t size);

/* [worker] NULL: no memory. */
char *load_buffers_take(struct load_buffers *buffers);
void load_buffers_give_back(struct load_buffers *buffers, char *buffer);

/* When none is in use. */
void load_buffers_finish(struct load_buffers *buffers);

#endif
