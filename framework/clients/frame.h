/* Where a frame ends, within two bounds. See frame.c. */
#ifndef FRAMEWORK_CLIENTS_FRAME_H
#define FRAMEWORK_CLIENTS_FRAME_H

#include <rpd/frame.h>

struct frame_bounds {
    size_t body;
    size_t frame; /* with all that stands around the body */
};

/* rpd_frame_find(), with a bound of the whole frame as well. */
int frame_find(enum rpd_framing framing, struct rpd_span input, const struct frame_bounds *bounds,
               struct rpd_span *ret_body, size_t *ret_frame_size);

#endif
