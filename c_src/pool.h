/* A pool: the workers of one function on this node, and the mailbox in front of them.
 *
 * A message that finds the mailbox empty and a worker with room goes straight to that worker.
 * Otherwise it waits here, in order; when the mailbox is full the pool's overflow policy decides.
 * Workers with room stand in lists by the order of magnitude of what they have outstanding, so
 * that the least loaded is found without a search and the books change only when a power of two
 * is crossed. */
#ifndef DROP_POOL_H
#define DROP_POOL_H

#include "frame.h"
#include "histogram.h"
#include "limits.h"
#include "message.h"
#include "status.h"
#include "timer.h"
#include "waiter.h"

struct drop_exec;
struct drop_reactor;
struct drop_worker;
struct drop_subscription;

enum drop_kind {
    DROP_KIND_LINE,
    DROP_KIND_FRAME,
    DROP_KIND_ASYNC,
    DROP_KIND_STREAM,
    DROP_KIND_EXEC,
    DROP_KIND_CONTROL,
};

/* What happens to a message for which the mailbox has no place. DEFAULT: one that a client sent
 * is refused, one that came by a subscription makes its source wait. */
enum drop_overflow {
    DROP_OVERFLOW_DEFAULT,
    DROP_OVERFLOW_REJECT,
    DROP_OVERFLOW_BLOCK,
    DROP_OVERFLOW_OLDEST,
};

struct drop_pool_options {
    char name[DROP_NAME_MAX];
    uint32_t name_length;
    enum drop_kind kind;
    enum drop_overflow overflow;
    uint32_t inflight;   /* messages outstanding per worker, 1 to DROP_INFLIGHT_MAX */
    uint32_t queue;      /* messages waiting, 1 to DROP_QUEUE_MAX */
    uint64_t timeout_ns; /* of the function, for one message; 0: none */
    uint16_t retries;    /* new attempts for a message whose worker died */
    bool ncm;            /* newlines travel as TAB ncm TAB */
};

#define DROP_LEVELS 11 /* outstanding 0, 1, 2-3, 4-7, ... 512-1023 */

/* A token of a control message: the pool in the upper bits, a count below. */
#define DROP_TOKEN_SHIFT 40

struct drop_pool_counters {
    uint64_t messages; /* offered */
    uint64_t answers;  /* that workers gave */
    uint64_t late;     /* of those, nobody waited any more */
    uint64_t events;   /* deliveries to subscribers, pools and clients */
    uint64_t failed[DROP_STATUS_COUNT];  /* callers told so */
    uint64_t dropped[DROP_STATUS_COUNT]; /* nobody waited for it: counted instead of told */
    uint64_t retried;
    uint64_t unasked; /* answers that nobody had asked for, or with a token of no message */
    uint64_t bytes_in;
    uint64_t bytes_out;
};

struct drop_pool {
    struct drop_reactor *reactor;
    struct drop_pool_options options;
    uint64_t id;
    struct drop_pool *next_by_name;
    struct drop_pool *next_by_id;
    struct drop_queue mailbox; /* control pools: what Python has not answered */
    uint32_t inflight;         /* messages that workers have */
    uint32_t private_waiting;  /* in the workers' own queues (broadcasts) */
    uint32_t worker_count;
    uint32_t level_bits; /* which lists are not empty */
    struct drop_worker *levels[DROP_LEVELS];
    struct drop_worker *workers;
    struct drop_subscription **subscriptions; /* who gets the events */
    uint32_t subscription_count;
    uint32_t subscription_capacity;
    struct drop_waitlist waitlist; /* who waits for room in the mailbox */
    struct drop_pool *next_roomy;  /* the reactor's list of pools with room and somebody waiting */
    struct drop_timer timer;
    struct drop_exec *exec; /* kind exec, once it is configured */
    char *refusal; /* why no worker will come; NULL: wait for one */
    uint64_t tokens; /* control pools: given out so far */
    bool roomy;
    bool draining;
    bool drained_reported;
    struct drop_pool_counters counters;
    drop_histogram latency; /* from acceptance to the answer */
};

