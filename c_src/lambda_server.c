#define _GNU_SOURCE
#include "lambda_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lambda_peer.h"
#include "lambda_runtime.h"

/* bytes taken by one recv */
#define RECEIVE_SIZE (64u << 10)

static int listen_on_loopback(int listener, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, (int)DROP_LAMBDA_CONNECTIONS) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        return errno;
    *port = ntohs(address.sin_port);
    return 0;
}

int drop_lambda_server_open(struct drop_lambda_server *server)
{
    *server = (struct drop_lambda_server){.listener = -1};
    for (unsigned i = 0; i < DROP_LAMBDA_CONNECTIONS; i++)
        server->connections[i].socket = -1;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0)
        return errno;
    return listen_on_loopback(server->listener, &server->port);
}

static void close_connection(struct drop_lambda_server *server,
                             struct drop_lambda_connection *connection,
                             struct drop_lambda_invocation *invocation)
{
    drop_lambda_exchange_close(&connection->exchange, invocation);
    close(connection->socket);
    connection->socket = -1;
    server->open--;
}

/* A connection that has had its last reply gives its place to one that may want something. */
static struct drop_lambda_connection *find_place(struct drop_lambda_server *server,
                                                 struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_connection *over = NULL;
    for (unsigned i = 0; i < DROP_LAMBDA_CONNECTIONS; i++) {
        struct drop_lambda_connection *connection = &server->connections[i];
        if (connection->socket < 0)
            return connection;
        if (connection->exchange.state == DROP_LAMBDA_DISCARD)
            over = connection;
    }
    if (over)
        close_connection(server, over, invocation);
    return over;
}

static void accept_one(struct drop_lambda_server *server,
                       struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_connection *place = find_place(server, invocation);
    if (!place)
        return;
    int socket = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0)
        return;
    if (!drop_lambda_peer_is_ours(socket)) {
        drop_lambda_log("refused a connection of another user");
        close(socket);
        return;
    }
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    place->socket = socket;
    server->open++;
}

/* False: the connection is over. */
static bool send_output(struct drop_lambda_connection *connection,
                        struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_exchange *exchange = &connection->exchange;
    while (drop_lambda_exchange_has_output(exchange)) {
        struct iovec pieces[2] = {
            {exchange->out.at, exchange->out.length},
            {(void *)(uintptr_t)exchange->event.at, exchange->event.length},
        };
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
        ssize_t sent = sendmsg(connection->socket, &message, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        drop_lambda_exchange_sent(exchange, invocation, (size_t)sent);
    }
    if (exchange->state == DROP_LAMBDA_DISCARD)
        shutdown(connection->socket, SHUT_WR);
    return exchange->state != DROP_LAMBDA_CLOSED;
}

/* False: the connection is over. */
static bool receive_input(struct drop_lambda_connection *connection,
                          struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_exchange *exchange = &connection->exchange;
    if (!drop_lambda_bytes_reserve(&exchange->in, RECEIVE_SIZE))
        return false;
    ssize_t received = recv(connection->socket, exchange->in.at + exchange->in.length,
                            RECEIVE_SIZE, 0);
    if (received <= 0)
        return received < 0 && (errno == EAGAIN || errno == EINTR);
    exchange->in.length += (size_t)received;
    drop_lambda_exchange_advance(exchange, invocation);
    return true;
}

/* A client that has shut down its side while it polls is taken as gone: it could not answer. */
static bool turn(struct drop_lambda_connection *connection,
                 struct drop_lambda_invocation *invocation, short found)
{
    struct drop_lambda_exchange *exchange = &connection->exchange;
    bool wants_input = drop_lambda_exchange_wants_input(exchange);
    if (exchange->state == DROP_LAMBDA_POLL && (found & (POLLRDHUP | POLLHUP | POLLERR)))
        return false;
    if (wants_input && (found & (POLLIN | POLLHUP | POLLERR)) &&
        !receive_input(connection, invocation))
        return false;
    if (!wants_input && !drop_lambda_exchange_has_output(exchange) && (found & (POLLHUP | POLLERR)))
        return false;
    return send_output(connection, invocation);
}

void drop_lambda_server_poll(const struct drop_lambda_server *server, struct pollfd *polled)
{
    for (unsigned i = 0; i < DROP_LAMBDA_CONNECTIONS; i++) {
        const struct drop_lambda_connection *connection = &server->connections[i];
        const struct drop_lambda_exchange *exchange = &connection->exchange;
        short events = exchange->state == DROP_LAMBDA_POLL ? POLLRDHUP : 0;
        if (drop_lambda_exchange_wants_input(exchange))
            events |= POLLIN;
        if (drop_lambda_exchange_has_output(exchange))
            events |= POLLOUT;
        polled[i] = (struct pollfd){.fd = connection->socket, .events = events};
    }
    bool full = server->open == DROP_LAMBDA_CONNECTIONS;
    for (unsigned i = 0; full && i < DROP_LAMBDA_CONNECTIONS; i++)
        full = server->connections[i].exchange.state != DROP_LAMBDA_DISCARD;
    polled[DROP_LAMBDA_CONNECTIONS] =
        (struct pollfd){.fd = full ? -1 : server->listener, .events = POLLIN};
}

void drop_lambda_server_turn(struct drop_lambda_server *server,
                             struct drop_lambda_invocation *invocation,
                             const struct pollfd *polled)
{
    for (unsigned i = 0; i < DROP_LAMBDA_CONNECTIONS; i++) {
        struct drop_lambda_connection *connection = &server->connections[i];
        if (connection->socket >= 0 && polled[i].revents &&
            !turn(connection, invocation, polled[i].revents))
            close_connection(server, connection, invocation);
    }
    if (polled[DROP_LAMBDA_CONNECTIONS].revents)
        accept_one(server, invocation);
}

void drop_lambda_server_deliver(struct drop_lambda_server *server,
                                struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_connection *first = NULL;
    for (unsigned i = 0; i < DROP_LAMBDA_CONNECTIONS; i++) {
        struct drop_lambda_connection *connection = &server->connections[i];
        if (connection->socket >= 0 && connection->exchange.state == DROP_LAMBDA_POLL &&
            (!first || connection->exchange.turn < first->exchange.turn))
            first = connection;
    }
    if (!first || invocation->state != DROP_LAMBDA_WAITING)
        return;
    drop_lambda_exchange_deliver(&first->exchange, invocation);
    if (!send_output(first, invocation))
        close_connection(server, first, invocation);
}

struct drop_lambda_slice drop_lambda_server_report(const struct drop_lambda_server *server)
{
    for (unsigned i = 0; i < DROP_LAMBDA_CONNECTIONS; i++) {
        const struct drop_lambda_exchange *exchange = &server->connections[i].exchange;
        if (exchange->route == DROP_LAMBDA_INIT_ERROR && exchange->body.length > DROP_LAMBDA_PREFIX)
            return (struct drop_lambda_slice){exchange->body.at + DROP_LAMBDA_PREFIX,
                                              exchange->body.length - DROP_LAMBDA_PREFIX};
    }
    return (struct drop_lambda_slice){NULL, 0};
}

void drop_lambda_server_close(struct drop_lambda_server *server,
                              struct drop_lambda_invocation *invocation)
{
    for (unsigned i = 0; i < DROP_LAMBDA_CONNECTIONS; i++)
        if (server->connections[i].socket >= 0)
            close_connection(server, &server->connections[i], invocation);
    if (server->listener >= 0)
        close(server->listener);
    server->listener = -1;
}
