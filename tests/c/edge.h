/* Memory that ends where a page begins that may not be touched: reading or writing one byte too
 * many is a fault at once, also where a sanitizer would not look. */
#ifndef EDGE_H
#define EDGE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EDGE_PAGES 4u /* room for the largest that a test places */

struct edge {
    char *base;
    size_t room;
};

static inline struct edge edge_open(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct edge edge = {.room = EDGE_PAGES * page};
    edge.base = mmap(NULL, edge.room + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (edge.base == MAP_FAILED || mprotect(edge.base + edge.room, page, PROT_NONE))
        abort();
    return edge;
}

static inline void edge_close(const struct edge *edge)
{
    munmap(edge->base, edge->room + (size_t)sysconf(_SC_PAGESIZE));
}

/* The last `length` bytes before the page that may not be touched. */
static inline char *edge_place(const struct edge *edge, size_t length)
{
    if (length > edge->room)
        abort();
    return edge->base + edge->room - length;
}

static inline char *edge_copy(const struct edge *edge, const void *bytes, size_t length)
{
    char *place = edge_place(edge, length);
    if (length)
        memcpy(place, bytes, length);
    return place;
}

#endif
