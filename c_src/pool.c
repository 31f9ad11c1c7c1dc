/* The life of a pool: making, finding, refusing, draining, removing; see pool.h. Dispatch is in
 * dispatch.c. */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>

#include "exec.h"
#include "reactor.h"

/* FNV-1a, 32 bit (Fowler, Noll, Vo): names are short and come from the operator. */
static uint32_t hash_name(const char *name, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return hash % DROP_POOL_BUCKETS;
}

static void expire(struct drop_timer *timer, uint64_t now_ns)
{
    struct drop_pool *pool = DROP_CONTAINER(timer, struct drop_pool, timer);
    uint64_t earliest = DROP_NEVER;
    struct drop_message **link = &pool->mailbox.first;
    while (*link) {
        struct drop_message *message = *link;
        if (message->ticket.deadline_ns > now_ns) {
            if (message->ticket.deadline_ns < earliest)
                earliest = message->ticket.deadline_ns;
            link = &message->next;
            continue;
        }
        drop_queue_unlink(&pool->mailbox, link);
        drop_pool_fail_ticket(pool, &message->ticket, DROP_TIMEOUT,
                              "the caller's time ran out before a worker was free");
        drop_message_destroy(&pool->reactor->memory, message);
    }
    drop_timer_arm_coarse(&pool->reactor->timers, timer, earliest, now_ns);
    drop_exec_touch(pool);
    drop_pool_refill(pool);
}

struct drop_pool *drop_pool_create(struct drop_reactor *reactor, uint64_t id,
                                   const struct drop_pool_options *options)
{
    assert(!drop_pool_find(reactor, options->name, options->name_length));
    struct drop_pool *pool = calloc(1, sizeof *pool);
    if (!pool || drop_timers_register(&reactor->timers)) {
        free(pool);
        return NULL;
    }
    pool->reactor = reactor;
    pool->options = *options;
    pool->id = id;
    pool->timer.fire = expire;
    drop_queue_init(&pool->mailbox);
    uint32_t bucket = hash_name(options->name, options->name_length);
    pool->next_by_name = reactor->pools_by_name[bucket];
    reactor->pools_by_name[bucket] = pool;
    pool->next_by_id = reactor->pools_by_id[id % DROP_POOL_BUCKETS];
    reactor->pools_by_id[id % DROP_POOL_BUCKETS] = pool;
    reactor->pool_count++;
    return pool;
}

static void unhash(struct drop_pool *pool)
{
    struct drop_reactor *reactor = pool->reactor;
    struct drop_pool **link =
        &reactor->pools_by_name[hash_name(pool->options.name, pool->options.name_length)];
    while (*link != pool)
        link = &(*link)->next_by_name;
    *link = pool->next_by_name;
    link = &reactor->pools_by_id[pool->id % DROP_POOL_BUCKETS];
    while (*link != pool)
        link = &(*link)->next_by_id;
    *link = pool->next_by_id;
    reactor->pool_count--;
    reactor->pool_epoch++;
}

static void forget_room(struct drop_pool *pool)
{
    struct drop_pool **link = &pool->reactor->roomy;
    if (!pool->roomy)
        return;
    while (*link != pool)
        link = &(*link)->next_roomy;
    *link = pool->next_roomy;
}

static void end_subscription(struct drop_subscription *subscription)
{
    static const char text[] = "the pool was removed, and the subscription with it";
    if (subscription->connection)
        drop_connection_answer(subscription->connection, subscription->id, DROP_DRAINING, text,
                               sizeof text - 1);
    drop_subscription_destroy(subscription);
}

void drop_pool_destroy(struct drop_pool *pool)
{
    struct drop_reactor *reactor = pool->reactor;
    pool->draining = true;
    unhash(pool);
    while (pool->workers)
        drop_worker_gone(pool->workers, "removed", DROP_DRAINING, "the pool was removed");
    drop_pool_fail_waiting(pool, DROP_DRAINING, "the pool was removed");
    drop_subscriptions_forget_target(reactor, pool);
    while (pool->subscription_count)
        end_subscription(pool->subscriptions[0]);
    drop_batches_forget(reactor, pool);
    drop_waitlist_serve(reactor, &pool->waitlist, NULL, NULL);
    forget_room(pool); /* last: workers that go make room */
    assert(!pool->waitlist.first && pool->inflight == 0);
    drop_timers_unregister(&reactor->timers, &pool->timer);
    drop_exec_free(pool);
    free(pool->subscriptions);
    free(pool->refusal);
    free(pool);
}

