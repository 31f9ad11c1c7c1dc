/* Reading a worker: answers are found in place, matched with the oldest ticket, and handed on;
 * see answers.h.
 *
 * One read(2) serves as many answers as the pipe holds. Counters, the histogram and the worker's
 * books change once per read. A worker stops being read while the next answer has no place to go
 * (back-pressure), and while it answers a message that has not been written whole yet. */
#include "answers.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "length.h"
#include "line.h"
#include "reactor.h"

/* a longer rest is not copied to the scratch, but read on to where it is */
#define CARRIED_MAX (64u << 10)
#define DEADLINE_GRAIN_NS (5 * DROP_NS_PER_MS)

enum found { FOUND, INCOMPLETE, TOO_LONG };

struct answer {
    char *bytes;
    uint32_t length;
    size_t used; /* framing included */
};

/* What one pass over the read bytes did, for the books. */
struct tally {
    uint32_t answers;
    uint64_t bytes;
    size_t outgoing; /* bytes of the answered messages */
    uint64_t accepted_ns; /* of the run of messages accepted at the same time */
    uint32_t run;
};

static inline enum found find_answer(struct drop_worker *worker, char *bytes, size_t length,
                                     size_t scanned, struct answer *answer)
{
    size_t payload_max = worker->reactor->options.payload_max;
    if (worker->pool->options.kind == DROP_KIND_LINE) {
        char *newline = length > scanned ? memchr(bytes + scanned, '\n', length - scanned) : NULL;
        size_t end = newline ? (size_t)(newline - bytes) : length;
        if (end > payload_max)
            return TOO_LONG;
        if (!newline) {
            worker->scanned = length;
            return INCOMPLETE;
        }
        *answer = (struct answer){bytes, (uint32_t)end, end + 1};
        return FOUND;
    }
    uint64_t total = drop_length_total(bytes, length);
    if (total > payload_max + DROP_LENGTH_PREFIX)
        return TOO_LONG;
    if (total == 0 || total > length) {
        worker->needed = (size_t)total;
        return INCOMPLETE;
    }
    *answer = (struct answer){bytes + DROP_LENGTH_PREFIX, (uint32_t)total - DROP_LENGTH_PREFIX,
                              (size_t)total};
    return FOUND;
}

static inline void tally_latency(struct drop_pool *pool, struct tally *tally, uint64_t accepted_ns)
{
    if (accepted_ns == tally->accepted_ns) {
        tally->run++;
        return;
    }
    if (tally->run)
        drop_histogram_add(&pool->latency, pool->reactor->now_ns - tally->accepted_ns, tally->run);
    tally->accepted_ns = accepted_ns;
    tally->run = 1;
}

/* Hands the answer to its caller and to the subscribers. The ticket has left the ring already. */
static inline void deliver(struct drop_pool *pool, struct drop_ticket ticket,
                           const struct answer *answer)
{
    if (ticket.connection) {
        drop_connection_answer(ticket.connection, ticket.id, DROP_OK, answer->bytes,
                               answer->length);
        drop_connection_release(ticket.connection);
    } else if (ticket.flags & DROP_TICKET_LATE) {
        pool->counters.late++;
    }
    if (pool->subscription_count)
        drop_events_emit(pool, answer->bytes, answer->length);
}

static void feed_own(struct drop_worker *worker)
{
    struct drop_pool *pool = worker->pool;
    while (worker->own.first && drop_worker_has_place(worker)) {
        struct drop_message *message = drop_queue_pop(&worker->own);
        if (drop_worker_give(worker, &message->ticket, message->payload, message->length)) {
            drop_queue_push_front(&worker->own, message);
            drop_timer_arm(&worker->reactor->timers, &worker->timer,
                           worker->reactor->now_ns + DROP_MEMORY_RETRY_NS);
            return;
        }
        pool->private_waiting--;
        drop_message_destroy(&worker->reactor->memory, message);
    }
}

/* Brings the books up to date after a pass, and gives the worker new work. */
static void close_tally(struct drop_worker *worker, struct tally *tally)
{
    struct drop_pool *pool = worker->pool;
    struct drop_reactor *reactor = worker->reactor;
    if (!tally->answers)
        return;
    if (tally->run)
        drop_histogram_add(&pool->latency, reactor->now_ns - tally->accepted_ns, tally->run);
    drop_buffer_consume(&worker->outgoing, &reactor->memory, tally->outgoing);
    worker->written -= tally->outgoing;
    uint64_t service_ns = reactor->now_ns - worker->head_since_ns;
    worker->head_since_ns = reactor->now_ns;
    worker->answered += tally->answers;
    pool->inflight -= tally->answers;
    pool->counters.answers += tally->answers;
    pool->counters.bytes_out += tally->bytes;
    reactor->pending -= tally->answers;
    if (reactor->options.gather)
        drop_reactor_move(reactor,
                          drop_placement_answered(&reactor->placement, service_ns,
                                                  reactor->pending + tally->answers - 1),
                          worker->pid);
    if (worker->own.first)
        feed_own(worker);
    drop_pool_file_worker(pool, worker);
    drop_pool_refill(pool);
    if (worker->draining)
        drop_worker_check_drained(worker);
    if (pool->draining)
        drop_pool_check_drained(pool);
}

