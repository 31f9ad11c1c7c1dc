/* The life of a connection and the way in; see connection.h. The way out is in output.c, the
 * meaning of frames in request.c. */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "output.h"
#include "reactor.h"

/* a longer rest is read on to where it is instead of copied to the scratch */
#define CARRIED_MAX (64u << 10)

/* After GOAWAY a client gets this long to read it and hang up, ns. */
#define LINGER_NS 2000000000ull

static bool may_parse(const struct drop_connection *connection)
{
    return connection->state <= DROP_CONNECTION_CLOSING && !drop_waiter_waits(&connection->waiter)
           && !(connection->stops & (DROP_STOP_OUTPUT | DROP_STOP_CALLS));
}

/* Tells epoll what the connection's state wants to hear of. */
void drop_connection_update(struct drop_connection *connection)
{
    uint32_t interest = 0;
    if (connection->state == DROP_CONNECTION_CLOSED)
        return;
    if (connection->state == DROP_CONNECTION_LEAVING
            ? !connection->send_blocked
            : may_parse(connection) && !(connection->stops & DROP_STOP_END))
        interest |= EPOLLIN;
    if (connection->send_blocked)
        interest |= EPOLLOUT;
    if (interest != connection->interest) {
        connection->interest = interest;
        drop_reactor_rewatch(connection->reactor, &connection->source, interest);
    }
}

/* A client that sends no more, and got all it asked for, is done. */
static void check_finished(struct drop_connection *connection)
{
    if (connection->state == DROP_CONNECTION_CLOSING && may_parse(connection)
        && !connection->outstanding && !drop_connection_waiting(connection))
        drop_connection_close(connection);
}

