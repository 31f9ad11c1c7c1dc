/* The end of a pass: the books of a worker and its pool; see pass.h. */
#include "pass.h"

#include "answers.h"

static void feed_own(struct drop_worker *worker)
{
    struct drop_pool *pool = worker->pool;
    while (worker->own.first && drop_worker_has_place(worker)) {
        struct drop_message *message = drop_queue_pop(&worker->own);
        if (drop_worker_give_message(worker, message)) {
            drop_queue_push_front(&worker->own, message);
            drop_timer_arm(&worker->reactor->timers, &worker->timer,
                           worker->reactor->now_ns + DROP_MEMORY_RETRY_NS);
            return;
        }
        pool->private_waiting--;
        drop_message_destroy(&worker->reactor->memory, message);
    }
}

void drop_worker_feed_own(struct drop_worker *worker)
{
    if (worker->own.first)
        feed_own(worker);
}

void drop_pass_withhold(struct drop_pool *pool, struct drop_ticket ticket)
{
    static const char text[] = "the answer was given up, for too many large ones wait for you to "
                               "read them; ask for fewer at a time";
    pool->counters.late++;
    pool->counters.failed[DROP_OVERLOADED]++;
    drop_connection_answer(ticket.connection, ticket.id, DROP_OVERLOADED, text, sizeof text - 1);
    drop_connection_release(ticket.connection);
}

void drop_tally_close(struct drop_worker *worker, struct drop_tally *tally)
{
    struct drop_pool *pool = worker->pool;
    struct drop_reactor *reactor = worker->reactor;
    uint32_t answers = tally->answers - tally->probes; /* to messages */
    if (!tally->answers)
        return;
    if (tally->run)
        drop_histogram_add(&pool->latency, reactor->now_ns - tally->accepted_ns, tally->run);
    if (tally->outgoing) {
        drop_buffer_consume(&worker->outgoing, &reactor->memory, tally->outgoing);
        worker->written -= tally->outgoing;
    }
    uint64_t service_ns = reactor->now_ns - worker->head_since_ns;
    worker->head_since_ns = reactor->now_ns;
    worker->answered += answers;
    pool->inflight -= tally->answers;
    pool->counters.answers += answers;
    pool->counters.bytes_out += tally->bytes;
    reactor->pending -= tally->answers;
    if (worker->mark)
        drop_callmark_answered(worker->mark, drop_worker_inflight(worker));
    if (reactor->options.gather && answers && !worker->execution) /* which is dead */
        drop_reactor_move(reactor,
                          drop_placement_answered(&reactor->placement, service_ns,
                                                  reactor->pending + tally->answers - 1),
                          worker->pid);
    drop_worker_feed_own(worker);
    drop_pool_file_worker(pool, worker);
    drop_pool_refill(pool);
    if (worker->draining)
        drop_worker_check_drained(worker);
    if (pool->draining)
        drop_pool_check_drained(pool);
}
