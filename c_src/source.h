/* What epoll watches: the first member of everything that owns a descriptor. */
#ifndef DROP_SOURCE_H
#define DROP_SOURCE_H

#include <stdint.h>

struct drop_reactor;

struct drop_source {
    int fd; /* -1: closed; events of this turn that still name it are dropped */
    void (*ready)(struct drop_reactor *reactor, struct drop_source *source, uint32_t events);
};

#define DROP_CONTAINER(pointer, type, member)                                                      \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
