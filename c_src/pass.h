/* One pass over what was read from a worker: what every kind's parser shares. Continues answers.h.
 *
 * A parser hands on every whole answer it finds and keeps a tally; the books (counters, histogram,
 * the worker's room, the memory of what is answered) change once, when the pass is over. */
#ifndef DROP_PASS_H
#define DROP_PASS_H

#include <string.h>

#include "health.h"
#include "reactor.h"

enum drop_found { DROP_FOUND, DROP_INCOMPLETE, DROP_TOO_LONG };

struct drop_answer {
    char *bytes;
    uint32_t length;
    size_t used; /* framing included */
};

/* What one pass did, for the books. */
struct drop_tally {
    uint32_t answers; /* probes included */
    uint32_t probes;
    uint64_t bytes;
    size_t outgoing;      /* bytes of the answered messages that the worker still keeps */
    uint64_t accepted_ns; /* of the run of messages accepted at the same time */
    uint32_t run;
};

/* Why a pass ended. */
enum drop_pass {
    DROP_PASS_MORE,    /* nothing whole is left */
    DROP_PASS_STOPPED, /* the next answer has no place to go, or comes before its time */
    DROP_PASS_UNASKED,
    DROP_PASS_TOO_LONG,
    DROP_PASS_GARBLED,
};

/* A parser: hands on the whole answers in `bytes`, returns how many bytes that used. */
typedef size_t drop_parser(struct drop_worker *worker, char *bytes, size_t length,
                           enum drop_pass *end);

/* kinds line and frame */
drop_parser drop_ordered_parse;
/* kind async */
drop_parser drop_tokened_parse;
/* kind stream */
drop_parser drop_emitted_parse;

/* The next line; `scanned` bytes of it were searched before. */
static inline enum drop_found drop_find_line(struct drop_worker *worker, char *bytes,
                                             size_t length, size_t scanned, size_t line_max,
                                             struct drop_answer *answer)
{
    char *newline = length > scanned ? memchr(bytes + scanned, '\n', length - scanned) : NULL;
    size_t end = newline ? (size_t)(newline - bytes) : length;
    if (end > line_max)
        return DROP_TOO_LONG;
    if (!newline) {
        worker->scanned = length;
        return DROP_INCOMPLETE;
    }
    *answer = (struct drop_answer){bytes, (uint32_t)end, end + 1};
    return DROP_FOUND;
}

/* An answer that ends what was read may be taken over with its block, and no other one. */
static inline void drop_pass_lend(struct drop_worker *worker, struct drop_buffer *lender,
                                  bool is_last)
{
    worker->reactor->lender = is_last ? lender : NULL;
}

static inline void drop_tally_latency(struct drop_pool *pool, struct drop_tally *tally,
                                      uint64_t accepted_ns)
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

/* The caller does not read what it asked for before: it is told so instead of the answer. */
void drop_pass_withhold(struct drop_pool *pool, struct drop_ticket ticket);

/* Hands the answer to its caller. */
static inline void drop_pass_reply(struct drop_pool *pool, struct drop_ticket ticket,
                                   const struct drop_answer *answer)
{
    if (ticket.connection && answer->length > DROP_LARGE
        && drop_connection_is_overfull(ticket.connection)) {
        drop_pass_withhold(pool, ticket);
    } else if (ticket.connection) {
        drop_connection_answer(ticket.connection, ticket.id, DROP_OK, answer->bytes,
                               answer->length);
        drop_connection_release(ticket.connection);
    } else if (ticket.flags & DROP_TICKET_LATE) {
        pool->counters.late++;
    }
}

/* Hands the answer to its caller and to the subscribers. */
static inline void drop_pass_deliver(struct drop_pool *pool, struct drop_ticket ticket,
                                     const struct drop_answer *answer)
{
    if (ticket.connection && pool->subscription_count)
        pool->reactor->lender = NULL; /* the subscribers need it too */
    drop_pass_reply(pool, ticket, answer);
    if (pool->subscription_count)
        drop_events_emit(pool, ticket.id, answer->bytes, answer->length);
}

/* The ticket has left the worker, and this is its answer. */
static inline void drop_pass_answered(struct drop_worker *worker, struct drop_tally *tally,
                                      struct drop_ticket ticket, const struct drop_answer *answer)
{
    tally->answers++;
    if (ticket.flags & DROP_TICKET_PROBE) {
        tally->probes++;
        drop_health_answered(worker, answer);
        return;
    }
    tally->bytes += answer->length;
    drop_tally_latency(worker->pool, tally, ticket.accepted_ns);
    drop_pass_deliver(worker->pool, ticket, answer);
}

/* Whether the answer can go everywhere it must; otherwise the worker stands in a line. */
static inline bool drop_pass_admit(struct drop_pool *pool, struct drop_worker *worker,
                                   const struct drop_answer *answer)
{
    return !pool->subscription_count
           || drop_events_admit(pool, &worker->waiter, answer->bytes, answer->length);
}

/* Brings the books up to date, and gives the worker new work. */
void drop_tally_close(struct drop_worker *worker, struct drop_tally *tally);

#endif