static void malformed(struct drop_connection *connection, const char *fault)
{
    connection->reactor->counters.malformed++;
    drop_connection_goaway(connection, DROP_BAD_REQUEST, fault);
}

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
        malformed(connection, fault);
        return false;
    }
    if (connection->state == DROP_CONNECTION_NEW && frame->type != DROP_HELLO) {
        malformed(connection, "the first frame must be HELLO");
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
        if (length - at < DROP_FRAME_HEADER || !may_parse(connection))
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
    char *place = drop_buffer_reserve(&kept, memory, size);
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

/* Parses what is in the inbox, where it is. */
static void parse_inbox(struct drop_connection *connection)
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

static ssize_t receive(struct drop_connection *connection)
{
    struct drop_reactor *reactor = connection->reactor;
    struct drop_buffer *inbox = &connection->inbox;
    size_t carried = drop_buffer_length(inbox);
    if (carried > CARRIED_MAX) { /* a large frame: read on to where it is */
        size_t room = inbox->capacity - inbox->end;
        if (!room && !drop_buffer_reserve(inbox, &reactor->memory, CARRIED_MAX)) {
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
            parse_inbox(connection);
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

/* After GOAWAY: what still comes is thrown away, so that closing does not destroy what was sent. */
static void linger(struct drop_connection *connection)
{
    ssize_t count =
        recv(connection->source.fd, connection->reactor->scratch, DROP_SCRATCH_SIZE, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
        drop_connection_close(connection);
}

static void on_ready(struct drop_reactor *reactor, struct drop_source *source, uint32_t events)
{
    struct drop_connection *connection = DROP_CONTAINER(source, struct drop_connection, source);
    if (events & EPOLLOUT)
        drop_connection_flush(connection);
    if (connection->state == DROP_CONNECTION_CLOSED)
        return;
    if (!(connection->interest & EPOLLIN)) {
        if (events & (EPOLLHUP | EPOLLERR))
            drop_connection_close(connection);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (connection->state == DROP_CONNECTION_LEAVING) {
        linger(connection);
        return;
    }
    ssize_t count = receive(connection);
    if (count == 0) {
        if (connection->state < DROP_CONNECTION_CLOSING)
            connection->state = DROP_CONNECTION_CLOSING;
        connection->stops |= DROP_STOP_END;
    } else if (count < 0 && errno != EAGAIN && errno != EINTR
               && connection->state <= DROP_CONNECTION_CLOSING) {
        drop_connection_close(connection);
        return;
    }
    drop_connection_update(connection);
    check_finished(connection);
    (void)reactor;
}

static void resume(struct drop_reactor *reactor, struct drop_waiter *waiter)
{
    (void)reactor;
    drop_connection_resume(DROP_CONTAINER(waiter, struct drop_connection, waiter));
}

void drop_connection_resume(struct drop_connection *connection)
{
    if (connection->state > DROP_CONNECTION_CLOSING)
        return;
    if (drop_buffer_length(&connection->inbox) && may_parse(connection))
        parse_inbox(connection);
    drop_connection_update(connection);
    check_finished(connection);
}

static void expire(struct drop_timer *timer, uint64_t now_ns)
{
    struct drop_connection *connection = DROP_CONTAINER(timer, struct drop_connection, timer);
    if (connection->state == DROP_CONNECTION_LEAVING)
        drop_connection_close(connection);
    else if (connection->state == DROP_CONNECTION_NEW)
        malformed(connection, "no HELLO came within 10 s");
    else
        drop_output_check_progress(connection, now_ns);
}

struct drop_connection *drop_connection_create(struct drop_reactor *reactor, int fd, bool trusted)
{
    struct drop_connection *connection = calloc(1, sizeof *connection);
    if (!connection || drop_timers_register(&reactor->timers)) {
        free(connection);
        return NULL;
    }
    connection->reactor = reactor;
    connection->source = (struct drop_source){.fd = fd, .ready = on_ready};
    connection->waiter.resume = resume;
    connection->timer.fire = expire;
    connection->trusted = connection->authenticated = trusted;
    connection->interest = EPOLLIN;
    if (drop_reactor_watch(reactor, &connection->source, EPOLLIN)) {
        drop_timers_unregister(&reactor->timers, &connection->timer);
        free(connection);
        return NULL;
    }
    connection->next = reactor->connections;
    if (reactor->connections)
        reactor->connections->previous = connection;
    reactor->connections = connection;
    reactor->connection_count++;
    drop_timer_arm(&reactor->timers, &connection->timer, reactor->now_ns + DROP_HELLO_NS);
    return connection;
}

static void bury(struct drop_connection *connection)
{
    connection->buried = true;
    connection->next = connection->reactor->dead_connections;
    connection->reactor->dead_connections = connection;
}

void drop_connection_release(struct drop_connection *connection)
{
    assert(connection->outstanding);
    connection->outstanding--;
    if (connection->state == DROP_CONNECTION_CLOSED) {
        if (!connection->outstanding && connection->cleaned && !connection->buried)
            bury(connection);
        return;
    }
    bool answered = !connection->outstanding && connection->state == DROP_CONNECTION_CLOSING;
    if (answered || (connection->stops & DROP_STOP_CALLS)) {
        connection->stops &= (uint8_t)~DROP_STOP_CALLS;
        drop_connection_go_on_later(connection);
    }
}

void drop_connection_go_on_later(struct drop_connection *connection)
{
    struct drop_reactor *reactor = connection->reactor;
    if (connection->resumed || connection->state == DROP_CONNECTION_CLOSED)
        return;
    connection->resumed = true;
    connection->next_resumed = reactor->resumed;
    reactor->resumed = connection;
}

void drop_connection_goaway(struct drop_connection *connection, enum drop_status status,
                            const char *text)
{
    struct drop_reactor *reactor = connection->reactor;
    if (connection->state >= DROP_CONNECTION_LEAVING)
        return;
    drop_output_frame(connection, DROP_GOAWAY, 0, (uint8_t)status, 0, text, strlen(text));
    if (connection->state == DROP_CONNECTION_CLOSED)
        return;
    connection->state = DROP_CONNECTION_LEAVING;
    connection->stops |= DROP_STOP_END;
    connection->skip = 0;
    drop_waiter_leave(&connection->waiter);
    drop_timer_disarm(&reactor->timers, &connection->timer);
    drop_timer_arm(&reactor->timers, &connection->timer, reactor->now_ns + LINGER_NS);
}

void drop_connection_close(struct drop_connection *connection)
{
    struct drop_reactor *reactor = connection->reactor;
    if (connection->state == DROP_CONNECTION_CLOSED)
        return;
    connection->state = DROP_CONNECTION_CLOSED;
    drop_reactor_unwatch(reactor, &connection->source);
    close(connection->source.fd);
    connection->source.fd = -1;
    drop_waiter_leave(&connection->waiter);
    drop_timers_unregister(&reactor->timers, &connection->timer);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        reactor->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    reactor->connection_count--;
    bury(connection);
}

void drop_connection_destroy(struct drop_connection *connection)
{
    struct drop_memory *memory = &connection->reactor->memory;
    if (!connection->cleaned) {
        while (connection->subscriptions)
            drop_subscription_destroy(connection->subscriptions);
        drop_buffer_release(&connection->inbox, memory);
        drop_output_release(connection);
        drop_waitlist_serve(connection->reactor, &connection->waitlist, NULL, NULL);
        connection->cleaned = true;
    }
    connection->buried = false;
    if (!connection->outstanding)
        free(connection);
}