struct drop_pool *drop_pool_find(struct drop_reactor *reactor, const char *name, size_t length)
{
    struct drop_pool *pool = reactor->pools_by_name[hash_name(name, length)];
    while (pool
           && (pool->options.name_length != length || memcmp(pool->options.name, name, length)))
        pool = pool->next_by_name;
    return pool;
}

struct drop_pool *drop_pool_by_id(struct drop_reactor *reactor, uint64_t id)
{
    struct drop_pool *pool = reactor->pools_by_id[id % DROP_POOL_BUCKETS];
    while (pool && pool->id != id)
        pool = pool->next_by_id;
    return pool;
}

void drop_pool_fail_ticket(struct drop_pool *pool, struct drop_ticket *ticket,
                           enum drop_status status, const char *text)
{
    pool->reactor->pending--;
    if (ticket->flags & DROP_TICKET_PROBE)
        return;
    if (ticket->connection) {
        pool->counters.failed[status]++;
        drop_connection_answer(ticket->connection, ticket->id, status, text, strlen(text));
        drop_connection_release(ticket->connection);
        ticket->connection = NULL;
    } else if (!(ticket->flags & DROP_TICKET_LATE)) {
        pool->counters.dropped[status]++;
    }
    drop_pool_check_drained(pool);
}

void drop_pool_fail_waiting(struct drop_pool *pool, enum drop_status status, const char *text)
{
    struct drop_message *message;
    while ((message = drop_queue_pop(&pool->mailbox))) {
        drop_pool_fail_ticket(pool, &message->ticket, status, text);
        drop_message_destroy(&pool->reactor->memory, message);
    }
}

int drop_pool_refuse(struct drop_pool *pool, const char *text)
{
    char *refusal = NULL;
    if (text && !(refusal = strdup(text)))
        return -1;
    free(pool->refusal);
    pool->refusal = refusal;
    if (refusal && !pool->worker_count) {
        drop_pool_fail_waiting(pool, DROP_NO_WORKER, refusal);
        drop_pool_refill(pool);
    }
    return 0;
}

void drop_pool_drain(struct drop_pool *pool)
{
    pool->draining = true;
    pool->drained_reported = false;
    drop_exec_touch(pool);
    drop_pool_refill(pool); /* who stands in line is refused */
    drop_pool_check_drained(pool);
}

void drop_pool_check_drained(struct drop_pool *pool)
{
    if (!pool->draining || pool->drained_reported || pool->mailbox.count || pool->inflight
        || pool->private_waiting)
        return;
    pool->drained_reported = true;
    drop_reactor_tell(pool->reactor, DROP_POOL_DRAINED, pool->id, 0, 0, NULL, 0);
}

bool drop_pool_cancel(struct drop_pool *pool, struct drop_connection *connection, uint64_t id)
{
    for (struct drop_message **link = &pool->mailbox.first; *link; link = &(*link)->next) {
        struct drop_message *message = *link;
        if (message->ticket.connection != connection || message->ticket.id != id)
            continue;
        drop_queue_unlink(&pool->mailbox, link);
        drop_pool_fail_ticket(pool, &message->ticket, DROP_CANCELLED, "cancelled by the caller");
        drop_message_destroy(&pool->reactor->memory, message);
        drop_pool_refill(pool);
        return true;
    }
    for (struct drop_worker *worker = pool->workers; worker; worker = worker->next_in_pool)
        if (drop_worker_cancel(worker, connection, id))
            return true;
    return false;
}

void drop_pool_answer_token(struct drop_reactor *reactor, uint64_t token, enum drop_status status,
                            const char *payload, size_t length)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, token >> DROP_TOKEN_SHIFT);
    if (!pool)
        return;
    for (struct drop_message **link = &pool->mailbox.first; *link; link = &(*link)->next) {
        struct drop_message *message = *link;
        if (memcmp(message->payload, &token, sizeof token) != 0)
            continue;
        drop_queue_unlink(&pool->mailbox, link);
        if (message->ticket.connection) {
            drop_connection_answer(message->ticket.connection, message->ticket.id, status, payload,
                                   length);
            drop_connection_release(message->ticket.connection);
        }
        reactor->pending--;
        pool->counters.answers++;
        drop_message_destroy(&reactor->memory, message);
        drop_pool_check_drained(pool);
        return;
    }
}
