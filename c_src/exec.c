/* One process, from its birth to its answer; see exec.h. The pool's side is in exec_pool.c. */
#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "answers.h"
#include "execution.h"
#include "output.h"
#include "pass.h"
#include "signame.h"

#define TEXT_MAX (DROP_LOGSINK_TAIL_MAX + 256u)

static void finish(struct drop_worker *worker);
static void answer(struct drop_worker *worker);

static struct drop_ticket *ticket_of(const struct drop_worker *worker)
{
    return &worker->tickets[worker->head & worker->ticket_mask];
}

/* It leaves the process; its outcome is the caller's to tell. */
static struct drop_ticket take_ticket(struct drop_worker *worker)
{
    struct drop_ticket ticket = *ticket_of(worker);
    worker->head++;
    worker->pool->inflight--;
    return ticket;
}

/* What it was given goes to another process. */
static void give_back(struct drop_worker *worker, struct drop_ticket *ticket)
{
    drop_worker_give_back(worker, ticket,
                          ticket->length ? drop_buffer_data(&worker->outgoing) : "",
                          ticket->length);
}

bool drop_exec_is_free(const struct drop_worker *worker)
{
    const struct drop_exec *exec = worker->pool->exec;
    return worker->execution->state == DROP_EXECUTION_READY && exec->running < exec->at_most
           && worker->execution->generation == exec->generation;
}

/* One of those that were kept ready may have died while nobody looked. */
static bool is_alive(const struct drop_worker *worker)
{
    struct pollfd exit = {.fd = worker->execution->exit_source.fd, .events = POLLIN};
    return !worker->pool->exec->spares.most || poll(&exit, 1, 0) == 0;
}

int drop_exec_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                   const char *payload, uint32_t length)
{
    if (!is_alive(worker))
        return -1; /* its end will be told in this turn or the next */
    if (length && !drop_worker_frame(worker, payload, length, length, 0, 0))
        return -1;
    struct drop_ticket *mine = &worker->tickets[worker->tail & worker->ticket_mask];
    *mine = *ticket;
    mine->length = length;
    /* Subscribers get whole answers, and what has left cannot be tried again. */
    worker->execution->in_parts = (ticket->flags & DROP_TICKET_PARTS) && ticket->connection
                                  && !worker->pool->subscription_count
                                  && !worker->pool->options.retries;
    drop_execution_runs(worker);
    return 0;
}

void drop_exec_written(struct drop_worker *worker)
{
    size_t length = drop_buffer_length(&worker->outgoing);
    if (worker->execution->state != DROP_EXECUTION_RUNNING || worker->input.fd < 0
        || worker->written < length)
        return;
    close(worker->input.fd);
    worker->input.fd = -1;
    /* Else it is kept for another process. */
    if (!worker->pool->options.retries && !worker->execution->unread) {
        drop_buffer_release(&worker->outgoing, &worker->reactor->memory);
        worker->written = 0;
    }
}

static void pause_reading(struct drop_worker *worker)
{
    if (worker->reading)
        drop_reactor_unwatch(worker->reactor, &worker->output);
    worker->reading = false;
}

static void stop_reading(struct drop_worker *worker)
{
    worker->execution->ended = true;
    pause_reading(worker);
}

/* Kills it; what it does until it is dead is of no interest. */
static void kill_it(struct drop_worker *worker)
{
    drop_execution_ends(worker);
    drop_waiter_leave(&worker->waiter);
    stop_reading(worker);
    if (!worker->execution->reaped)
        kill(-worker->pid, SIGKILL);
}

/* Ends its ticket in failure and kills it. */
static void fail(struct drop_worker *worker, enum drop_status status, const char *text)
{
    struct drop_ticket ticket = take_ticket(worker);
    kill_it(worker);
    drop_pool_fail_ticket(worker->pool, &ticket, status, text);
    drop_buffer_release(&worker->inbox, &worker->reactor->memory);
    if (worker->execution->reaped)
        drop_worker_gone(worker, "", DROP_ERROR, ""); /* or its exit will be told */
}

/* A slow caller stops the reading, and so the process. Without a caller (it was told of a timeout
 * or a cancellation) the rest is of no interest: this is not an answer any more. */
