/* Queueing and sending; see output.h.
 *
 * A slow reader: from DROP_OUTPUT_HIGH on nothing is read from it and its subscriptions lose
 * events (or make their pools wait); when nothing leaves for slow_client_ms it is cut. One that has
 * asked for more large answers than it can read in time gets `overloaded` for some of them. */
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "reactor.h"

static void cut(struct drop_connection *connection)
{
    connection->reactor->counters.cut_slow++;
    drop_connection_close(connection);
}

struct drop_segment {
    struct drop_segment *next;
    struct drop_buffer buffer;
};

/* Queues what is in the buffer as a segment, which takes its block. False without memory. */
static bool push_segment(struct drop_connection *connection, struct drop_buffer *buffer)
{
    struct drop_segments *segments = &connection->segments;
    struct drop_segment *segment = malloc(sizeof *segment);
    if (!segment)
        return false;
    *segment = (struct drop_segment){NULL, *buffer};
    segments->bytes += drop_buffer_length(buffer);
    *(segments->first ? segments->last : &segments->first) = segment;
    segments->last = &segment->next;
    *buffer = (struct drop_buffer){0};
    return true;
}

static void pop_segment(struct drop_connection *connection)
{
    struct drop_segment *segment = connection->segments.first;
    connection->segments.first = segment->next;
    connection->segments.bytes -= drop_buffer_length(&segment->buffer);
    drop_buffer_release(&segment->buffer, &connection->reactor->memory);
    free(segment);
}

void drop_output_release(struct drop_connection *connection)
{
    while (connection->segments.first)
        pop_segment(connection);
    drop_buffer_release(&connection->output, &connection->reactor->memory);
}

/* Bytes that may wait before a large answer. */
static inline size_t large_max(const struct drop_connection *connection)
{
    size_t share = connection->reactor->memory.limit / 4;
    return share > DROP_OUTPUT_MAX ? share : DROP_OUTPUT_MAX;
}

bool drop_connection_is_overfull(const struct drop_connection *connection)
{
    return drop_connection_waiting(connection) > large_max(connection);
}

/* Writes the header of a frame with `length` bytes of body, `here` of them right behind it: their
 * place. NULL: the connection is closed. */
static inline char *begin_frame(struct drop_connection *connection, enum drop_frame_type type,
                                uint8_t flags, uint8_t code, uint64_t id, size_t length,
                                size_t here)
{
    struct drop_reactor *reactor = connection->reactor;
    if (connection->state >= DROP_CONNECTION_LEAVING)
        return NULL;
    char *place = NULL;
    if (drop_connection_waiting(connection) <= large_max(connection) + DROP_OUTPUT_MAX)
        place = drop_buffer_reserve(&connection->output, &reactor->memory,
                                    DROP_FRAME_HEADER + here);
    if (!place) {
        cut(connection);
        return NULL;
    }
    drop_frame_put(place, (uint8_t)type, flags, code, id, (uint32_t)length);
    drop_buffer_commit(&connection->output, DROP_FRAME_HEADER + here);
    drop_reactor_mark_connection(reactor, connection);
    return place + DROP_FRAME_HEADER;
}

/* A large answer leaves from the block that it was received in. False: it cannot, copy it. */
static bool answer_lent(struct drop_connection *connection, uint64_t id, enum drop_status status,
                        const char *payload, size_t length)
{
    struct drop_reactor *reactor = connection->reactor;
    struct drop_buffer body = {0};
    if (connection->state >= DROP_CONNECTION_LEAVING
        || !drop_buffer_adopt(&body, reactor->lender, payload, length, 0, 0))
        return false;
    if (!begin_frame(connection, DROP_ANSWER, 0, (uint8_t)status, id, length, 0)
        || !push_segment(connection, &connection->output) || !push_segment(connection, &body)) {
        drop_buffer_release(&body, &reactor->memory);
        if (connection->state < DROP_CONNECTION_CLOSED)
            cut(connection); /* half a frame may be queued */
    }
    return true;
}

void drop_output_frame(struct drop_connection *connection, enum drop_frame_type type,
                       uint8_t flags, uint8_t code, uint64_t id, const void *body, size_t length)
{
    char *place = begin_frame(connection, type, flags, code, id, length, length);
    if (place && length)
        memcpy(place, body, length);
}

void drop_connection_answer(struct drop_connection *connection, uint64_t id,
                            enum drop_status status, const char *payload, size_t length)
{
    if (length > DROP_LARGE && answer_lent(connection, id, status, payload, length))
        return;
    char *place =
        begin_frame(connection, DROP_ANSWER, 0, (uint8_t)status, id, length, length);
    if (place && length)
        memcpy(place, payload, length);
}

