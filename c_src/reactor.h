/* The reactor: one thread, one epoll, and everything that happens to a message.
 *
 * A turn: wait; handle what is ready (reading, parsing, dispatching); carry out commands; fire
 * timers; let waiters go on; write to workers, send to clients; free what died. Writes come last
 * so that all messages of a turn for one descriptor leave with one call. Only this thread touches
 * pools, workers and connections; others talk to it through drop_reactor_post and
 * drop_reactor_take. */
#ifndef DROP_REACTOR_H
#define DROP_REACTOR_H

#include <pthread.h>

#include "affinity.h"
#include "batch.h"
#include "channel.h"
#include "connection.h"
#include "listener.h"
#include "logsink.h"
#include "memory.h"
#include "placement.h"
#include "pool.h"
#include "source.h"
#include "subscription.h"
#include "timer.h"
#include "worker.h"

#define DROP_NODE_NAME_MAX 255u
#define DROP_POOL_BUCKETS 4096u /* chains stay short up to tens of thousands of pools */
#define DROP_WORKER_BUCKETS 4096u

struct drop_reactor_options {
    char node_name[DROP_NODE_NAME_MAX + 1];
    char token[DROP_TOKEN_MAX];
    uint32_t token_length; /* 0: no key */
    uint32_t payload_max;
    uint32_t connections_max;
    uint32_t calls_max;
    uint32_t slow_client_ms;
    size_t memory_max;
    const struct drop_logsink *logs; /* for processes of kind exec; NULL: no logger */
    bool gather; /* may move workers and itself to one CPU: placement.h */
};

struct drop_reactor_counters {
    uint64_t accepted;
    uint64_t refused_connections;
    uint64_t malformed;
    uint64_t cut_slow;
    uint64_t unauthorized;
    uint64_t turns;
    uint64_t refused[DROP_STATUS_COUNT]; /* requests that came to no pool */
    uint64_t happenings_lost;
};

struct drop_nursery;

struct drop_reactor {
    struct drop_reactor_options options;
    struct drop_memory memory;
    struct drop_timers timers;
    int epoll_fd;
    uint64_t now_ns;
    uint64_t started_ns;
    char *scratch;
    struct drop_source commands_source;
    struct drop_channel commands;   /* from other threads */
    struct drop_channel happenings; /* to the control plane */
    struct drop_pool *pools_by_name[DROP_POOL_BUCKETS];
    struct drop_pool *pools_by_id[DROP_POOL_BUCKETS];
    uint32_t pool_count;
    uint64_t pool_epoch; /* changes when a pool goes: remembered pointers are void */
    struct drop_worker *workers[DROP_WORKER_BUCKETS];
    uint32_t worker_count;
    struct drop_listener *listeners;
    struct drop_connection *connections;
    uint32_t connection_count;
    struct drop_worker *dirty_workers;
    struct drop_connection *dirty_connections;
    struct drop_connection *resumed; /* that may go on with what they had read */
    struct drop_pool *roomy;         /* whose waiters may go on */
    struct drop_worker *dead_workers;
    struct drop_connection *dead_connections;
    struct drop_batch *batches;
    struct drop_pool *hungry; /* exec pools that may need processes, or have too many */
    struct drop_nursery *nursery; /* NULL: there is no exec pool yet */
    /* What holds the large message or answer that is being handled, for whoever keeps it to take
     * over instead of a copy; NULL: nothing large, or it is needed more than once. */
    struct drop_buffer *lender;
    uint64_t births; /* processes of exec pools so far: their numbers as workers */
    uint64_t event_ids; /* of the last event that no message caused */
    struct drop_placement placement;
    struct drop_affinity affinity;
    bool commanded; /* commands came in this turn */
    uint64_t pending; /* accepted messages without an outcome */
    bool draining;
    bool drained_reported;
    bool stopping;
    bool started;
    pthread_t thread;
    struct drop_reactor_counters counters;
};

/* What is still open after stop: all zero, or there is a leak. */
struct drop_reactor_leaks {
    uint64_t pools, workers, connections, memory, timers, pending;
};

/* NULL and errno without memory or descriptors. */
struct drop_reactor *drop_reactor_create(const struct drop_reactor_options *options);
/* Starts the thread, named drop-reactor-0, all signals blocked. 0 or an errno. */
int drop_reactor_start(struct drop_reactor *reactor);
/* One turn in the caller's thread, of a reactor that was not started. Sleeps until something is
 * ready or due. */
void drop_reactor_turn(struct drop_reactor *reactor);
/* Stops and joins the thread, closes every descriptor it owns. Idempotent. */
void drop_reactor_stop(struct drop_reactor *reactor);
struct drop_reactor_leaks drop_reactor_leaks(const struct drop_reactor *reactor);
/* Stops it if need be and frees it. */
void drop_reactor_destroy(struct drop_reactor *reactor);

/* For the parts of the reactor. */
int drop_reactor_watch(struct drop_reactor *reactor, struct drop_source *source, uint32_t events);
void drop_reactor_rewatch(struct drop_reactor *reactor, struct drop_source *source,
                          uint32_t events);
void drop_reactor_unwatch(struct drop_reactor *reactor, struct drop_source *source);
/* Tells the control plane; never fails silently: what memory does not allow is counted. */
void drop_reactor_tell(struct drop_reactor *reactor, enum drop_happening kind, uint64_t a,
                       uint64_t b, uint64_t c, const void *bytes, size_t length);
/* Does what placement.h decided; `worker` is the process that has just answered. */
void drop_reactor_move(struct drop_reactor *reactor, enum drop_placement_move move, pid_t worker);
void drop_reactor_drain(struct drop_reactor *reactor);

/* Serving a line of waiters can make room elsewhere: the turn does it, one pool after the other,
 * not a recursion. */
static inline void drop_reactor_mark_roomy(struct drop_reactor *reactor, struct drop_pool *pool)
{
    if (!pool->roomy) {
        pool->roomy = true;
        pool->next_roomy = reactor->roomy;
        reactor->roomy = pool;
    }
}

static inline void drop_reactor_mark_worker(struct drop_reactor *reactor,
                                            struct drop_worker *worker)
{
    if (!worker->dirty) {
        worker->dirty = true;
        worker->next_dirty = reactor->dirty_workers;
        reactor->dirty_workers = worker;
    }
}

static inline void drop_reactor_mark_connection(struct drop_reactor *reactor,
                                                struct drop_connection *connection)
{
    if (!connection->dirty) {
        connection->dirty = true;
        connection->next_dirty = reactor->dirty_connections;
        reactor->dirty_connections = connection;
    }
}

#endif
