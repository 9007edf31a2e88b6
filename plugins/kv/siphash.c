/* SipHash-1-3. See siphash.h; the function is Aumasson's and Bernstein's. */
#include "siphash.h"

#include <string.h>

static inline uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void mix(struct sip_stream *state)
{
    state->a += state->b;
    state->b = rotate(state->b, 13) ^ state->a;
    state->a = rotate(state->a, 32);
    state->c += state->d;
    state->d = rotate(state->d, 16) ^ state->c;
    state->a += state->d;
    state->d = rotate(state->d, 21) ^ state->a;
    state->c += state->b;
    state->b = rotate(state->b, 17) ^ state->c;
    state->c = rotate(state->c, 32);
}

/* Up to seven bytes, as a little-endian number. */
static inline uint64_t load_rest(const unsigned char *data, size_t size)
{
    uint64_t word = 0;

    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)data[i] << (8 * i);
    return word;
}

void sip_stream_init(struct sip_stream *stream, struct sip_key key)
{
    *stream = (struct sip_stream){
        .a = key.low ^ 0x736f6d6570736575U,
        .b = key.high ^ 0x646f72616e646f6dU,
        .c = key.low ^ 0x6c7967656e657261U,
        .d = key.high ^ 0x7465646279746573U,
    };
}

static inline void add_word(struct sip_stream *state, uint64_t word)
{
    state->d ^= word;
    mix(state);
    state->a ^= word;
}

/* State is copied, so that it is kept in registers. */
void sip_stream_add(struct sip_stream *stream, const void *data_, size_t size)
{
    const unsigned char *data = data_;
    struct sip_stream state = *stream;
    uint64_t word;

    for (size_t left = size; left >= 8; left -= 8, data += 8) {
        memcpy(&word, data, 8);
        add_word(&state, word);
    }
    state.size += size;
    *stream = state;
}

uint64_t sip_stream_end(struct sip_stream *stream, const void *data, size_t size)
{
    const unsigned char *rest = (const unsigned char *)data + (size & ~(size_t)7);
    struct sip_stream state;

    sip_stream_add(stream, data, size);
    state = *stream;
    add_word(&state, state.size << 56 | load_rest(rest, size & 7));
    state.c ^= 0xff;
    mix(&state);
    mix(&state);
    mix(&state);
    return state.a ^ state.b ^ state.c ^ state.d;
}

uint64_t siphash(struct sip_key key, const void *data_, size_t size)
{
    const unsigned char *data = data_;
    struct sip_stream state;
    uint64_t word;

    sip_stream_init(&state, key);
    for (size_t left = size; left >= 8; left -= 8, data += 8) {
        memcpy(&word, data, 8);
        add_word(&state, word);
    }
    add_word(&state, (uint64_t)size << 56 | load_rest(data, size & 7));
    state.c ^= 0xff;
    mix(&state);
    mix(&state);
    mix(&state);
    return state.a ^ state.b ^ state.c ^ state.d;
}
