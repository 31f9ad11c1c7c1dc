/* From an offered message to a worker: the decisions of pool.h that every message passes. */
#include <assert.h>

#include "exec.h"
#include "line.h"
#include "reactor.h"

static unsigned level_of(uint32_t inflight)
{
    return inflight ? 32u - (unsigned)__builtin_clz(inflight) : 0;
}

void drop_pool_unfile_worker(struct drop_pool *pool, struct drop_worker *worker)
{
    unsigned level = worker->level;
    if (level == DROP_LEVEL_NONE)
        return;
    if (worker->previous_in_level)
        worker->previous_in_level->next_in_level = worker->next_in_level;
    else
        pool->levels[level] = worker->next_in_level;
    if (worker->next_in_level)
        worker->next_in_level->previous_in_level = worker->previous_in_level;
    if (!pool->levels[level])
        pool->level_bits &= ~(1u << level);
    worker->level = DROP_LEVEL_NONE;
}

void drop_pool_file_worker(struct drop_pool *pool, struct drop_worker *worker)
{
    unsigned level =
        drop_worker_has_room(worker) ? level_of(drop_worker_inflight(worker)) : DROP_LEVEL_NONE;
    if (level == worker->level)
        return;
    drop_pool_unfile_worker(pool, worker);
    if (level == DROP_LEVEL_NONE)
        return;
    /* To the front: the worker used last is the one whose memory is still in the cache. */
    worker->level = (uint8_t)level;
    worker->previous_in_level = NULL;
    worker->next_in_level = pool->levels[level];
    if (worker->next_in_level)
        worker->next_in_level->previous_in_level = worker;
    pool->levels[level] = worker;
    pool->level_bits |= 1u << level;
}

static inline struct drop_worker *least_loaded(const struct drop_pool *pool)
{
    return pool->level_bits ? pool->levels[__builtin_ctz(pool->level_bits)] : NULL;
}

static struct drop_outcome refused(struct drop_pool *pool, enum drop_status status,
                                   const char *text)
{
    pool->counters.messages++;
    return (struct drop_outcome){DROP_REFUSED, status, text};
}

static const struct drop_outcome taken = {DROP_TAKEN, DROP_OK, NULL};

static inline void count_taken(struct drop_pool *pool, uint32_t length)
{
    pool->counters.messages++;
    pool->counters.bytes_in += length;
    pool->reactor->pending++;
}

/* A worker has room, yet the message waits, for memory was short: the timer gives it, in case no
 * answer does. */
static void try_again_later(struct drop_pool *pool)
{
    drop_timer_arm(&pool->reactor->timers, &pool->timer,
                   pool->reactor->now_ns + DROP_MEMORY_RETRY_NS);
}

/* Into the mailbox, whatever its bound. False: no memory. */
static bool enqueue(struct drop_pool *pool, const struct drop_ticket *ticket, const char *payload,
                    uint32_t length)
{
    struct drop_message *message =
        drop_message_create(&pool->reactor->memory, ticket, payload, length,
                            pool->reactor->lender);
    if (!message)
        return false;
    drop_queue_push(&pool->mailbox, message);
    drop_timer_arm(&pool->reactor->timers, &pool->timer, ticket->deadline_ns);
    if (pool->level_bits)
        try_again_later(pool);
    if (pool->exec)
        drop_exec_missed(pool);
    return true;
}

static void drop_oldest(struct drop_pool *pool)
{
    struct drop_message *message = drop_queue_pop(&pool->mailbox);
    drop_pool_fail_ticket(pool, &message->ticket, DROP_OVERLOADED,
                          "the mailbox is full and the oldest message gives way");
    drop_message_destroy(&pool->reactor->memory, message);
}

/* A message for the control plane: Python gets the payload and a token, the ticket waits here. */
static struct drop_outcome offer_control(struct drop_pool *pool, const struct drop_ticket *ticket,
                                         const char *payload, uint32_t length)
{
    if (pool->mailbox.count >= pool->options.queue)
        return refused(pool, DROP_OVERLOADED, "the node has too many control requests to answer");
    uint64_t token = pool->id << DROP_TOKEN_SHIFT | ++pool->tokens;
    if (!enqueue(pool, ticket, (const char *)&token, sizeof token))
        return refused(pool, DROP_OVERLOADED, "the node's memory for messages is used up");
    count_taken(pool, length);
    drop_reactor_tell(pool->reactor, DROP_MESSAGE, pool->id, token, 0, payload, length);
    return taken;
}

