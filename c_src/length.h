/* The `frame` framing of a worker's pipes: 4 bytes of big-endian length, then that many bytes. */
#ifndef DROP_LENGTH_H
#define DROP_LENGTH_H

#include <stdint.h>

#include "frame.h"

#define DROP_LENGTH_PREFIX 4u

static inline void drop_length_put(char *bytes, uint32_t length)
{
    drop_put_u32(bytes, length);
}

/* Bytes that make the first frame whole, prefix included; 0: the prefix itself is not there yet. */
static inline uint64_t drop_length_total(const char *bytes, size_t available)
{
    return available < DROP_LENGTH_PREFIX ? 0 : (uint64_t)drop_get_u32(bytes) + DROP_LENGTH_PREFIX;
}

#endif