/* Why a pass ended. */
enum pass { PASS_MORE, PASS_STOPPED, PASS_UNASKED, PASS_TOO_LONG };

/* Hands on every whole answer in `bytes`; returns how many bytes that used. */
static size_t parse(struct drop_worker *worker, char *bytes, size_t length, enum pass *end)
{
    struct drop_pool *pool = worker->pool;
    struct tally tally = {0};
    size_t at = 0;
    size_t scanned = worker->scanned;
    *end = PASS_MORE;
    worker->scanned = worker->needed = 0;
    while (at < length) {
        struct answer answer;
        enum found found = find_answer(worker, bytes + at, length - at, scanned, &answer);
        if (found != FOUND) {
            if (found == TOO_LONG)
                *end = PASS_TOO_LONG;
            break;
        }
        if (worker->head == worker->tail) {
            *end = PASS_UNASKED;
            break;
        }
        struct drop_ticket ticket = worker->tickets[worker->head & worker->ticket_mask];
        worker->early = tally.outgoing + ticket.length > worker->written;
        if (worker->early
            || (pool->subscription_count
                && !drop_events_admit(pool, &worker->waiter, answer.bytes, answer.length))) {
            *end = PASS_STOPPED;
            break;
        }
        if (pool->options.ncm)
            answer.length = (uint32_t)drop_ncm_decode(answer.bytes, answer.length);
        worker->head++;
        deliver(pool, ticket, &answer);
        tally_latency(pool, &tally, ticket.accepted_ns);
        tally.answers++;
        tally.bytes += answer.length;
        tally.outgoing += ticket.length;
        at += answer.used;
        scanned = 0;
    }
    close_tally(worker, &tally);
    return at;
}

static void watch_output(struct drop_worker *worker, bool reading)
{
    if (reading == worker->reading || worker->gone)
        return;
    /* Not watched at all rather than watched for nothing: epoll reports the end of a pipe
     * whatever it was asked. */
    if (!reading)
        drop_reactor_unwatch(worker->reactor, &worker->output);
    else if (drop_reactor_watch(worker->reactor, &worker->output, EPOLLIN)) {
        drop_worker_gone(worker, "memory", DROP_ERROR,
                         "the kernel has no memory to watch its stdout");
        return;
    }
    worker->reading = reading;
}

/* What a pass that found a breach of contract leads to. */
static void judge(struct drop_worker *worker, enum pass end)
{
    if (worker->gone)
        return;
    if (end == PASS_UNASKED) {
        worker->pool->counters.unasked++;
        drop_worker_gone(worker, "unasked", DROP_ERROR,
                         "the worker wrote an answer that nobody had asked for");
    } else if (end == PASS_TOO_LONG) {
        drop_worker_gone(worker, "too_large", DROP_TOO_LARGE,
                         "the worker's answer is larger than the node's payload_max");
    } else {
        watch_output(worker, end != PASS_STOPPED);
    }
}

void drop_worker_resume(struct drop_reactor *reactor, struct drop_waiter *waiter)
{
    struct drop_worker *worker = DROP_CONTAINER(waiter, struct drop_worker, waiter);
    enum pass end = PASS_MORE;
    if (worker->gone || drop_waiter_waits(waiter))
        return;
    worker->early = false;
    if (drop_buffer_length(&worker->inbox)) {
        size_t used = parse(worker, drop_buffer_data(&worker->inbox),
                            drop_buffer_length(&worker->inbox), &end);
        if (worker->gone)
            return;
        drop_buffer_consume(&worker->inbox, &reactor->memory, used);
    }
    worker->head_since_ns = reactor->now_ns; /* it may have been kept from writing until now */
    judge(worker, end);
    if (worker->ending)
        drop_worker_finish_reading(worker, worker->ending, worker->ending_text);
}

/* Keeps what a pass left of the scratch; without memory the worker is gone. */
static void keep_rest(struct drop_worker *worker, const char *rest, size_t length)
{
    struct drop_reactor *reactor = worker->reactor;
    drop_buffer_release(&worker->inbox, &reactor->memory);
    if (drop_buffer_append(&worker->inbox, &reactor->memory, rest, length))
        drop_worker_gone(worker, "memory", DROP_OVERLOADED,
                         "the node's memory for messages is used up");
}

