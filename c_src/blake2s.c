#include "blake2s.h"

#include <assert.h>
#include <string.h>

static const uint32_t initial[8] = {
    0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
    0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u,
};

/* Little-endian, whatever the machine. */
static inline uint32_t load(const uint8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

static inline uint32_t rotate(uint32_t word, unsigned bits)
{
    return word >> bits | word << (32 - bits);
}

#define MIX(a, b, c, d, x, y)                                                                      \
    do {                                                                                           \
        (a) += (b) + (x);                                                                          \
        (d) = rotate((d) ^ (a), 16);                                                               \
        (c) += (d);                                                                                \
        (b) = rotate((b) ^ (c), 12);                                                               \
        (a) += (b) + (y);                                                                          \
        (d) = rotate((d) ^ (a), 8);                                                                \
        (c) += (d);                                                                                \
        (b) = rotate((b) ^ (c), 7);                                                                \
    } while (0)

/* One round with its row of the permutation written out, so that the words of the message are at
 * constant places: a table would cost a look-up for each. */
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)                \
    do {                                                                                           \
        MIX(v0, v4, v8, v12, m[s0], m[s1]);                                                        \
        MIX(v1, v5, v9, v13, m[s2], m[s3]);                                                        \
        MIX(v2, v6, v10, v14, m[s4], m[s5]);                                                       \
        MIX(v3, v7, v11, v15, m[s6], m[s7]);                                                       \
        MIX(v0, v5, v10, v15, m[s8], m[s9]);                                                       \
        MIX(v1, v6, v11, v12, m[s10], m[s11]);                                                     \
        MIX(v2, v7, v8, v13, m[s12], m[s13]);                                                      \
        MIX(v3, v4, v9, v14, m[s14], m[s15]);                                                      \
    } while (0)

static void compress(uint32_t chain[8], const uint8_t *block, uint64_t total, bool is_last)
{
    uint32_t m[16];
    for (unsigned i = 0; i < 16; i++)
        m[i] = load(block + 4 * i);
    uint32_t v0 = chain[0], v1 = chain[1], v2 = chain[2], v3 = chain[3];
    uint32_t v4 = chain[4], v5 = chain[5], v6 = chain[6], v7 = chain[7];
    uint32_t v8 = initial[0], v9 = initial[1], v10 = initial[2], v11 = initial[3];
    uint32_t v12 = initial[4] ^ (uint32_t)total, v13 = initial[5] ^ (uint32_t)(total >> 32);
    uint32_t v14 = is_last ? ~initial[6] : initial[6], v15 = initial[7];
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    chain[0] ^= v0 ^ v8;
    chain[1] ^= v1 ^ v9;
    chain[2] ^= v2 ^ v10;
    chain[3] ^= v3 ^ v11;
    chain[4] ^= v4 ^ v12;
    chain[5] ^= v5 ^ v13;
    chain[6] ^= v6 ^ v14;
    chain[7] ^= v7 ^ v15;
}

void drop_blake2s_start(struct drop_blake2s *state, size_t out_length, const void *key,
                        size_t key_length, const void *person)
{
    assert(out_length >= 1 && out_length <= DROP_BLAKE2S_OUT_MAX);
    assert(key_length <= DROP_BLAKE2S_KEY_MAX);
    memcpy(state->chain, initial, sizeof initial);
    state->chain[0] ^= 0x01010000u ^ (uint32_t)key_length << 8 ^ (uint32_t)out_length;
    if (person) {
        const uint8_t *bytes = person;
        state->chain[6] ^= load(bytes);
        state->chain[7] ^= load(bytes + 4);
    }
    state->before = 0;
    state->out_length = (uint32_t)out_length;
    if (key_length == 0)
        return;
    uint8_t block[DROP_BLAKE2S_BLOCK] = {0};
    memcpy(block, key, key_length);
    state->before = DROP_BLAKE2S_BLOCK;
    compress(state->chain, block, state->before, false);
}

void drop_blake2s_finish(const struct drop_blake2s *state, const void *data, size_t length,
                         void *out)
{
    assert(length > 0 || state->before == 0);
    const uint8_t *at = data;
    uint32_t chain[8];
    uint64_t total = state->before;
    memcpy(chain, state->chain, sizeof chain);
    for (; length > DROP_BLAKE2S_BLOCK; at += DROP_BLAKE2S_BLOCK, length -= DROP_BLAKE2S_BLOCK)
        compress(chain, at, total += DROP_BLAKE2S_BLOCK, false);
    uint8_t block[DROP_BLAKE2S_BLOCK] = {0};
    if (length > 0)
        memcpy(block, at, length);
    compress(chain, block, total + length, true);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (unsigned i = 0; i < 8; i++)
        chain[i] = __builtin_bswap32(chain[i]);
#endif
    memcpy(out, chain, state->out_length);
}