/* The mailbox is full: what the flow wants then. */
static struct drop_outcome overflow(struct drop_pool *pool, const struct drop_ticket *ticket,
                                    const char *payload, uint32_t length)
{
    switch (pool->options.overflow) {
    case DROP_OVERFLOW_BLOCK:
        return (struct drop_outcome){DROP_WAIT, DROP_OK, NULL};
    case DROP_OVERFLOW_OLDEST:
        drop_oldest(pool);
        if (!enqueue(pool, ticket, payload, length))
            return refused(pool, DROP_OVERLOADED, "the node's memory for messages is used up");
        count_taken(pool, length);
        return taken;
    case DROP_OVERFLOW_DEFAULT:
    case DROP_OVERFLOW_REJECT:
        break;
    }
    return refused(pool, DROP_OVERLOADED, "the mailbox is full");
}

/* Why the pool's kind cannot carry the payload; NULL: it can. */
static const char *unfit(const struct drop_pool *pool, const char *payload, uint32_t length)
{
    enum drop_kind kind = pool->options.kind;
    if (kind == DROP_KIND_STREAM)
        return "its function is a source (kind stream) and takes no messages; subscribe to it";
    if ((kind == DROP_KIND_LINE || kind == DROP_KIND_ASYNC) && !pool->options.ncm
        && !drop_line_fits(payload, length))
        return kind == DROP_KIND_LINE
                   ? "the payload has a newline, which a function of kind line cannot be given; "
                     "the flow can say `newline: ncm` or `kind: frame`"
                   : "the payload has a newline, which a function of kind async cannot be given; "
                     "the flow can say `newline: ncm`";
    return NULL;
}

struct drop_outcome drop_pool_offer(struct drop_pool *pool, const struct drop_ticket *ticket,
                                    const char *payload, uint32_t length)
{
    if (pool->draining || pool->reactor->draining)
        return refused(pool, DROP_DRAINING, "it is stopping and takes no new work");
    if (pool->options.kind == DROP_KIND_CONTROL)
        return offer_control(pool, ticket, payload, length);
    if (!drop_memory_allows_work(&pool->reactor->memory))
        return refused(pool, DROP_OVERLOADED, "the node's memory for messages is used up");
    const char *why = unfit(pool, payload, length);
    if (why)
        return refused(pool, DROP_BAD_REQUEST, why);
    if (!pool->mailbox.first) {
        struct drop_worker *worker = least_loaded(pool);
        if (worker && drop_worker_give(worker, ticket, payload, length) == 0) {
            count_taken(pool, length);
            return taken;
        }
    }
    if (pool->refusal && !pool->worker_count)
        return refused(pool, DROP_NO_WORKER, pool->refusal);
    if (pool->mailbox.count >= pool->options.queue)
        return overflow(pool, ticket, payload, length);
    if (!enqueue(pool, ticket, payload, length))
        return refused(pool, DROP_OVERLOADED, "the node's memory for messages is used up");
    count_taken(pool, length);
    return taken;
}

static bool room_in_mailbox(const struct drop_pool *pool)
{
    return pool->mailbox.count < pool->options.queue;
}

bool drop_pool_has_room(const void *owner)
{
    const struct drop_pool *pool = owner;
    return (pool->level_bits && !pool->mailbox.first) || room_in_mailbox(pool);
}

bool drop_pool_is_busy(const struct drop_pool *pool)
{
    bool hopeless = pool->draining || pool->reactor->draining
                    || (pool->refusal && !pool->worker_count);
    if (hopeless)
        return false;
    if (pool->options.kind == DROP_KIND_EXEC)
        return drop_exec_is_busy(pool);
    return pool->mailbox.first || !pool->level_bits;
}

bool drop_pool_has_broadcast_room(const struct drop_pool *pool)
{
    for (struct drop_worker *worker = pool->workers; worker; worker = worker->next_in_pool)
        if (!worker->draining && !drop_worker_has_own_room(worker))
            return false;
    return true;
}

