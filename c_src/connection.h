/* A client's connection: frames in, answers and events out.
 *
 * Answers of a turn are collected in `output` and leave with one send. A connection stops being
 * read while any of its `stops` holds; what was read and not handled stays in `inbox`. It is
 * freed at the end of a turn, once it is closed and no ticket names it. */
#ifndef DROP_CONNECTION_H
#define DROP_CONNECTION_H

#include "buffer.h"
#include "frame.h"
#include "source.h"
#include "status.h"
#include "timer.h"
#include "waiter.h"

struct drop_reactor;
struct drop_pool;
struct drop_subscription;

enum drop_connection_state {
    DROP_CONNECTION_NEW,     /* waits for HELLO */
    DROP_CONNECTION_OPEN,
    DROP_CONNECTION_CLOSING, /* the client sends no more: answer, then close */
    DROP_CONNECTION_LEAVING, /* GOAWAY is the last thing it gets */
    DROP_CONNECTION_CLOSED,
};

/* Why a connection is not read. */
#define DROP_STOP_OUTPUT 0x01u /* it does not read what it asked for */
#define DROP_STOP_CALLS 0x02u  /* calls_max are outstanding */
#define DROP_STOP_END 0x04u    /* its stream has ended, or GOAWAY was written */

/* Large answers in the blocks that they were received in, and what was queued before each. */
struct drop_segments {
    struct drop_segment *first;
    struct drop_segment **last; /* NULL while there is none */
    size_t bytes;
};

struct drop_connection {
    struct drop_source source;
    struct drop_waiter waiter; /* for room in a pool; counts as a stop too */
    struct drop_waitlist waitlist;     /* workers whose events wait for this client to read */
    struct drop_reactor *reactor;
    struct drop_connection *next_dirty;
    struct drop_connection *next_resumed;
    struct drop_connection *next;
    struct drop_connection *previous;
    struct drop_subscription *subscriptions;
    struct drop_pool *recent_pool; /* of its last message: the next is mostly for the same */
    uint64_t recent_epoch;         /* reactor->pool_epoch at that time */
    struct drop_buffer inbox;
    struct drop_segments segments; /* leave before what is in `output` */
    struct drop_buffer output;
    size_t needed; /* what makes the large frame in the inbox whole; 0: there is none */
    uint64_t skip; /* bytes of a refused body still to come */
    uint64_t progress_ns; /* when output last left, or began to wait */
    struct drop_timer timer;
    uint32_t outstanding; /* tickets that name it */
    uint32_t subscription_count;
    uint32_t interest; /* what epoll was told */
    enum drop_connection_state state;
    uint8_t stops;
    bool trusted;       /* came by a trusted listener */
    bool authenticated; /* trusted, or said the token */
    bool dirty;
    bool resumed; /* on the reactor's list of connections to go on with */
    bool send_blocked;
    bool cleaned; /* closed, and nothing but tickets names it */
    bool buried;  /* on the list of the dead */
};

/* Takes the descriptor; NULL without memory (the descriptor stays the caller's). */
struct drop_connection *drop_connection_create(struct drop_reactor *reactor, int fd, bool trusted);
/* Frees a closed connection that no ticket names. */
void drop_connection_destroy(struct drop_connection *connection);

/* Queues an ANSWER. */
void drop_connection_answer(struct drop_connection *connection, uint64_t id,
                            enum drop_status status, const char *payload, size_t length);
/* Queues an EVENT, or counts it as lost to `subscription` when the client reads too slowly. */
void drop_connection_event(struct drop_connection *connection,
                           struct drop_subscription *subscription, const char *payload,
                           size_t length);
bool drop_connection_has_room(const void *owner);
/* Whether so much waits for the client already that it gets no more large answers. */
bool drop_connection_is_overfull(const struct drop_connection *connection);
/* Bytes that have not left yet. */
static inline size_t drop_connection_waiting(const struct drop_connection *connection)
{
    return connection->segments.bytes + drop_buffer_length(&connection->output);
}
/* Ends a ticket's claim on the connection. */
void drop_connection_release(struct drop_connection *connection);
/* Sends what was queued in this turn. */
void drop_connection_flush(struct drop_connection *connection);
/* Goes on with what it had read when it was stopped. */
void drop_connection_resume(struct drop_connection *connection);
/* The last word: GOAWAY, then closed as soon as it has left (at most slow_client_ms). */
void drop_connection_goaway(struct drop_connection *connection, enum drop_status status,
                            const char *text);
void drop_connection_close(struct drop_connection *connection);

/* request.c: handles one frame whose body is complete. False: stop before it (it stays unread). */
bool drop_request_handle(struct drop_connection *connection, const struct drop_frame *frame);
/* Answers a CALL or PUBLISH that is refused before its body is read; counts a CAST. */
void drop_request_refuse(struct drop_connection *connection, const struct drop_frame *frame,
                         enum drop_status status, const char *text);

#endif
