/* A queue of bytes in one piece: append at the end, consume at the start.
 *
 * An empty buffer owns no block, so ten thousand idle connections cost nothing. Live bytes stay
 * contiguous: when the end of the block is reached they move to its front, and the block grows
 * fourfold over what lives in it, which keeps the moved bytes below a third of those appended. */
#ifndef DROP_BUFFER_H
#define DROP_BUFFER_H

#include <stdbool.h>
#include <string.h>

#include "memory.h"

struct drop_buffer {
    char *bytes;
    size_t capacity;
    size_t start;
    size_t end;
};

static inline size_t drop_buffer_length(const struct drop_buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline char *drop_buffer_data(const struct drop_buffer *buffer)
{
    return buffer->bytes + buffer->start;
}

/* The slow path of reserve: moves or grows. `last`: no more will come, so the block has no room
 * for more. */
char *drop_buffer_make_room(struct drop_buffer *buffer, struct drop_memory *memory, size_t size,
                            bool last);

/* A place for `size` bytes at the end, valid until the next call; NULL when the memory budget
 * says no (the buffer is unchanged). Commit what was written there. */
static inline char *drop_buffer_reserve(struct drop_buffer *buffer, struct drop_memory *memory,
                                        size_t size)
{
    if (buffer->capacity - buffer->end >= size && buffer->bytes)
        return buffer->bytes + buffer->end;
    return drop_buffer_make_room(buffer, memory, size, false);
}

/* The same where it is known that this is all, or how much more there will be. */
static inline char *drop_buffer_reserve_last(struct drop_buffer *buffer,
                                             struct drop_memory *memory, size_t size)
{
    if (buffer->capacity - buffer->end >= size && buffer->bytes)
        return buffer->bytes + buffer->end;
    return drop_buffer_make_room(buffer, memory, size, true);
}

static inline void drop_buffer_commit(struct drop_buffer *buffer, size_t size)
{
    buffer->end += size;
}

/* Gives the block back. */
static inline void drop_buffer_release(struct drop_buffer *buffer, struct drop_memory *memory)
{
    drop_memory_give(memory, buffer->bytes, buffer->capacity);
    *buffer = (struct drop_buffer){0};
}

static inline void drop_buffer_consume(struct drop_buffer *buffer, struct drop_memory *memory,
                                       size_t size)
{
    buffer->start += size;
    if (buffer->start == buffer->end)
        drop_buffer_release(buffer, memory);
}

/* Takes over the block of `lender` instead of a copy of `length` bytes in it, when those are the
 * end of what it holds (but for a newline), with `before` bytes in front of them and `behind` after
 * them for whoever frames them anew. False: nothing has changed. */
static inline bool drop_buffer_adopt(struct drop_buffer *buffer, struct drop_buffer *lender,
                                     const char *bytes, size_t length, size_t before,
                                     size_t behind)
{
    size_t start = lender ? (size_t)(bytes - lender->bytes) : 0;
    size_t end = start + length;
    if (!lender || buffer->bytes || start < before || end + behind > lender->capacity
        || (end != lender->end && (end + 1 != lender->end || lender->bytes[end] != '\n')))
        return false;
    *buffer =
        (struct drop_buffer){lender->bytes, lender->capacity, start - before, end + behind};
    *lender = (struct drop_buffer){0};
    return true;
}

/* 0, or -1 when the memory budget says no. */
static inline int drop_buffer_append(struct drop_buffer *buffer, struct drop_memory *memory,
                                     const void *bytes, size_t size)
{
    if (size == 0)
        return 0;
    char *place = drop_buffer_reserve(buffer, memory, size);
    if (!place)
        return -1;
    memcpy(place, bytes, size);
    drop_buffer_commit(buffer, size);
    return 0;
}

#endif
