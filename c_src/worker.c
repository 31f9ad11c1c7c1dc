/* The life of a worker and the way to its stdin; see worker.h. The way back is in answers.c. */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "answers.h"
#include "exec.h"
#include "execution.h"
#include "health.h"
#include "line.h"
#include "ordered.h"
#include "reactor.h"
#include "tokened.h"

#define TICKETS_FIRST 8u

static void on_input(struct drop_reactor *reactor, struct drop_source *source, uint32_t events)
{
    (void)reactor;
    (void)events;
    drop_worker_flush(DROP_CONTAINER(source, struct drop_worker, input));
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void free_parts(struct drop_worker *worker)
{
    drop_tokens_destroy(worker->tokens);
    drop_execution_free(worker->execution);
    free(worker->health);
    free(worker->tickets);
    free(worker);
}

/* Owns none of the parts yet; NULL without memory. */
static struct drop_worker *allocate(struct drop_pool *pool, const struct drop_worker_parts *parts)
{
    struct drop_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->reactor = pool->reactor;
    worker->pool = pool;
    worker->unready = parts->ready_length > 0;
    worker->ticket_mask = TICKETS_FIRST - 1;
    if (pool->options.kind == DROP_KIND_ASYNC)
        worker->tokens = drop_tokens_create();
    else
        worker->tickets = calloc(TICKETS_FIRST, sizeof *worker->tickets);
    if ((!worker->tokens && !worker->tickets)
        || (worker->unready && drop_health_await(worker, parts->ready, parts->ready_length))) {
        free_parts(worker);
        return NULL;
    }
    return worker;
}

static void join_pool(struct drop_worker *worker)
{
    struct drop_reactor *reactor = worker->reactor;
    struct drop_pool *pool = worker->pool;
    worker->next_in_pool = pool->workers;
    if (pool->workers)
        pool->workers->previous_in_pool = worker;
    pool->workers = worker;
    pool->worker_count++;
    worker->next_by_id = reactor->workers[worker->id % DROP_WORKER_BUCKETS];
    reactor->workers[worker->id % DROP_WORKER_BUCKETS] = worker;
    reactor->worker_count++;
    drop_pool_file_worker(pool, worker);
}

struct drop_worker *drop_worker_create(struct drop_pool *pool, uint64_t id,
                                       const struct drop_worker_parts *parts)
{
    struct drop_reactor *reactor = pool->reactor;
    struct drop_worker *worker = allocate(pool, parts);
    if (!worker)
        return NULL;
    worker->id = id;
    worker->pid = parts->pid;
    worker->level = DROP_LEVEL_NONE;
    worker->input = (struct drop_source){.fd = parts->stdin_fd, .ready = on_input};
    worker->output = (struct drop_source){.fd = parts->stdout_fd, .ready = drop_worker_readable};
    worker->timer.fire = drop_worker_expire;
    worker->waiter.resume = drop_worker_resume;
    drop_queue_init(&worker->own);
    if (set_nonblocking(parts->stdin_fd) || set_nonblocking(parts->stdout_fd)
        || drop_timers_register(&reactor->timers)) {
        free_parts(worker);
        return NULL;
    }
    if (drop_reactor_watch(reactor, &worker->output, EPOLLIN)) {
        drop_timers_unregister(&reactor->timers, &worker->timer);
        free_parts(worker);
        return NULL;
    }
    worker->reading = true;
    worker->mark = parts->mark;
    worker->execution = parts->execution;
    join_pool(worker);
    return worker;
}

void drop_worker_destroy(struct drop_worker *worker)
{
    assert(worker->gone && !worker->waiter.list && worker->head == worker->tail);
    drop_callmark_release(worker->mark);
    free_parts(worker);
}

bool drop_worker_has_place(const struct drop_worker *worker)
{
    return !worker->gone && !worker->unready
           && drop_worker_inflight(worker) < worker->pool->options.inflight
           && drop_buffer_length(&worker->outgoing) < DROP_WORKER_OUTGOING_MAX
           && worker->pool->options.kind != DROP_KIND_STREAM
           && (!worker->execution || drop_exec_is_free(worker));
}

bool drop_worker_has_room(const struct drop_worker *worker)
{
    return !worker->draining && !worker->ending && drop_worker_has_place(worker);
}

bool drop_worker_has_own_room(const struct drop_worker *worker)
{
    return (!worker->own.first && drop_worker_has_room(worker))
           || worker->own.count < worker->pool->options.queue;
}

char *drop_worker_frame(struct drop_worker *worker, const char *payload, uint32_t length,
                        size_t body, size_t before, size_t behind)
{
    struct drop_reactor *reactor = worker->reactor;
    if (length > DROP_LARGE && reactor->lender && body == length) {
        if (drop_buffer_length(&worker->outgoing))
            return NULL;
        if (drop_buffer_adopt(&worker->outgoing, reactor->lender, payload, length, before, behind))
            return drop_buffer_data(&worker->outgoing);
    }
    char *place =
        drop_buffer_reserve(&worker->outgoing, &reactor->memory, before + body + behind);
    if (!place)
        return NULL;
    if (body == length)
        memcpy(place + before, payload, length);
    else
        drop_ncm_encode(place + before, payload, length);
    drop_buffer_commit(&worker->outgoing, before + body + behind);
    return place;
}

/* In its kind's way; 0, or -1 without memory. */
static inline int append(struct drop_worker *worker, const struct drop_ticket *ticket,
                         const char *payload, uint32_t length)
{
    switch (worker->pool->options.kind) {
    case DROP_KIND_ASYNC:
        return drop_tokened_give(worker, ticket, payload, length);
    case DROP_KIND_EXEC:
        return drop_exec_give(worker, ticket, payload, length);
    default:
        return drop_ordered_give(worker, ticket, payload, length);
    }
}

int drop_worker_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                     const char *payload, uint32_t length)
{
    struct drop_reactor *reactor = worker->reactor;
    uint32_t inflight = drop_worker_inflight(worker);
    if (append(worker, ticket, payload, length))
        return -1;
    worker->tail++;
    worker->pool->inflight++;
    if (inflight++ == 0) {
        worker->head_since_ns = reactor->now_ns;
        if (worker->pool->options.timeout_ns)
            drop_timer_arm(&reactor->timers, &worker->timer,
                           reactor->now_ns + worker->pool->options.timeout_ns);
    }
    drop_timer_arm(&reactor->timers, &worker->timer, ticket->deadline_ns);
    if (worker->mark)
        drop_callmark_given(worker->mark, ticket->id, inflight);
    if ((inflight & (inflight - 1)) == 0 || !drop_worker_has_room(worker))
        drop_pool_file_worker(worker->pool, worker);
    drop_reactor_mark_worker(reactor, worker);
    return 0;
}