static void send_parts(struct drop_worker *worker, size_t length)
{
    struct drop_connection *caller = ticket_of(worker)->connection;
    size_t payload_max = worker->reactor->options.payload_max;
    if (!caller)
        return;
    for (size_t at = 0; at < length; at += payload_max)
        drop_output_frame(caller, DROP_ANSWER, DROP_FLAG_MORE, DROP_OK, ticket_of(worker)->id,
                          worker->reactor->scratch + at,
                          length - at < payload_max ? length - at : payload_max);
    worker->pool->counters.bytes_out += length;
    if (drop_connection_has_room(caller))
        return;
    pause_reading(worker);
    worker->execution->waits_since_ns = worker->reactor->now_ns;
    drop_waiter_join(&worker->waiter, &caller->waitlist);
}

void drop_exec_waited(struct drop_worker *worker, uint64_t now_ns)
{
    worker->head_since_ns += now_ns - worker->execution->waits_since_ns;
    worker->execution->waits_since_ns = now_ns;
}

static void keep(struct drop_worker *worker, size_t length)
{
    struct drop_reactor *reactor = worker->reactor;
    if (drop_buffer_length(&worker->inbox) + length > reactor->options.payload_max)
        fail(worker, DROP_TOO_LARGE, "the function's answer is larger than the node's payload_max");
    else if (drop_buffer_append(&worker->inbox, &reactor->memory, reactor->scratch, length))
        fail(worker, DROP_OVERLOADED, "the node's memory for messages is used up");
}

/* Reads once. False: there is nothing more now. */
static bool read_some(struct drop_worker *worker)
{
    ssize_t count = read(worker->output.fd, worker->reactor->scratch, DROP_SCRATCH_SIZE);
    if (count < 0)
        return errno == EINTR;
    worker->execution->wrote |= count > 0;
    if (count == 0) {
        stop_reading(worker);
    } else if (worker->execution->state == DROP_EXECUTION_READY) {
        drop_execution_not_spare(worker, "wrote to stdout before it was given a message", false);
        kill_it(worker);
    } else if (worker->execution->in_parts) {
        send_parts(worker, (size_t)count);
    } else {
        keep(worker, (size_t)count);
    }
    return count > 0;
}

void drop_exec_readable(struct drop_worker *worker)
{
    read_some(worker);
}

/* It is dead: the rest of what it wrote, as far as there is room, and then what it came to. */
static void read_rest(struct drop_worker *worker)
{
    while (worker->reading && read_some(worker))
        ;
    if (drop_waiter_waits(&worker->waiter))
        return;
    stop_reading(worker);
    finish(worker);
}

static void on_exited(struct drop_reactor *reactor, struct drop_source *source, uint32_t events)
{
    struct drop_execution *execution = DROP_CONTAINER(source, struct drop_execution, exit_source);
    struct drop_worker *worker = execution->worker;
    (void)events;
    reactor->now_ns = drop_clock_ns();
    drop_execution_reap(worker); /* its children too: what they would write is not its answer */
    if (!drop_waiter_waits(&worker->waiter))
        read_rest(worker);
}

/* It was kept ready, and had ended when it was given its message: another one gets that. */
static void pass_on(struct drop_worker *worker)
{
    struct drop_ticket ticket = take_ticket(worker);
    drop_execution_not_spare(worker, "ended before it was given a message", true);
    drop_execution_ends(worker);
    give_back(worker, &ticket);
    drop_worker_gone(worker, "", DROP_ERROR, "");
}

/* It is dead and everything that it wrote is here; its answer may have to wait for room. */
static void finish(struct drop_worker *worker)
{
    struct drop_execution *execution = worker->execution;
    if (execution->state == DROP_EXECUTION_READY)
        drop_execution_not_spare(worker, "ended before it was given a message", true);
    if (execution->state != DROP_EXECUTION_RUNNING) {
        drop_worker_gone(worker, "", DROP_ERROR, "");
        return;
    }
    bool untouched = execution->unread || (worker->input.fd >= 0 && worker->written == 0);
    if (untouched && !execution->wrote && worker->pool->exec->spares.most) {
        pass_on(worker);
        return;
    }
    if (!execution->exit.known || execution->exit.signalled || execution->exit.number) {
        drop_execution_ask_tail(worker);
        return;
    }
    answer(worker);
}

/* Reading again after there was no room. */
static void read_on(struct drop_worker *worker)
{
    if (drop_reactor_watch(worker->reactor, &worker->output, EPOLLIN)) {
        fail(worker, DROP_OVERLOADED, "the kernel has no memory to watch its stdout");
        return;
    }
    worker->reading = true;
    if (worker->execution->reaped)
        read_rest(worker);
}

void drop_exec_go_on(struct drop_worker *worker)
{
    if (worker->execution->state != DROP_EXECUTION_RUNNING)
        return;
    drop_exec_waited(worker, worker->reactor->now_ns);
    if (!worker->execution->ended)
        read_on(worker);
    else if (worker->execution->reaped)
        answer(worker);
}

