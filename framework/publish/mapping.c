/* Mapped files. See mapping.h. */
#include "publish/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Where pages are mapped. The list only grows, so that a signal handler can walk it. */
struct mapping {
    struct mapping *next;
    _Atomic(void *) map; /* NULL: it is mapped no more */
    size_t size;
};

static _Atomic(struct mapping *) mappings;

void mapping_note(void *map, size_t size)
{
    struct mapping *mapping = malloc(sizeof *mapping);

    if (!mapping)
        return; /* then a file that is cut off is a crash */
    atomic_init(&mapping->map, map);
    mapping->size = size;
    mapping->next = atomic_load(&mappings);
    atomic_store(&mappings, mapping);
}

void mapping_forget(const void *map)
{
    for (struct mapping *mapping = atomic_load(&mappings); mapping; mapping = mapping->next)
        if (atomic_load(&mapping->map) == map)
            atomic_store(&mapping->map, NULL);
}

bool mapping_put_memory_at(void *map, size_t size)
{
    return mmap(map, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) == map;
}

bool mapping_take_signal(siginfo_t *info, void *context)
{
    const uintptr_t at = (uintptr_t)info->si_addr;

    (void)context;
    for (struct mapping *mapping = atomic_load(&mappings); mapping; mapping = mapping->next) {
        void *map = atomic_load(&mapping->map);

        if (map && at >= (uintptr_t)map && at < (uintptr_t)map + mapping->size)
            return mapping_put_memory_at(map, mapping->size);
    }
    return false;
}

void *mapping_make(int fd, size_t size)
{
    void *map;

    do
        errno = posix_fallocate(fd, 0, (off_t)size);
    while (errno == EINTR);
    if (errno != 0)
        return NULL;
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map == MAP_FAILED ? NULL : map;
}

void mapping_copy(void *to, const void *from, size_t size)
{
    typedef uint64_t __attribute__((may_alias)) word;

    for (size_t i = 0; i < size / sizeof(word); i++)
        __atomic_store_n((word *)to + i, __atomic_load_n((const word *)from + i, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
}

bool mapping_move_to(void *map, size_t size, int fd)
{
    void *fresh = mapping_make(fd, size);

    if (!fresh)
        return false;
    mapping_copy(fresh, map, size);
    if (mremap(fresh, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, map) != MAP_FAILED)
        return true;
    munmap(fresh, size);
    return false;
}