int drop_worker_give_message(struct drop_worker *worker, struct drop_message *message)
{
    struct drop_reactor *reactor = worker->reactor;
    struct drop_buffer *before = reactor->lender;
    reactor->lender = message->large ? &message->held : NULL;
    int failed = drop_worker_give(worker, &message->ticket, message->payload, message->length);
    reactor->lender = before;
    return failed;
}

static void watch_input(struct drop_worker *worker, bool full)
{
    if (full == worker->writing)
        return;
    if (!full)
        drop_reactor_unwatch(worker->reactor, &worker->input);
    else if (drop_reactor_watch(worker->reactor, &worker->input, EPOLLOUT))
        return; /* without memory in the kernel: the next message for it tries again */
    worker->writing = full;
}

/* It takes no more. */
static void broken_input(struct drop_worker *worker, size_t before)
{
    watch_input(worker, false); /* it may wait long yet, and this would be told all along */
    if (worker->tokens)
        drop_tokened_written(worker, before);
    if (!worker->ended) /* or it is dead, and how it died will be told soon */
        drop_worker_finish_reading(worker, "write", "the worker closed its stdin");
}

void drop_worker_flush(struct drop_worker *worker)
{
    size_t before = worker->written;
    while (!worker->gone && worker->written < drop_buffer_length(&worker->outgoing)) {
        ssize_t count = write(worker->input.fd,
                              drop_buffer_data(&worker->outgoing) + worker->written,
                              drop_buffer_length(&worker->outgoing) - worker->written);
        if (count >= 0) {
            worker->written += (size_t)count;
        } else if (errno == EAGAIN) {
            watch_input(worker, true);
            break;
        } else if (worker->execution && errno == EPIPE) {
            worker->execution->unread = worker->written == 0;
            worker->written = drop_buffer_length(&worker->outgoing); /* it needs no more of it */
        } else if (errno != EINTR) {
            broken_input(worker, before);
            return;
        }
    }
    if (worker->gone)
        return;
    if (worker->written == drop_buffer_length(&worker->outgoing))
        watch_input(worker, false);
    if (worker->tokens) {
        drop_tokened_written(worker, before);
        drop_pool_file_worker(worker->pool, worker); /* it may have room again */
        if (worker->pool->mailbox.first)
            drop_pool_refill(worker->pool);
    }
    if (worker->execution)
        drop_exec_written(worker);
    if (worker->early)
        drop_worker_resume(worker->reactor, &worker->waiter);
}