/* Its end was good: what it wrote is the answer, or the last part of it. */
static void answer(struct drop_worker *worker)
{
    struct drop_pool *pool = worker->pool;
    struct drop_buffer *inbox = &worker->inbox;
    struct drop_tally tally = {0};
    size_t length = drop_buffer_length(inbox);
    struct drop_answer whole = {length ? drop_buffer_data(inbox) : "", (uint32_t)length, length};
    bool in_parts = worker->execution->in_parts;
    worker->execution->waits_since_ns = worker->reactor->now_ns;
    if (!in_parts && !drop_pass_admit(pool, worker, &whole))
        return;
    struct drop_ticket ticket = *ticket_of(worker);
    worker->head++;
    pool->exec->ended_early = 0;
    drop_execution_ends(worker);
    worker->reactor->lender = length > DROP_LARGE ? inbox : NULL;
    if (in_parts)
        drop_pass_reply(pool, ticket, &whole);
    else
        drop_pass_deliver(pool, ticket, &whole);
    worker->reactor->lender = NULL;
    drop_tally_latency(pool, &tally, ticket.accepted_ns);
    tally.answers = 1;
    tally.bytes = length;
    drop_tally_close(worker, &tally);
    drop_worker_gone(worker, "", DROP_OK, "");
}

void drop_exec_expire(struct drop_worker *worker, uint64_t now_ns)
{
    uint64_t timeout_ns = worker->pool->options.timeout_ns;
    uint64_t end_ns = timeout_ns ? worker->head_since_ns + timeout_ns : DROP_NEVER;
    bool failed = worker->execution->asked_ns; /* how it ended is known, only not in all words */
    if (failed)
        end_ns = worker->execution->asked_ns + DROP_TAIL_NS;
    if (end_ns <= now_ns && failed) {
        drop_exec_tail(worker, "", 0);
        return;
    }
    if (end_ns <= now_ns) {
        fail(worker, DROP_TIMEOUT, "the function's timeout passed; its process was killed");
        return;
    }
    uint64_t deadline_ns = drop_worker_check_deadline(worker, ticket_of(worker), now_ns);
    if (deadline_ns < end_ns)
        end_ns = deadline_ns;
    drop_timer_arm_coarse(&worker->reactor->timers, &worker->timer, end_ns, now_ns);
}

static void describe_end(const struct drop_execution *execution, char *text, size_t size)
{
    const struct drop_exit *ended = &execution->exit;
    const char *name = ended->signalled ? drop_signame(ended->number) : NULL;
    if (!ended->known)
        snprintf(text, size, "ended, and somebody else took its exit code");
    else if (execution->out_of_memory)
        snprintf(text, size, "killed: out of memory");
    else if (name)
        snprintf(text, size, "killed by SIG%s", name);
    else if (ended->signalled)
        snprintf(text, size, "killed by signal %d", ended->number);
    else
        snprintf(text, size, "exit code %d", ended->number);
}

void drop_exec_tail(struct drop_worker *worker, const char *bytes, size_t length)
{
    struct drop_pool *pool = worker->pool;
    char text[TEXT_MAX];
    char how[64];
    if (worker->execution->state != DROP_EXECUTION_RUNNING)
        return;
    while (length && bytes[length - 1] == '\n')
        length--;
    describe_end(worker->execution, how, sizeof how);
    snprintf(text, sizeof text, "%s%s%.*s", how, length ? "; its stderr ends with:\n" : "",
             (int)length, bytes);
    struct drop_ticket ticket = take_ticket(worker);
    pool->exec->ended_early = 0;
    drop_execution_ends(worker);
    if (ticket.attempts < pool->options.retries) {
        ticket.attempts++;
        pool->counters.retried++;
        give_back(worker, &ticket);
    } else {
        drop_pool_fail_ticket(pool, &ticket, DROP_ERROR, text);
    }
    drop_worker_gone(worker, "", DROP_ERROR, "");
}

void drop_exec_settle(struct drop_worker *worker, enum drop_status status, const char *text)
{
    struct drop_ticket ticket;
    bool owes = worker->head != worker->tail;
    if (owes)
        ticket = take_ticket(worker);
    drop_execution_end(worker);
    if (owes)
        drop_pool_fail_ticket(worker->pool, &ticket, status, text);
}

int drop_exec_watch(struct drop_worker *worker)
{
    worker->execution->exit_source.ready = on_exited;
    return drop_reactor_watch(worker->reactor, &worker->execution->exit_source, EPOLLIN);
}
