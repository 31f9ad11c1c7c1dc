/* Reading a worker: answers are found in place, matched with the oldest ticket, and handed on;
 * see answers.h.
 *
 * One read(2) serves as many answers as the pipe holds. Counters, the histogram and the worker's
 * books change once per read. A worker stops being read while the next answer has no place to go
 * (back-pressure), and while it answers a message that has not been written whole yet. */
#include "answers.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "exec.h"
#include "health.h"
#include "pass.h"
#include "tokened.h"

/* After its stdout has ended, until its exit is known: what a kernel needs to take a large process
 * apart. One that closed its stdout and went on costs its caller that much. */
#define EXIT_NS (100 * DROP_NS_PER_MS)

/* Hands on every whole answer in `bytes`; returns how many bytes that used. */
static size_t parse(struct drop_worker *worker, char *bytes, size_t length, enum drop_pass *end)
{
    static drop_parser *const parsers[] = {
        [DROP_KIND_LINE] = drop_ordered_parse,
        [DROP_KIND_FRAME] = drop_ordered_parse,
        [DROP_KIND_ASYNC] = drop_tokened_parse,
        [DROP_KIND_STREAM] = drop_emitted_parse,
    };
    size_t used = 0;
    *end = DROP_PASS_MORE;
    if (worker->unready) {
        bool good;
        used = drop_health_ready(worker, bytes, length, &good);
        if (!good)
            *end = DROP_PASS_GARBLED;
        if (worker->unready || worker->gone)
            return used;
    }
    return used + parsers[worker->pool->options.kind](worker, bytes + used, length - used, end);
}

