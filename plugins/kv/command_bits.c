/* Commands about single bits of a value. */
#include "command.h"
#include "number.h"

enum { BIT_OFFSET_BITS = 32 };

/* False: an error has been answered. */
static bool parse_offset(struct call *call, uint32_t i, uint64_t *ret_offset)
{
    const struct rpd_span arg = call_arg(call, i);
    int64_t offset;

    if (number_parse(arg.data, arg.size, &offset) && offset >= 0 &&
        offset >> BIT_OFFSET_BITS == 0) {
        *ret_offset = (uint64_t)offset;
        return true;
    }
    reply_error(call->reply, "ERR bit offset is not an integer or out of range");
    return false;
}

static unsigned mask_of(uint64_t offset)
{
    return 0x80U >> (offset % 8);
}

void command_getbit(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    struct entry *entry;
    uint64_t offset;

    if (!parse_offset(call, 2, &offset))
        return;
    entry = store_use(call->store, call_database(call), &key);
    if (!entry || offset / 8 >= entry_value_size(entry))
        reply_integer(call->reply, 0);
    else
        reply_integer(call->reply,
                      ((unsigned char)entry_value(entry)[offset / 8] & mask_of(offset)) != 0);
}

void command_setbit(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    const struct rpd_span arg = call_arg(call, 3);
    struct entry *entry;
    uint64_t offset;
    unsigned char *byte, old;

    if (!parse_offset(call, 2, &offset))
        return;
    if (arg.size != 1 || (*arg.data != '0' && *arg.data != '1')) {
        reply_error(call->reply, "ERR bit is not an integer or out of range");
        return;
    }
    entry = store_find(call->store, call_database(call), &key);
    entry = call_grow(call, &key, entry, offset / 8 + 1);
    if (!entry)
        return;
    byte = (unsigned char *)entry_value(entry) + offset / 8;
    old = *byte;
    *byte = (unsigned char)(*arg.data == '1' ? old | mask_of(offset) : old & ~mask_of(offset));
    reply_integer(call->reply, (old & mask_of(offset)) != 0);
}

/* ---- BITCOUNT ------------------------------------------------------------------- */

struct bits {
    int64_t first, last; /* bytes; none: last < first */
    unsigned first_mask, last_mask;
};

/* False: an error has been answered. */
static bool parse_range(struct call *call, int64_t *ret_start, int64_t *ret_end, bool *ret_is_bits)
{
    *ret_start = 0;
    *ret_end = -1;
    *ret_is_bits = false;
    if (call->argc == 2)
        return true;
    if (call->argc != 4 && call->argc != 5) {
        reply_error(call->reply, "ERR syntax error");
        return false;
    }
    if (!call_integer(call, 2, ret_start) || !call_integer(call, 3, ret_end))
        return false;
    if (*ret_start < 0 && *ret_end < 0 && *ret_start > *ret_end)
        return true; /* whatever the unit, as in Redis */
    *ret_is_bits = call->argc == 5 && call_arg_is(call, 4, "bit");
    if (call->argc == 4 || *ret_is_bits || call_arg_is(call, 4, "byte"))
        return true;
    reply_error(call->reply, "ERR syntax error");
    return false;
}

static struct bits find_bits(int64_t start, int64_t end, bool is_bits, int64_t size)
{
    const int64_t total = is_bits ? size * 8 : size;
    struct bits bits = {0, -1, 0xff, 0xff};

    if (start < 0 && end < 0 && start > end)
        return bits;
    start = start < 0 ? start + total : start;
    end = end < 0 ? end + total : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= total ? total - 1 : end;
    if (start > end)
        return bits;
    if (!is_bits)
        return (struct bits){start, end, 0xff, 0xff};
    return (struct bits){start / 8, end / 8, 0xffU >> (start % 8), 0xff00U >> (end % 8 + 1) & 0xff};
}

static int64_t count_byte(const struct bits *bits, int64_t at, unsigned char byte)
{
    unsigned mask = 0xff;

    if (at == bits->first)
        mask &= bits->first_mask;
    if (at == bits->last)
        mask &= bits->last_mask;
    return __builtin_popcount(byte & mask);
}

void command_bitcount(struct call *call)
{
    const struct store_key key = call_key(call, 1);
    struct progress *progress = &call->progress;
    int64_t start, end;
    bool is_bits;
    struct entry *entry;

    entry = store_find(call->store, call_database(call), &key);
    if (entry && !parse_range(call, &start, &end, &is_bits))
        return;
    if (!entry) { /* whatever else was asked, as in Redis */
        reply_integer(call->reply, 0);
        return;
    }
    const struct bits bits = find_bits(start, end, is_bits, entry_value_size(entry));
    while (bits.first + (int64_t)progress->at <= bits.last) {
        const int64_t at = bits.first + (int64_t)progress->at++;
        progress->count += count_byte(&bits, at, (unsigned char)entry_value(entry)[at]);
        if (progress->at % CALL_PIECE == 0 && call_is_late(call))
            return;
    }
    reply_integer(call->reply, progress->count);
}
