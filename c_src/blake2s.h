/* BLAKE2s (RFC 7693): a hash and MAC of one pass that needs nothing of the CPU but 32-bit words.
 *
 * What comes before the data - parameters, and with a key the block that holds it - is compressed
 * once, in start(); finish() copies that state. So a key costs its block once and not once per
 * packet. Pure, allocates nothing; not for secrets whose timing matters beyond the compare in
 * drop_blake2s_equal. */
#ifndef DROP_BLAKE2S_H
#define DROP_BLAKE2S_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DROP_BLAKE2S_BLOCK 64u
#define DROP_BLAKE2S_OUT_MAX 32u
#define DROP_BLAKE2S_KEY_MAX 32u
#define DROP_BLAKE2S_PERSON 8u

/* What is ready before the first byte of data. */
struct drop_blake2s {
    uint32_t chain[8];
    uint32_t before; /* bytes compressed: 0, or the block of the key */
    uint32_t out_length;
};

/* `out_length` 1..32; `key_length` 0..32, 0: a plain hash; `person`: 8 bytes, or NULL. */
void drop_blake2s_start(struct drop_blake2s *state, size_t out_length, const void *key,
                        size_t key_length, const void *person);

/* The digest of `length` bytes, `state->out_length` bytes of it; with a key at least one byte. */
void drop_blake2s_finish(const struct drop_blake2s *state, const void *data, size_t length,
                         void *out);

/* Compares in a time that does not depend on where they differ. */
static inline bool drop_blake2s_equal(const void *left, const void *right, size_t length)
{
    const uint8_t *a = left, *b = right;
    uint8_t different = 0;
    for (size_t i = 0; i < length; i++)
        different = (uint8_t)(different | (a[i] ^ b[i]));
    return different == 0;
}

#endif
