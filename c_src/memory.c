/* Size classes and free lists; see memory.h. */
#include "memory.h"

#include <assert.h>
#include <stdlib.h>

#include "limits.h"

#define SMALLEST_SHIFT 7 /* 128 bytes */
#define LARGE_ROUND 4096u

static unsigned class_of(size_t size)
{
    if (size <= (1u << SMALLEST_SHIFT))
        return 0;
    return (unsigned)(64 - SMALLEST_SHIFT - __builtin_clzll((unsigned long long)size - 1));
}

void drop_memory_init(struct drop_memory *memory, size_t limit)
{
    *memory = (struct drop_memory){.limit = limit};
}

void drop_memory_close(struct drop_memory *memory)
{
    assert(memory->in_use == 0);
    for (unsigned i = 0; i < DROP_MEMORY_CLASSES; i++) {
        while (memory->free_blocks[i]) {
            void *block = memory->free_blocks[i];
            memory->free_blocks[i] = *(void **)block;
            free(block);
        }
    }
    memory->cached = 0;
}

void *drop_memory_take(struct drop_memory *memory, size_t size, size_t *capacity)
{
    unsigned class = class_of(size);
    size_t real = class < DROP_MEMORY_CLASSES
                      ? (size_t)1 << (class + SMALLEST_SHIFT)
                      : (size + LARGE_ROUND - 1) & ~(size_t)(LARGE_ROUND - 1);
    void *block = NULL;
    if (memory->in_use + real <= memory->limit) {
        if (class < DROP_MEMORY_CLASSES && memory->free_blocks[class]) {
            block = memory->free_blocks[class];
            memory->free_blocks[class] = *(void **)block;
            memory->cached -= real;
        } else {
            block = malloc(real);
        }
    }
    if (!block) {
        memory->refusals++;
        return NULL;
    }
    memory->in_use += real;
    *capacity = real;
    return block;
}

void *drop_memory_resize(struct drop_memory *memory, void *block, size_t size, size_t *capacity)
{
    size_t real = (size + LARGE_ROUND - 1) & ~(size_t)(LARGE_ROUND - 1);
    void *moved = NULL;
    assert(*capacity > DROP_MEMORY_CLASS_MAX && size > DROP_MEMORY_CLASS_MAX);
    if (memory->in_use - *capacity + real <= memory->limit)
        moved = realloc(block, real);
    if (!moved) {
        memory->refusals++;
        return NULL;
    }
    memory->in_use += real - *capacity;
    *capacity = real;
    return moved;
}

void drop_memory_give(struct drop_memory *memory, void *block, size_t capacity)
{
    if (!block)
        return;
    assert(memory->in_use >= capacity);
    memory->in_use -= capacity;
    unsigned class = class_of(capacity);
    if (class >= DROP_MEMORY_CLASSES || memory->cached + capacity > DROP_MEMORY_CACHE) {
        free(block);
        return;
    }
    *(void **)block = memory->free_blocks[class];
    memory->free_blocks[class] = block;
    memory->cached += capacity;
}