static void drop_event(struct drop_pool *pool, enum drop_status status)
{
    pool->counters.messages++;
    pool->counters.dropped[status]++;
}

static void take_broadcast(struct drop_pool *pool, struct drop_ticket *ticket, const char *payload,
                           uint32_t length)
{
    bool anybody = false;
    ticket->flags |= DROP_TICKET_BROADCAST;
    for (struct drop_worker *worker = pool->workers; worker; worker = worker->next_in_pool) {
        if (worker->draining)
            continue;
        anybody = true;
        if (!worker->own.first && drop_worker_has_room(worker)
            && drop_worker_give(worker, ticket, payload, length) == 0) {
            count_taken(pool, length);
            continue;
        }
        struct drop_message *message = NULL;
        if (drop_pool_slows_sources(pool) || drop_worker_has_own_room(worker))
            message =
                drop_message_create(&pool->reactor->memory, ticket, payload, length, NULL);
        if (!message) {
            drop_event(pool, DROP_OVERLOADED);
            continue;
        }
        drop_queue_push(&worker->own, message);
        pool->private_waiting++;
        count_taken(pool, length);
    }
    if (!anybody)
        drop_event(pool, DROP_NO_WORKER);
}

void drop_pool_take_event(struct drop_pool *pool, uint64_t id, const char *payload,
                          uint32_t length, bool broadcast)
{
    struct drop_ticket ticket = {.id = id,
                                 .accepted_ns = pool->reactor->now_ns,
                                 .deadline_ns = DROP_NEVER};
    if (unfit(pool, payload, length)) {
        drop_event(pool, DROP_BAD_REQUEST);
        return;
    }
    if (broadcast) {
        take_broadcast(pool, &ticket, payload, length);
        return;
    }
    struct drop_worker *worker = pool->mailbox.first ? NULL : least_loaded(pool);
    if (worker && drop_worker_give(worker, &ticket, payload, length) == 0) {
        count_taken(pool, length);
        return;
    }
    if (pool->refusal && !pool->worker_count) {
        drop_event(pool, DROP_NO_WORKER);
        return;
    }
    if (!room_in_mailbox(pool) && pool->options.overflow == DROP_OVERFLOW_OLDEST)
        drop_oldest(pool);
    /* A source that has to wait was admitted before; one event more for a second subscription
     * does no harm. */
    bool place = room_in_mailbox(pool) || drop_pool_slows_sources(pool);
    if (place && enqueue(pool, &ticket, payload, length))
        count_taken(pool, length);
    else
        drop_event(pool, DROP_OVERLOADED);
}

void drop_pool_requeue(struct drop_pool *pool, struct drop_message *message)
{
    drop_queue_push_front(&pool->mailbox, message);
    drop_timer_arm(&pool->reactor->timers, &pool->timer, message->ticket.deadline_ns);
}

/* What became of a message while it waited: true when it need not run any more (it is ended). */
static bool ended_while_waiting(struct drop_pool *pool, struct drop_message *message)
{
    struct drop_ticket *ticket = &message->ticket;
    if (ticket->deadline_ns <= pool->reactor->now_ns)
        drop_pool_fail_ticket(pool, ticket, DROP_TIMEOUT,
                              "the caller's time ran out before a worker was free");
    else if (ticket->connection && ticket->connection->state == DROP_CONNECTION_CLOSED)
        drop_pool_fail_ticket(pool, ticket, DROP_CANCELLED, "");
    else
        return false;
    drop_message_destroy(&pool->reactor->memory, message);
    return true;
}

void drop_pool_refill(struct drop_pool *pool)
{
    if (pool->options.kind == DROP_KIND_CONTROL)
        return;
    while (pool->mailbox.first && pool->level_bits) {
        struct drop_message *message = drop_queue_pop(&pool->mailbox);
        if (ended_while_waiting(pool, message))
            continue;
        if (drop_worker_give_message(least_loaded(pool), message)) {
            drop_queue_push_front(&pool->mailbox, message);
            try_again_later(pool);
            break;
        }
        drop_message_destroy(&pool->reactor->memory, message);
    }
    if (pool->waitlist.first)
        drop_reactor_mark_roomy(pool->reactor, pool);
}