/* Leaves everything that names it and closes its descriptors. */
static void detach(struct drop_worker *worker)
{
    struct drop_reactor *reactor = worker->reactor;
    struct drop_pool *pool = worker->pool;
    worker->gone = true;
    if (worker->pid && worker->pid == reactor->affinity.worker)
        drop_reactor_move(reactor, drop_placement_busy(&reactor->placement), 0);
    drop_pool_unfile_worker(pool, worker);
    drop_waiter_leave(&worker->waiter);
    drop_timers_unregister(&reactor->timers, &worker->timer);
    if (worker->previous_in_pool)
        worker->previous_in_pool->next_in_pool = worker->next_in_pool;
    else
        pool->workers = worker->next_in_pool;
    if (worker->next_in_pool)
        worker->next_in_pool->previous_in_pool = worker->previous_in_pool;
    pool->worker_count--;
    struct drop_worker **link = &reactor->workers[worker->id % DROP_WORKER_BUCKETS];
    while (*link != worker)
        link = &(*link)->next_by_id;
    *link = worker->next_by_id;
    reactor->worker_count--;
    /* Said to epoll before close: a child that is being started holds copies of all descriptors
     * for a moment, and an entry that outlives ours would report a freed worker. */
    if (worker->reading)
        drop_reactor_unwatch(reactor, &worker->output);
    if (worker->writing)
        drop_reactor_unwatch(reactor, &worker->input);
    worker->reading = worker->writing = false;
    if (worker->input.fd >= 0)
        close(worker->input.fd);
    close(worker->output.fd);
    worker->input.fd = worker->output.fd = -1;
    worker->next_in_pool = reactor->dead_workers;
    reactor->dead_workers = worker;
}

void drop_worker_give_back(struct drop_worker *worker, struct drop_ticket *ticket,
                           const char *payload, uint32_t length)
{
    struct drop_pool *pool = worker->pool;
    struct drop_message *message = NULL;
    if (drop_ticket_is_wanted(ticket))
        message = drop_message_create(&pool->reactor->memory, ticket, payload, length,
                                      &worker->outgoing);
    if (message)
        drop_pool_requeue(pool, message);
    else
        drop_pool_fail_ticket(pool, ticket,
                              ticket->flags & DROP_TICKET_BROADCAST ? DROP_NO_WORKER
                                                                    : DROP_OVERLOADED,
                              "its worker died and there is no memory to try another");
}

static void settle(struct drop_worker *worker, enum drop_status status, const char *text)
{
    struct drop_pool *pool = worker->pool;
    struct drop_message *message;
    if (worker->tokens)
        drop_tokened_settle(worker, status, text);
    else if (worker->execution)
        drop_exec_settle(worker, status, text);
    else
        drop_ordered_settle(worker, status, text);
    while ((message = drop_queue_pop(&worker->own))) {
        pool->private_waiting--;
        drop_pool_fail_ticket(pool, &message->ticket, DROP_NO_WORKER, "");
        drop_message_destroy(&pool->reactor->memory, message);
    }
    if (worker->mark)
        drop_callmark_answered(worker->mark, 0);
}

void drop_worker_gone(struct drop_worker *worker, const char *reason, enum drop_status status,
                      const char *text)
{
    struct drop_reactor *reactor = worker->reactor;
    struct drop_pool *pool = worker->pool;
    if (worker->gone)
        return;
    uint64_t unanswered = drop_worker_inflight(worker); /* below 2^16: DROP_INFLIGHT_MAX */
    detach(worker);
    settle(worker, status, text);
    drop_buffer_release(&worker->outgoing, &reactor->memory);
    drop_buffer_release(&worker->inbox, &reactor->memory);
    if (pool->options.kind != DROP_KIND_EXEC)
        drop_reactor_tell(reactor, DROP_WORKER_GONE, pool->id, worker->id,
                          worker->answered << 16 | unanswered, reason, strlen(reason));
    if (pool->refusal && !pool->worker_count)
        drop_pool_fail_waiting(pool, DROP_NO_WORKER, pool->refusal);
    drop_pool_refill(pool);
    drop_pool_check_drained(pool);
}

void drop_worker_drain(struct drop_worker *worker)
{
    worker->draining = true;
    drop_pool_unfile_worker(worker->pool, worker);
    if (worker->pool->options.kind != DROP_KIND_STREAM) {
        drop_worker_check_drained(worker);
    } else if (worker->input.fd >= 0) {
        close(worker->input.fd);
        worker->input.fd = -1;
    }
}

void drop_worker_check_drained(struct drop_worker *worker)
{
    struct drop_pool *pool = worker->pool;
    if (!worker->draining || worker->gone || drop_worker_inflight(worker) || worker->own.first
        || worker->pool->options.kind == DROP_KIND_STREAM)
        return;
    detach(worker);
    drop_buffer_release(&worker->inbox, &worker->reactor->memory);
    drop_buffer_release(&worker->outgoing, &worker->reactor->memory); /* of what timed out */
    drop_reactor_tell(worker->reactor, DROP_WORKER_DRAINED, pool->id, worker->id,
                      worker->answered, NULL, 0);
    if (pool->refusal && !pool->worker_count)
        drop_pool_fail_waiting(pool, DROP_NO_WORKER, pool->refusal);
    drop_pool_refill(pool);
}
