/* Blocks of bytes for one reactor: size classes with free lists, under one budget.
 *
 * In the steady state a block comes from the free list of its class and goes back there: two
 * pointer moves, no malloc. The budget (`limit`) is what makes "memory is bounded by
 * configuration" true: everything that grows with traffic is taken here, and a taker must be able
 * to hear no. Single-threaded. */
#ifndef DROP_MEMORY_H
#define DROP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 128 B << 0..13 = 1 MiB; larger blocks go to malloc, rounded to 4 KiB */
#define DROP_MEMORY_CLASSES 14
#define DROP_MEMORY_CLASS_MAX (1u << 20)

struct drop_memory {
    void *free_blocks[DROP_MEMORY_CLASSES];
    size_t cached; /* bytes in the free lists */
    size_t in_use; /* bytes with takers */
    size_t limit;
    uint64_t refusals;
};

void drop_memory_init(struct drop_memory *memory, size_t limit);
/* Frees the cache. Every block must have been given back. */
void drop_memory_close(struct drop_memory *memory);

/* A block of at least `size` bytes; *capacity is set to its real size. NULL: over the budget, or
 * no memory. */
void *drop_memory_take(struct drop_memory *memory, size_t size, size_t *capacity);
/* A block larger than any class with its content, `size` bytes now, moved by the kernel's page
 * tables where it can be. NULL: as for take, and the block stays as it was. */
void *drop_memory_resize(struct drop_memory *memory, void *block, size_t size, size_t *capacity);
/* Whether new work may come in: the last quarter of the budget is for the answers to what was
 * accepted. */
static inline bool drop_memory_allows_work(struct drop_memory *memory)
{
    if (memory->in_use < memory->limit - memory->limit / 4)
        return true;
    memory->refusals++;
    return false;
}
/* `capacity` as it came from take. NULL is ignored. */
void drop_memory_give(struct drop_memory *memory, void *block, size_t capacity);

#endif