bool drop_connection_has_room(const void *owner)
{
    const struct drop_connection *connection = owner;
    return connection->state >= DROP_CONNECTION_LEAVING
           || drop_connection_waiting(connection) < DROP_OUTPUT_HIGH;
}

void drop_connection_event(struct drop_connection *connection,
                           struct drop_subscription *subscription, const char *payload,
                           size_t length)
{
    if (!subscription->wait && !drop_connection_has_room(connection)) {
        subscription->lost++;
        return;
    }
    if (subscription->lost) {
        char gap[8];
        drop_put_u64(gap, subscription->lost);
        subscription->lost = 0;
        drop_output_frame(connection, DROP_EVENT, DROP_FLAG_GAP, 0, subscription->id, gap,
                          sizeof gap);
    }
    drop_output_frame(connection, DROP_EVENT, 0, 0, subscription->id, payload, length);
}

/* After sending: what a full or emptied output means for the rest. */
static void weigh_output(struct drop_connection *connection)
{
    size_t waiting = drop_connection_waiting(connection);
    if (waiting > DROP_OUTPUT_HIGH) {
        connection->stops |= DROP_STOP_OUTPUT;
    } else if (waiting <= DROP_OUTPUT_LOW) {
        if (connection->stops & DROP_STOP_OUTPUT) {
            connection->stops &= (uint8_t)~DROP_STOP_OUTPUT;
            drop_connection_go_on_later(connection);
        }
        if (connection->waitlist.first)
            drop_waitlist_serve(connection->reactor, &connection->waitlist,
                                drop_connection_has_room, connection);
    }
    if (!waiting && connection->state == DROP_CONNECTION_LEAVING)
        shutdown(connection->source.fd, SHUT_WR);
    if (!waiting && connection->state == DROP_CONNECTION_CLOSING)
        drop_connection_go_on_later(connection);
}

/* Sends as much of the buffer as the socket takes: false when it takes no more, or is broken.
 * `more` follows at once; if nothing did, TCP would keep the last bytes back until those before
 * them are acknowledged. */
static bool send_some(struct drop_connection *connection, struct drop_buffer *buffer, bool more)
{
    size_t waiting = drop_buffer_length(buffer);
    ssize_t count = send(connection->source.fd, drop_buffer_data(buffer), waiting,
                         MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
    if (count < 0)
        return errno == EINTR;
    drop_buffer_consume(buffer, &connection->reactor->memory, (size_t)count);
    connection->progress_ns = connection->reactor->now_ns;
    return true;
}

void drop_connection_flush(struct drop_connection *connection)
{
    struct drop_reactor *reactor = connection->reactor;
    struct drop_segment *segment;
    bool going = true;
    if (connection->state == DROP_CONNECTION_CLOSED)
        return;
    while (going && (segment = connection->segments.first)) {
        size_t before = drop_buffer_length(&segment->buffer);
        going = send_some(connection, &segment->buffer,
                          segment->next || drop_buffer_length(&connection->output));
        connection->segments.bytes -= before - drop_buffer_length(&segment->buffer);
        if (!segment->buffer.bytes)
            pop_segment(connection);
    }
    while (going && drop_buffer_length(&connection->output))
        going = send_some(connection, &connection->output, false);
    if (!going && errno != EAGAIN) {
        drop_connection_close(connection);
        return;
    }
    bool blocked = !going;
    if (blocked && !connection->send_blocked) {
        connection->progress_ns = reactor->now_ns;
        drop_timer_arm(&reactor->timers, &connection->timer,
                       reactor->now_ns + reactor->options.slow_client_ms * DROP_NS_PER_MS);
    }
    connection->send_blocked = blocked;
    weigh_output(connection);
    drop_connection_update(connection);
}

void drop_output_check_progress(struct drop_connection *connection, uint64_t now_ns)
{
    struct drop_reactor *reactor = connection->reactor;
    uint64_t patience_ns = reactor->options.slow_client_ms * DROP_NS_PER_MS;
    /* The kernel reports room only when a third of its buffer is free, which is a lot for a slow
     * client; whether any has left says a try. */
    drop_connection_flush(connection);
    if (connection->state == DROP_CONNECTION_CLOSED || !drop_connection_waiting(connection))
        return;
    if (connection->progress_ns + patience_ns <= now_ns)
        cut(connection);
    else
        drop_timer_arm(&reactor->timers, &connection->timer, connection->progress_ns + patience_ns);
}
