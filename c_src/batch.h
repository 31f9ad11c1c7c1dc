/* Batches: many messages for one pool, published by a thread of this process in one command. */
#ifndef DROP_BATCH_H
#define DROP_BATCH_H

#include <stdint.h>

#include "waiter.h"

struct drop_pool;
struct drop_reactor;
struct drop_record;

struct drop_batch {
    struct drop_waiter waiter; /* for room in the pool */
    struct drop_batch *next;
    struct drop_pool *pool;
    struct drop_record *record; /* u32 length and payload, each */
    uint64_t request;
    uint64_t remaining; /* messages */
    size_t position;
    uint64_t accepted;
    uint64_t refused;
};

/* Publishes what has room at once and the rest as room comes, then tells PUBLISHED. Takes
 * the record. */
void drop_batch_start(struct drop_reactor *reactor, struct drop_record *record);
/* The pool goes away: what its batches still hold is refused. */
void drop_batches_forget(struct drop_reactor *reactor, struct drop_pool *pool);
/* The reactor goes away. */
void drop_batches_free(struct drop_reactor *reactor);

#endif