enum drop_verdict { DROP_TAKEN, DROP_WAIT, DROP_REFUSED };

/* What to do with an offered message, and why it was refused. */
struct drop_outcome {
    enum drop_verdict verdict;
    enum drop_status status;
    const char *text;
};

/* NULL without memory. The name must be new. */
struct drop_pool *drop_pool_create(struct drop_reactor *reactor, uint64_t id,
                                   const struct drop_pool_options *options);
/* Waiting messages are answered `draining`; workers still there are abandoned with WORKER_GONE. */
void drop_pool_destroy(struct drop_pool *pool);

struct drop_pool *drop_pool_find(struct drop_reactor *reactor, const char *name, size_t length);
struct drop_pool *drop_pool_by_id(struct drop_reactor *reactor, uint64_t id);
/* The control pool's message of that token is answered; an unknown token (it timed out) is
 * ignored. */
void drop_pool_answer_token(struct drop_reactor *reactor, uint64_t token, enum drop_status status,
                            const char *payload, size_t length);

/* Offers a message of a client or of a batch. TAKEN: the ticket is the pool's (and will be
 * ended). WAIT: no room now, join pool->waitlist and offer again. REFUSED: the caller ends the
 * ticket. */
struct drop_outcome drop_pool_offer(struct drop_pool *pool, const struct drop_ticket *ticket,
                                    const char *payload, uint32_t length);
/* Puts an event into the pool, with the id of what caused it; never waits (see
 * drop_pool_has_room), and what cannot be taken is counted. */
void drop_pool_take_event(struct drop_pool *pool, uint64_t id, const char *payload,
                          uint32_t length, bool broadcast);
/* Whether one more message finds a place; with `owner` untyped for drop_waitlist_serve. */
bool drop_pool_has_room(const void *owner);
/* Whether one more message would have to wait for a worker. */
bool drop_pool_is_busy(const struct drop_pool *pool);
bool drop_pool_has_broadcast_room(const struct drop_pool *pool);
/* Whether the source of an event has to wait for room. */
static inline bool drop_pool_slows_sources(const struct drop_pool *pool)
{
    return pool->options.overflow == DROP_OVERFLOW_DEFAULT
           || pool->options.overflow == DROP_OVERFLOW_BLOCK;
}

/* Gives waiting messages to workers with room, then lets those who stand in line go on. */
void drop_pool_refill(struct drop_pool *pool);
/* Back to the front of the mailbox, whatever its bound: a message accepted once is not refused
 * later. */
void drop_pool_requeue(struct drop_pool *pool, struct drop_message *message);
/* Answers every waiting message with `status`. */
void drop_pool_fail_waiting(struct drop_pool *pool, enum drop_status status, const char *text);
/* NULL lifts the refusal. 0, or -1 without memory (nothing changes). */
int drop_pool_refuse(struct drop_pool *pool, const char *text);
void drop_pool_drain(struct drop_pool *pool);
/* Emits POOL_DRAINED once the pool is draining and empty. */
void drop_pool_check_drained(struct drop_pool *pool);
/* Removes a call of a connection wherever it is. False: it is not here. */
bool drop_pool_cancel(struct drop_pool *pool, struct drop_connection *connection, uint64_t id);

/* Ends a ticket in failure: answers who waits, or counts it. */
void drop_pool_fail_ticket(struct drop_pool *pool, struct drop_ticket *ticket,
                           enum drop_status status, const char *text);

/* The books of workers with room; drop_worker calls them when what it has outstanding changes. */
void drop_pool_file_worker(struct drop_pool *pool, struct drop_worker *worker);
void drop_pool_unfile_worker(struct drop_pool *pool, struct drop_worker *worker);

#endif
