/* What may stand behind SET and GETEX. */
#ifndef KV_SET_OPTIONS_H
#define KV_SET_OPTIONS_H

#include "command.h"

enum {
    SET_NX = 1,
    SET_XX = 2,
    SET_GET = 4,
    SET_KEEP_TTL = 8,
    SET_PERSIST = 16,
    SET_EX = 32,
    SET_PX = 64,
    SET_EXAT = 128,
    SET_PXAT = 256,
    SET_TIMES = SET_EX | SET_PX | SET_EXAT | SET_PXAT
};

/* From argument first on. ret_time: the argument of the time, if one of SET_TIMES is
 * among the options. False: an error has been answered. */
bool set_options_parse(struct call *call, uint32_t first, unsigned *ret_options,
                       uint32_t *ret_time);

/* The time of argument i as one of the store's clock. False: an error has been answered. */
bool set_options_expiry(struct call *call, unsigned options, uint32_t i, int64_t *ret_expiry);

#endif
