/* A plugin whose descriptor is shorter than any of its ABI ever was: rpd must refuse it, and read
 * no byte behind its end. */
#include <rpd/backend.h>

RPD_NOTE_(note, RPD_NOTE_BACKEND, "descriptor_short");

struct shorter {
    uint32_t struct_size;
    uint32_t abi;
    const char *name;
};

RPD_API const struct shorter rpd_backend_v1 = {sizeof(struct shorter), RPD_ABI, "descriptor_short"};
