/* What came from a client: whole frames are handled in place, the rest is kept; see input.h. */
#include "input.h"

#include <sys/socket.h>

#include "output.h"
#include "reactor.h"

/* A frame whose body is not taken: its bytes are thrown away as they come. */
static void refuse_body(struct drop_connection *connection, const struct drop_frame *frame,
                        enum drop_status status, const char *text)
{
    connection->skip = (uint64_t)frame->body_length + DROP_FRAME_HEADER;
    drop_request_refuse(connection, frame, status, text);
}

static size_t skip(struct drop_connection *connection, size_t available)
{
    size_t taken = connection->skip < available ? (size_t)connection->skip : available;
    connection->skip -= taken;
    return taken;
}

/* Looks at the header of the next frame. True: its body may be waited for. */
static bool admit_header(struct drop_connection *connection, const char *bytes,
                         struct drop_frame *frame)
{
    const char *fault = drop_frame_header(bytes, frame);
    if (fault) {
        drop_connection_malformed(connection, fault);
        return false;
    }
    if (connection->state == DROP_CONNECTION_NEW && frame->type != DROP_HELLO) {
        drop_connection_malformed(connection, "the first frame must be HELLO");
        return false;
    }
    if (drop_frame_has_payload(frame->type)
        && frame->body_length > connection->reactor->options.payload_max + 4u + frame->code) {
        refuse_body(connection, frame, DROP_TOO_LARGE,
                    "the payload is larger than the node's payload_max");
        return false;
    }
    return true;
}

/* Handles one frame of `total` bytes at `bytes`. Whoever keeps a large message may take the inbox
 * with it over, and then the inbox is empty. */
static bool handle(struct drop_connection *connection, const struct drop_frame *frame, size_t total,
                   const char *bytes)
{
    struct drop_buffer *inbox = &connection->inbox;
    bool lent = total > DROP_LARGE && inbox->bytes && bytes == drop_buffer_data(inbox)
                && total == drop_buffer_length(inbox);
    connection->reactor->lender = lent ? inbox : NULL;
    bool done = drop_request_handle(connection, frame);
    connection->reactor->lender = NULL;
    return done;
}

/* Handles every whole frame; returns the bytes used. *needed: what makes the next frame whole, 0
 * if unknown. */
static size_t parse(struct drop_connection *connection, const char *bytes, size_t length,
                    size_t *needed)
{
    size_t at = 0;
    *needed = 0;
    for (;;) {
        if (connection->skip)
            at += skip(connection, length - at);
        /* One read can ask for more than the limit of all output: what is there goes first. */
        if (drop_connection_waiting(connection) > DROP_OUTPUT_HIGH)
            connection->stops |= DROP_STOP_OUTPUT;
        if (length - at < DROP_FRAME_HEADER || !drop_connection_may_parse(connection))
            return at;
        struct drop_frame frame;
        if (!admit_header(connection, bytes + at, &frame))
            continue; /* it is leaving, or the body is skipped */
        size_t total = (size_t)frame.body_length + DROP_FRAME_HEADER;
        if (length - at < total) {
            *needed = total;
            return at;
        }
        frame.body = bytes + at + DROP_FRAME_HEADER;
        if (!handle(connection, &frame, total, bytes + at))
            return at;
        at += total;
    }
}

/* Makes the inbox hold `rest` and have room for more of its frame: up to four times what has come,
 * so that announcing a large frame costs the node nothing. A frame for which there is no memory is
 * refused. */
static void keep_rest(struct drop_connection *connection, const char *rest, size_t length,
                      size_t needed)
{
    struct drop_memory *memory = &connection->reactor->memory;
    size_t size = length;
    /* One byte more: a line-framed kind puts a newline behind the message where it is. */
    if (needed > DROP_SCRATCH_SIZE)
        size = 4 * length < needed ? 4 * length : needed + 1;
    connection->needed = needed;
    struct drop_buffer kept = {0};
    if (connection->state > DROP_CONNECTION_CLOSING || !length) {
        drop_buffer_release(&connection->inbox, memory);
        return;
    }
    char *place = drop_buffer_reserve_last(&kept, memory, size);
    if (place) {
        memcpy(place, rest, length);
        drop_buffer_commit(&kept, length);
        drop_buffer_release(&connection->inbox, memory);
        connection->inbox = kept;
        return;
    }
    struct drop_frame frame;
    if (needed && !drop_frame_header(rest, &frame) && drop_frame_has_payload(frame.type)) {
        refuse_body(connection, &frame, DROP_OVERLOADED,
                    "the node's memory for messages is used up");
        skip(connection, length);
        drop_buffer_release(&connection->inbox, memory);
    } else {
        drop_connection_goaway(connection, DROP_OVERLOADED,
                               "the node's memory for messages is used up");
    }
}

void drop_input_parse(struct drop_connection *connection)
{
    struct drop_buffer *inbox = &connection->inbox;
    size_t needed;
    size_t used = parse(connection, drop_buffer_data(inbox), drop_buffer_length(inbox), &needed);
    if (connection->state > DROP_CONNECTION_CLOSING)
        drop_buffer_release(inbox, &connection->reactor->memory);
    else if (inbox->bytes)
        drop_buffer_consume(inbox, &connection->reactor->memory, used);
    if (needed > DROP_SCRATCH_SIZE && inbox->bytes && inbox->end == inbox->capacity
        && inbox->capacity - inbox->start < needed)
        keep_rest(connection, drop_buffer_data(inbox), drop_buffer_length(inbox), needed);
}

ssize_t drop_input_receive(struct drop_connection *connection)
{
    struct drop_reactor *reactor = connection->reactor;
    struct drop_buffer *inbox = &connection->inbox;
    size_t carried = drop_buffer_length(inbox);
    if (carried > DROP_CARRIED_MAX) { /* a large frame: read on to where it is */
        size_t room = inbox->capacity - inbox->end;
        if (!room && !drop_buffer_reserve(inbox, &reactor->memory, DROP_CARRIED_MAX)) {
            drop_connection_goaway(connection, DROP_OVERLOADED,
                                   "the node's memory for messages is used up");
            return -1;
        }
        room = inbox->capacity - inbox->end;
        if (connection->needed > carried && connection->needed - carried < room)
            room = connection->needed - carried; /* so that it ends what is in the inbox */
        ssize_t count = recv(connection->source.fd, inbox->bytes + inbox->end, room, 0);
        if (count > 0) {
            drop_buffer_commit(inbox, (size_t)count);
            drop_input_parse(connection);
        }
        return count;
    }
    if (carried)
        memcpy(reactor->scratch, drop_buffer_data(inbox), carried);
    ssize_t count =
        recv(connection->source.fd, reactor->scratch + carried, DROP_SCRATCH_SIZE - carried, 0);
    if (count > 0) {
        size_t needed;
        size_t total = carried + (size_t)count;
        size_t used = parse(connection, reactor->scratch, total, &needed);
        if (used < total || carried)
            keep_rest(connection, reactor->scratch + used, total - used, needed);
    }
    return count;
}