/* Of what is in the inbox, which a caller may take over with a large answer that ends it. */
static void parse_inbox(struct drop_worker *worker, enum drop_pass *end)
{
    struct drop_reactor *reactor = worker->reactor;
    struct drop_buffer *inbox = &worker->inbox;
    size_t length = drop_buffer_length(inbox);
    reactor->lender = length > DROP_LARGE ? inbox : NULL;
    size_t used = parse(worker, drop_buffer_data(inbox), length, end);
    reactor->lender = NULL;
    if (!worker->gone && inbox->bytes)
        drop_buffer_consume(inbox, &reactor->memory, used);
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
static void judge(struct drop_worker *worker, enum drop_pass end)
{
    if (worker->gone)
        return;
    if (end == DROP_PASS_GARBLED) {
        drop_worker_gone(worker, "garbled", DROP_ERROR,
                         "the worker wrote something else than the line that says it is ready");
    } else if (end == DROP_PASS_UNASKED) {
        worker->pool->counters.unasked++;
        drop_worker_gone(worker, "unasked", DROP_ERROR,
                         "the worker wrote an answer that nobody had asked for");
    } else if (end == DROP_PASS_TOO_LONG) {
        drop_worker_gone(worker, "too_large", DROP_TOO_LARGE,
                         "the worker's answer is larger than the node's payload_max");
    } else {
        watch_output(worker, end != DROP_PASS_STOPPED);
    }
}

void drop_worker_resume(struct drop_reactor *reactor, struct drop_waiter *waiter)
{
    struct drop_worker *worker = DROP_CONTAINER(waiter, struct drop_worker, waiter);
    enum drop_pass end = DROP_PASS_MORE;
    if (worker->gone || drop_waiter_waits(waiter))
        return;
    if (worker->execution) {
        drop_exec_go_on(worker);
        return;
    }
    worker->early = false;
    if (drop_buffer_length(&worker->inbox))
        parse_inbox(worker, &end);
    if (worker->gone)
        return;
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

/* A place in the inbox for what comes next of a large answer, and in `*room` how much of it; NULL
 * without memory. Of one whose length is known no byte more is read than it has, so that it ends
 * the inbox; the block is at most four times what has come, so that announcing a large one costs
 * nothing. */
static char *make_place(struct drop_worker *worker, size_t *room)
{
    struct drop_buffer *inbox = &worker->inbox;
    struct drop_memory *memory = &worker->reactor->memory;
    size_t carried = drop_buffer_length(inbox);
    *room = DROP_CARRIED_MAX;
    if (worker->needed <= carried)
        return drop_buffer_reserve(inbox, memory, *room);
    size_t missing = worker->needed - carried;
    size_t step = 3 * carried + DROP_CARRIED_MAX;
    size_t place = inbox->bytes ? inbox->capacity - inbox->end : 0;
    if (place < missing && place < DROP_CARRIED_MAX
        && !drop_buffer_reserve_last(inbox, memory, missing < step ? missing : step))
        return NULL;
    place = inbox->capacity - inbox->end;
    *room = missing < place ? missing : place;
    return inbox->bytes + inbox->end;
}

/* Reads once and handles what came: the count, 0 at the end of the stream, -1 with errno. */
static ssize_t read_once(struct drop_worker *worker)
{
    struct drop_reactor *reactor = worker->reactor;
    size_t carried = drop_buffer_length(&worker->inbox);
    bool in_place = carried > DROP_CARRIED_MAX || worker->needed > DROP_SCRATCH_SIZE;
    char *bytes = reactor->scratch;
    size_t room = DROP_SCRATCH_SIZE - carried;
    if (in_place) {
        bytes = make_place(worker, &room);
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
    enum drop_pass end;
    if (in_place) {
        drop_buffer_commit(&worker->inbox, (size_t)count);
        parse_inbox(worker, &end);
    } else {
        size_t total = carried + (size_t)count;
        size_t used = parse(worker, reactor->scratch, total, &end);
        if (!worker->gone && (used < total || carried))
            keep_rest(worker, reactor->scratch + used, total - used);
    }
    judge(worker, end);
    return count;
}

/* The last line of a source needs no newline. */
static void emit_rest(struct drop_worker *worker)
{
    struct drop_memory *memory = &worker->reactor->memory;
    enum drop_pass end;
    if (worker->unready || !drop_buffer_length(&worker->inbox)
        || drop_waiter_waits(&worker->waiter))
        return;
    if (drop_buffer_append(&worker->inbox, memory, "\n", 1)) {
        drop_worker_gone(worker, "memory", DROP_OVERLOADED, "");
        return;
    }
    parse_inbox(worker, &end);
    if (end == DROP_PASS_STOPPED)
        watch_output(worker, false); /* or its end would be told all along */
}

/* Its stdout has ended, and its exit is not known. */
static void on_end(struct drop_worker *worker)
{
    static const char text[] = "the worker closed its stdout before it answered";
    if (worker->pool->options.kind == DROP_KIND_STREAM)
        emit_rest(worker);
    if (drop_waiter_waits(&worker->waiter))
        return; /* the rest has no place yet: the end is met again when it has */
    if (!drop_worker_inflight(worker) || !worker->pid) {
        drop_worker_gone(worker, "eof", DROP_ERROR, text);
        return;
    }
    /* Whoever waits for its answer is told how it died, which is known in a moment. */
    worker->ended = true;
    worker->head_since_ns = worker->reactor->now_ns;
    worker->ending = "eof";
    worker->ending_text = text;
    watch_output(worker, false);
    drop_pool_file_worker(worker->pool, worker);
    drop_timer_arm(&worker->reactor->timers, &worker->timer, worker->reactor->now_ns + EXIT_NS);
}

void drop_worker_readable(struct drop_reactor *reactor, struct drop_source *source,
                          uint32_t events)
{
    struct drop_worker *worker = DROP_CONTAINER(source, struct drop_worker, output);
    (void)events;
    reactor->now_ns = drop_clock_ns();
    if (worker->execution) {
        drop_exec_readable(worker);
        return;
    }
    ssize_t count = read_once(worker);
    if (worker->gone || count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    if (count == 0)
        on_end(worker);
    else
        drop_worker_gone(worker, "eof", DROP_ERROR, "the worker's stdout could not be read");
}

void drop_worker_finish_reading(struct drop_worker *worker, const char *reason, const char *text)
{
    ssize_t count = -1;
    worker->ending = reason;
    worker->ending_text = text;
    while (!worker->gone && worker->reading && (count = read_once(worker)) > 0)
        ;
    if (!worker->gone && count == 0 && !worker->exited) {
        on_end(worker);
        return;
    }
    if (!worker->gone && count <= 0 && worker->pool->options.kind == DROP_KIND_STREAM)
        emit_rest(worker);
    /* When there is no place for its next answer, what it wrote stays in the pipe, and it with it:
     * drop_worker_resume comes back here. */
    if (worker->reading || !drop_waiter_waits(&worker->waiter))
        drop_worker_gone(worker, reason, DROP_ERROR, text);
    else
        drop_pool_file_worker(worker->pool, worker);
}

void drop_worker_exited(struct drop_worker *worker, const char *how)
{
    char text[256];
    snprintf(text, sizeof text, "the worker ended before it answered: %s; `drop logs %.*s` may say "
             "why", how, (int)worker->pool->options.name_length, worker->pool->options.name);
    worker->exited = true;
    drop_worker_finish_reading(worker, "eof", text);
    /* It goes later, when there is a place for what it wrote: those words are not ours then. */
    worker->ending_text = "the worker ended before it answered";
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

uint64_t drop_worker_check_deadline(struct drop_worker *worker, struct drop_ticket *ticket,
                                    uint64_t now_ns)
{
    if (ticket->deadline_ns > now_ns)
        return ticket->deadline_ns;
    if (ticket->connection)
        drop_worker_abandon(worker, ticket, DROP_TIMEOUT,
                            "the caller's time ran out; the function still works on it");
    return DROP_NEVER;
}

bool drop_worker_cancel(struct drop_worker *worker, struct drop_connection *connection,
                        uint64_t id)
{
    if (worker->tokens)
        return drop_tokened_cancel(worker, connection, id);
    for (uint32_t i = worker->head; i != worker->tail; i++) {
        struct drop_ticket *ticket = &worker->tickets[i & worker->ticket_mask];
        if (ticket->connection != connection || ticket->id != id)
            continue;
        drop_worker_abandon(worker, ticket, DROP_CANCELLED, "cancelled by the caller");
        return true;
    }
    return false;
}

void drop_worker_expire(struct drop_timer *timer, uint64_t now_ns)
{
    struct drop_worker *worker = DROP_CONTAINER(timer, struct drop_worker, timer);
    uint64_t timeout_ns = worker->pool->options.timeout_ns;
    uint64_t earliest = DROP_NEVER;
    drop_worker_feed_own(worker);
    if (worker->ended && worker->head_since_ns + EXIT_NS <= now_ns) {
        drop_worker_gone(worker, worker->ending, DROP_ERROR, worker->ending_text);
        return;
    }
    if (worker->ended)
        drop_timer_arm(&worker->reactor->timers, timer, worker->head_since_ns + EXIT_NS);
    if (!drop_worker_inflight(worker))
        return;
    /* It has answered and there is no room for the answer: that time is not the function's. */
    bool waits = drop_waiter_waits(&worker->waiter);
    if (worker->execution) {
        if (waits)
            drop_exec_waited(worker, now_ns);
        drop_exec_expire(worker, now_ns);
        return;
    }
    if (waits)
        worker->head_since_ns = now_ns;
    if (timeout_ns && !worker->ended && worker->head_since_ns + timeout_ns <= now_ns) {
        drop_worker_gone(worker, "timeout", DROP_TIMEOUT,
                         "the function's timeout passed; its worker was killed");
        return;
    }
    if (worker->tokens) {
        drop_tokened_expire(worker, now_ns);
        return;
    }
    for (uint32_t i = worker->head; i != worker->tail; i++) {
        struct drop_ticket *ticket = &worker->tickets[i & worker->ticket_mask];
        uint64_t deadline_ns = drop_worker_check_deadline(worker, ticket, now_ns);
        if (deadline_ns < earliest)
            earliest = deadline_ns;
    }
    drop_timer_arm_coarse(&worker->reactor->timers, timer, earliest, now_ns);
    if (timeout_ns)
        drop_timer_arm(&worker->reactor->timers, timer, worker->head_since_ns + timeout_ns);
}
