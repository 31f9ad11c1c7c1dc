/* A batch is a source like a connection: it stops where there is no room and stands in line; see
 * batch.h. */
#include "batch.h"

#include <stdlib.h>

#include "reactor.h"

static void finish(struct drop_reactor *reactor, struct drop_batch *batch)
{
    struct drop_batch **link = &reactor->batches;
    while (*link != batch)
        link = &(*link)->next;
    *link = batch->next;
    drop_waiter_leave(&batch->waiter);
    drop_reactor_tell(reactor, DROP_PUBLISHED, batch->request, batch->accepted,
                      batch->refused + batch->remaining, NULL, 0);
    free(batch->record);
    free(batch);
}

static void go_on(struct drop_reactor *reactor, struct drop_batch *batch)
{
    struct drop_pool *pool = batch->pool;
    struct drop_ticket ticket = {.accepted_ns = reactor->now_ns, .deadline_ns = DROP_NEVER};
    while (batch->remaining) {
        /* What waits is in memory here already: it waits for a worker rather than be copied into
         * the mailbox. Offered in vain it is refused, as the pool's state wants. */
        if (drop_pool_slows_sources(pool) && drop_pool_is_busy(pool)) {
            drop_waiter_join(&batch->waiter, &pool->waitlist);
            return;
        }
        const char *item = batch->record->bytes + batch->position;
        uint32_t length;
        memcpy(&length, item, sizeof length);
        struct drop_outcome outcome =
            drop_pool_offer(pool, &ticket, item + sizeof length, length);
        if (outcome.verdict == DROP_TAKEN) {
            batch->accepted++;
        } else {
            batch->refused++;
            pool->counters.dropped[outcome.status]++;
        }
        batch->position += sizeof length + length;
        batch->remaining--;
    }
    finish(reactor, batch);
}

static void resume(struct drop_reactor *reactor, struct drop_waiter *waiter)
{
    go_on(reactor, DROP_CONTAINER(waiter, struct drop_batch, waiter));
}

void drop_batch_start(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, record->b);
    struct drop_batch *batch = NULL;
    if (pool && pool->options.kind != DROP_KIND_CONTROL) /* which has no workers to wait for */
        batch = calloc(1, sizeof *batch);
    if (!batch) {
        drop_reactor_tell(reactor, DROP_PUBLISHED, record->a, 0, record->c, NULL, 0);
        free(record);
        return;
    }
    batch->waiter.resume = resume;
    batch->pool = pool;
    batch->record = record;
    batch->request = record->a;
    batch->remaining = record->c;
    batch->next = reactor->batches;
    reactor->batches = batch;
    go_on(reactor, batch);
}

void drop_batches_forget(struct drop_reactor *reactor, struct drop_pool *pool)
{
    struct drop_batch *next;
    for (struct drop_batch *batch = reactor->batches; batch; batch = next) {
        next = batch->next;
        if (batch->pool == pool)
            finish(reactor, batch);
    }
}

void drop_batches_free(struct drop_reactor *reactor)
{
    while (reactor->batches)
        finish(reactor, reactor->batches);
}
