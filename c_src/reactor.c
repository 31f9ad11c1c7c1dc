/* The thread and its turns; see reactor.h. */
#define _GNU_SOURCE
#include "reactor.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "commands.h"
#include "exec.h"
#include "nursery.h"
#include "output.h"

int drop_reactor_watch(struct drop_reactor *reactor, struct drop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, source->fd, &event);
}

void drop_reactor_rewatch(struct drop_reactor *reactor, struct drop_source *source,
                          uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    int failed = epoll_ctl(reactor->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
    assert(!failed);
    (void)failed;
}

void drop_reactor_unwatch(struct drop_reactor *reactor, struct drop_source *source)
{
    epoll_ctl(reactor->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

void drop_reactor_tell(struct drop_reactor *reactor, enum drop_happening kind, uint64_t a,
                       uint64_t b, uint64_t c, const void *bytes, size_t length)
{
    struct drop_record *record = drop_record_create((uint32_t)kind, a, b, c, length);
    if (!record) {
        reactor->counters.happenings_lost++;
        return;
    }
    if (length)
        memcpy(record->bytes, bytes, length);
    drop_channel_send(&reactor->happenings, record);
}

static void on_commands(struct drop_reactor *reactor, struct drop_source *source, uint32_t events)
{
    (void)source;
    (void)events;
    reactor->commanded = true;
}

struct drop_reactor *drop_reactor_create(const struct drop_reactor_options *options)
{
    struct drop_reactor *reactor = calloc(1, sizeof *reactor);
    if (!reactor)
        return NULL;
    reactor->options = *options;
    drop_memory_init(&reactor->memory, options->memory_max);
    drop_timers_init(&reactor->timers);
    drop_placement_init(&reactor->placement);
    reactor->happenings.event_fd = -1; /* closed below whether it was made or not */
    reactor->scratch = malloc(DROP_SCRATCH_SIZE);
    reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int failed = drop_channel_init(&reactor->commands);
    if (!failed)
        failed = drop_channel_init(&reactor->happenings);
    reactor->commands_source =
        (struct drop_source){.fd = reactor->commands.event_fd, .ready = on_commands};
    if (!failed && reactor->scratch && reactor->epoll_fd >= 0
        && drop_reactor_watch(reactor, &reactor->commands_source, EPOLLIN) == 0) {
        reactor->started_ns = reactor->now_ns = drop_clock_ns();
        /* Another range after each start, so that a log of many days has no id twice. */
        reactor->event_ids = reactor->started_ns << 12;
        return reactor;
    }
    failed = failed ? failed : errno;
    drop_channel_close(&reactor->commands);
    drop_channel_close(&reactor->happenings);
    close(reactor->epoll_fd);
    free(reactor->scratch);
    free(reactor);
    errno = failed;
    return NULL;
}

/* Whether something waits for this turn: what died may stand in one of the lists until then. */
static bool has_more_to_do(const struct drop_reactor *reactor)
{
    return reactor->roomy || reactor->resumed || reactor->dirty_workers
           || reactor->dirty_connections || reactor->hungry;
}

/* Frees what died before the lists of the turn were empty. Ending a connection may let workers go
 * on, which may mark others and kill them: those are in the lists again, and wait for next time. */
static void bury_the_dead(struct drop_reactor *reactor)
{
    struct drop_connection *connection = reactor->dead_connections;
    struct drop_worker *worker = reactor->dead_workers;
    reactor->dead_connections = NULL;
    reactor->dead_workers = NULL;
    while (connection) {
        struct drop_connection *next = connection->next;
        drop_connection_destroy(connection);
        connection = next;
    }
    while (worker) {
        struct drop_worker *next = worker->next_in_pool;
        drop_worker_destroy(worker);
        worker = next;
    }
}

static void go_on_with_waiters(struct drop_reactor *reactor)
{
    while (reactor->roomy || reactor->resumed) {
        struct drop_pool *pool = reactor->roomy;
        if (pool) {
            reactor->roomy = pool->next_roomy;
            pool->roomy = false;
            drop_waitlist_serve(reactor, &pool->waitlist, drop_pool_has_room, pool);
        }
        struct drop_connection *connection = reactor->resumed;
        if (connection) {
            reactor->resumed = connection->next_resumed;
            connection->resumed = false;
            drop_connection_resume(connection);
        }
    }
}

static void flush(struct drop_reactor *reactor)
{
    while (reactor->dirty_workers) {
        struct drop_worker *worker = reactor->dirty_workers;
        reactor->dirty_workers = worker->next_dirty;
        worker->dirty = false;
        drop_worker_flush(worker);
    }
    while (reactor->dirty_connections) {
        struct drop_connection *connection = reactor->dirty_connections;
        reactor->dirty_connections = connection->next_dirty;
        connection->dirty = false;
        drop_connection_flush(connection);
    }
}

/* After everything has been given out: what is asked of the nursery then is what is needed. */
static void tend_processes(struct drop_reactor *reactor)
{
    while (reactor->hungry) {
        struct drop_pool *pool = reactor->hungry;
        reactor->hungry = pool->exec->next_hungry;
        pool->exec->hungry = false;
        drop_exec_tend(pool);
    }
}

static void check_drained(struct drop_reactor *reactor)
{
    if (!reactor->draining || reactor->drained_reported || reactor->pending || reactor->batches)
        return;
    reactor->drained_reported = true;
    for (struct drop_connection *each = reactor->connections, *next; each; each = next) {
        next = each->next;
        drop_connection_goaway(each, DROP_DRAINING, "the node is stopping");
    }
    drop_reactor_tell(reactor, DROP_DRAINED, 0, 0, 0, NULL, 0);
}

void drop_reactor_drain(struct drop_reactor *reactor)
{
    reactor->draining = true;
    while (reactor->listeners)
        drop_listener_destroy(reactor->listeners);
    for (struct drop_batch *batch = reactor->batches; batch; batch = batch->next)
        drop_reactor_mark_roomy(reactor, batch->pool); /* to be refused instead of waiting */
}

/* Everything that follows from what was read, until nothing does. */
static void settle(struct drop_reactor *reactor)
{
    do {
        go_on_with_waiters(reactor);
        check_drained(reactor);
        flush(reactor);
        tend_processes(reactor);
        if (!has_more_to_do(reactor))
            bury_the_dead(reactor);
    } while (has_more_to_do(reactor) || reactor->dead_connections || reactor->dead_workers);
}

/* Milliseconds until the next timer, rounded up; -1: none. */
static int time_to_timer(const struct drop_reactor *reactor)
{
    uint64_t next_ns = drop_timers_next(&reactor->timers);
    if (next_ns == DROP_NEVER)
        return -1;
    if (next_ns <= reactor->now_ns)
        return 0;
    uint64_t wait_ms = (next_ns - reactor->now_ns + DROP_NS_PER_MS - 1) / DROP_NS_PER_MS;
    return wait_ms > 60000 ? 60000 : (int)wait_ms;
}

void drop_reactor_move(struct drop_reactor *reactor, enum drop_placement_move move, pid_t worker)
{
    if (move == DROP_GATHER && !drop_affinity_gather(&reactor->affinity, worker))
        drop_placement_busy(&reactor->placement); /* and longer until the next try */
    else if (move == DROP_SCATTER)
        drop_affinity_scatter(&reactor->affinity);
}

/* Polls for as long as the placement says, then sleeps until something is ready or a timer is
 * due. */
static int wait_for_events(struct drop_reactor *reactor, struct epoll_event *events)
{
    int timeout_ms = time_to_timer(reactor);
    /* With messages under way the next event is a worker's, which may need this very CPU. */
    if (reactor->pending || timeout_ms == 0)
        return epoll_wait(reactor->epoll_fd, events, DROP_EVENTS_MAX, timeout_ms);
    uint64_t began_ns = drop_clock_ns();
    uint64_t now_ns = began_ns;
    for (uint64_t end_ns = began_ns + reactor->placement.poll_ns; now_ns < end_ns;
         now_ns = drop_clock_ns()) {
        int count = epoll_wait(reactor->epoll_fd, events, DROP_EVENTS_MAX, 0);
        if (count)
            return count;
    }
    int count = epoll_wait(reactor->epoll_fd, events, DROP_EVENTS_MAX, timeout_ms);
    drop_placement_slept(&reactor->placement, drop_clock_ns() - began_ns);
    return count;
}

void drop_reactor_turn(struct drop_reactor *reactor)
{
    struct epoll_event events[DROP_EVENTS_MAX];
    int count = wait_for_events(reactor, events);
    reactor->now_ns = drop_clock_ns();
    reactor->counters.turns++;
    for (int i = 0; i < count; i++) {
        struct drop_source *source = events[i].data.ptr;
        if (source->fd >= 0)
            source->ready(reactor, source, events[i].events);
    }
    /* Behind the events: a command may free a listener that one of them names. */
    if (reactor->commanded) {
        reactor->commanded = false;
        drop_commands_run(reactor);
    }
    drop_timers_run(&reactor->timers, reactor->now_ns);
    settle(reactor);
    if (reactor->placement.gathered && reactor->pending > 1)
        drop_reactor_move(reactor, drop_placement_busy(&reactor->placement), 0);
}

static void *run(void *argument)
{
    struct drop_reactor *reactor = argument;
    while (!reactor->stopping)
        drop_reactor_turn(reactor);
    return NULL;
}

int drop_reactor_start(struct drop_reactor *reactor)
{
    sigset_t all, before;
    sigfillset(&all);
    /* Signals are the control plane's, and a pipe that breaks is an errno here, not a SIGPIPE. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&reactor->thread, NULL, run, reactor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return failed;
    reactor->started = true;
    pthread_setname_np(reactor->thread, "drop-reactor-0");
    return 0;
}

/* In the caller's thread, with the reactor's gone. */
static void close_all(struct drop_reactor *reactor)
{
    drop_commands_run(reactor); /* descriptors that were on their way */
    while (reactor->listeners)
        drop_listener_destroy(reactor->listeners);
    drop_batches_free(reactor);
    for (uint32_t bucket = 0; bucket < DROP_POOL_BUCKETS; bucket++)
        while (reactor->pools_by_id[bucket])
            drop_pool_destroy(reactor->pools_by_id[bucket]);
    settle(reactor);
    while (reactor->connections)
        drop_connection_close(reactor->connections);
    settle(reactor);
}

void drop_reactor_stop(struct drop_reactor *reactor)
{
    if (reactor->started) {
        struct drop_record *record = drop_record_create(DROP_COMMAND_STOP, 0, 0, 0, 0);
        if (!record)
            abort(); /* 48 bytes are missing: nothing orderly is left to do */
        drop_channel_send(&reactor->commands, record);
        pthread_join(reactor->thread, NULL);
        reactor->started = false;
    }
    reactor->stopping = true;
    /* Before the commands are read for the last time: all births are among them then. */
    drop_nursery_destroy(reactor->nursery);
    reactor->nursery = NULL;
    close_all(reactor);
}

struct drop_reactor_leaks drop_reactor_leaks(const struct drop_reactor *reactor)
{
    return (struct drop_reactor_leaks){
        .pools = reactor->pool_count,
        .workers = reactor->worker_count,
        .connections = reactor->connection_count,
        .memory = reactor->memory.in_use,
        .timers = reactor->timers.capacity,
        .pending = reactor->pending,
    };
}

void drop_reactor_destroy(struct drop_reactor *reactor)
{
    drop_reactor_stop(reactor);
    drop_memory_close(&reactor->memory);
    drop_timers_close(&reactor->timers);
    drop_channel_close(&reactor->commands);
    drop_channel_close(&reactor->happenings);
    close(reactor->epoll_fd);
    free(reactor->scratch);
    free(reactor);
}
