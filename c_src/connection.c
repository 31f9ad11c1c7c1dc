/* The life of a connection; see connection.h. The way in is in input.c, the meaning of frames in
 * request.c, the way out in output.c. */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "input.h"
#include "output.h"
#include "reactor.h"

/* After GOAWAY a client gets this long to read it and hang up, ns. */
#define LINGER_NS 2000000000ull

bool drop_connection_may_parse(const struct drop_connection *connection)
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
            : drop_connection_may_parse(connection) && !(connection->stops & DROP_STOP_END))
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
    if (connection->state == DROP_CONNECTION_CLOSING && drop_connection_may_parse(connection)
        && !connection->outstanding && !drop_connection_waiting(connection))
        drop_connection_close(connection);
}

void drop_connection_malformed(struct drop_connection *connection, const char *fault)
{
    connection->reactor->counters.malformed++;
    drop_connection_goaway(connection, DROP_BAD_REQUEST, fault);
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
    ssize_t count = drop_input_receive(connection);
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
    if (drop_buffer_length(&connection->inbox) && drop_connection_may_parse(connection))
        drop_input_parse(connection);
    drop_connection_update(connection);
    check_finished(connection);
}

static void expire(struct drop_timer *timer, uint64_t now_ns)
{
    struct drop_connection *connection = DROP_CONTAINER(timer, struct drop_connection, timer);
    if (connection->state == DROP_CONNECTION_LEAVING)
        drop_connection_close(connection);
    else if (connection->state == DROP_CONNECTION_NEW)
        drop_connection_malformed(connection, "no HELLO came within 10 s");
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
