/* Moving and growing; see buffer.h. */
#include "buffer.h"

#define SMALLEST 512u
/* from here on a block is half as large again as its content, not four times */
#define ROOMY (256u << 10)

char *drop_buffer_make_room(struct drop_buffer *buffer, struct drop_memory *memory, size_t size,
                            bool last)
{
    size_t live = drop_buffer_length(buffer);
    size_t wanted = live + size;
    if (buffer->bytes && wanted <= buffer->capacity / 2) {
        memmove(buffer->bytes, drop_buffer_data(buffer), live);
        buffer->start = 0;
        buffer->end = live;
        return buffer->bytes + live;
    }
    size_t roomy = wanted * 4 <= ROOMY ? wanted * 4 : wanted + wanted / 2;
    if (last)
        roomy = wanted;
    if (roomy < SMALLEST)
        roomy = SMALLEST;
    size_t capacity = buffer->capacity;
    if (capacity > DROP_MEMORY_CLASS_MAX) {
        char *grown = drop_memory_resize(memory, buffer->bytes, buffer->start + roomy, &capacity);
        if (!grown)
            return NULL;
        buffer->bytes = grown;
        buffer->capacity = capacity;
        return grown + buffer->end;
    }
    char *bytes = drop_memory_take(memory, roomy, &capacity);
    if (!bytes)
        return NULL;
    if (live)
        memcpy(bytes, drop_buffer_data(buffer), live);
    drop_memory_give(memory, buffer->bytes, buffer->capacity);
    *buffer = (struct drop_buffer){.bytes = bytes, .capacity = capacity, .start = 0, .end = live};
    return bytes + live;
}