/* Reads once and handles what came: the count, 0 at the end of the stream, -1 with errno. */
static ssize_t read_once(struct drop_worker *worker)
{
    struct drop_reactor *reactor = worker->reactor;
    size_t carried = drop_buffer_length(&worker->inbox);
    bool in_place = carried > CARRIED_MAX || worker->needed > DROP_SCRATCH_SIZE;
    char *bytes = reactor->scratch;
    size_t room = DROP_SCRATCH_SIZE - carried;
    if (in_place) {
        room = worker->needed > carried ? worker->needed - carried : CARRIED_MAX;
        bytes = drop_buffer_reserve(&worker->inbox, &reactor->memory, room);
        if (!bytes) {
            drop_worker_gone(worker, "memory", DROP_OVERLOADED,
                             "the node's memory for messages is used up");
            return 0;
        }
    } else if (carried) {
        memcpy(bytes, drop_buffer_data(&worker->inbox), carried);
        bytes += carried;
    }
    ssize_t count = read(worker->output.fd, bytes, room);
    if (count <= 0)
        return count;
    enum pass end;
    size_t total = carried + (size_t)count;
    size_t used;
    if (in_place) {
        drop_buffer_commit(&worker->inbox, (size_t)count);
        used = parse(worker, drop_buffer_data(&worker->inbox), total, &end);
        if (!worker->gone)
            drop_buffer_consume(&worker->inbox, &reactor->memory, used);
    } else {
        used = parse(worker, reactor->scratch, total, &end);
        if (!worker->gone && (used < total || carried))
            keep_rest(worker, reactor->scratch + used, total - used);
    }
    judge(worker, end);
    return count;
}

void drop_worker_readable(struct drop_reactor *reactor, struct drop_source *source,
                          uint32_t events)
{
    struct drop_worker *worker = DROP_CONTAINER(source, struct drop_worker, output);
    (void)events;
    reactor->now_ns = drop_clock_ns();
    ssize_t count = read_once(worker);
    if (worker->gone || count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    drop_worker_gone(worker, "eof", DROP_ERROR,
                     count == 0 ? "the worker ended or closed its stdout before it answered"
                                : "the worker's stdout could not be read");
}

void drop_worker_finish_reading(struct drop_worker *worker, const char *reason, const char *text)
{
    worker->ending = reason;
    worker->ending_text = text;
    while (!worker->gone && worker->reading && read_once(worker) > 0)
        ;
    /* When there is no place for its next answer, what it wrote stays in the pipe, and it with it:
     * drop_worker_resume comes back here. */
    if (worker->reading || !drop_waiter_waits(&worker->waiter))
        drop_worker_gone(worker, reason, DROP_ERROR, text);
    else
        drop_pool_file_worker(worker->pool, worker);
}

void drop_worker_exited(struct drop_worker *worker)
{
    drop_worker_finish_reading(worker, "eof", "the worker ended before it answered");
}

void drop_worker_abandon(struct drop_worker *worker, struct drop_ticket *ticket,
                         enum drop_status status, const char *text)
{
    struct drop_pool *pool = worker->pool;
    pool->counters.failed[status]++;
    drop_connection_answer(ticket->connection, ticket->id, status, text, strlen(text));
    drop_connection_release(ticket->connection);
    ticket->connection = NULL;
    ticket->deadline_ns = DROP_NEVER;
    ticket->flags |= DROP_TICKET_LATE;
}

void drop_worker_expire(struct drop_timer *timer, uint64_t now_ns)
{
    struct drop_worker *worker = DROP_CONTAINER(timer, struct drop_worker, timer);
    uint64_t timeout_ns = worker->pool->options.timeout_ns;
    uint64_t earliest = DROP_NEVER;
    if (worker->own.first)
        feed_own(worker);
    if (!drop_worker_inflight(worker))
        return;
    /* It has answered and there is no room for the answer: that time is not the function's. */
    if (drop_waiter_waits(&worker->waiter))
        worker->head_since_ns = now_ns;
    if (timeout_ns && worker->head_since_ns + timeout_ns <= now_ns) {
        drop_worker_gone(worker, "timeout", DROP_TIMEOUT,
                         "the function's timeout passed; its worker was killed");
        return;
    }
    for (uint32_t i = worker->head; i != worker->tail; i++) {
        struct drop_ticket *ticket = &worker->tickets[i & worker->ticket_mask];
        if (ticket->deadline_ns <= now_ns && ticket->connection)
            drop_worker_abandon(worker, ticket, DROP_TIMEOUT,
                                "the caller's time ran out; the function still works on it");
        else if (ticket->deadline_ns > now_ns && ticket->deadline_ns < earliest)
            earliest = ticket->deadline_ns;
    }
    if (earliest != DROP_NEVER && earliest < now_ns + DEADLINE_GRAIN_NS)
        earliest = now_ns + DEADLINE_GRAIN_NS;
    drop_timer_arm(&worker->reactor->timers, timer, earliest);
    if (timeout_ns)
        drop_timer_arm(&worker->reactor->timers, timer, worker->head_since_ns + timeout_ns);
}
