/* See load_buffers.h. They are mapped, not malloc()'s: that might keep pieces so large for ever. */
#include "load_buffers.h"

#include <sys/mman.h>

void load_buffers_init(struct load_buffers *buffers, size_t size)
{
    pthread_mutex_init(&buffers->mutex, NULL);
    buffers->size = size > 0 ? size : 1;
    buffers->count = 0;
}

char *load_buffers_take(struct load_buffers *buffers)
{
    char *buffer = NULL;

    pthread_mutex_lock(&buffers->mutex);
    if (buffers->count > 0)
        buffer = buffers->spare[--buffers->count];
    pthread_mutex_unlock(&buffers->mutex);
    if (buffer)
        return buffer;
    buffer = mmap(NULL, buffers->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return buffer == MAP_FAILED ? NULL : buffer;
}

void load_buffers_give_back(struct load_buffers *buffers, char *buffer)
{
    pthread_mutex_lock(&buffers->mutex);
    if (buffers->count < LOAD_BUFFERS) {
        buffers->spare[buffers->count++] = buffer;
        buffer = NULL;
    }
    pthread_mutex_unlock(&buffers->mutex);
    if (buffer)
        munmap(buffer, buffers->size);
}

void load_buffers_finish(struct load_buffers *buffers)
{
    while (buffers->count > 0)
        munmap(buffers->spare[--buffers->count], buffers->size);
    pthread_mutex_destroy(&buffers->mutex);
}
