/* The node's figures as JSON, docs/protocol.md section 6. */
#ifndef DROP_STATISTICS_H
#define DROP_STATISTICS_H

#include "buffer.h"

struct drop_pool;
struct drop_reactor;

/* Appends the document, of one pool or (NULL) of all. 0, or -1 when the memory budget says no. */
int drop_statistics_write(struct drop_reactor *reactor, const struct drop_pool *pool,
                          struct drop_buffer *json);

#endif
