/* The endpoint of one worker: a listener on 127.0.0.1 and the connections of its runtime.
 *
 * The thin shell around lambda_exchange: it moves bytes between sockets and exchanges, and decides
 * only who may connect. The number of connections is bounded; more wait in the kernel's queue. */
#ifndef DROP_LAMBDA_SERVER_H
#define DROP_LAMBDA_SERVER_H

#include <poll.h>

#include "lambda_exchange.h"

/* connections at once: a runtime has one or two, and one for each thread that reports */
#define DROP_LAMBDA_CONNECTIONS 64u

struct drop_lambda_connection {
    int socket; /* -1: free */
    struct drop_lambda_exchange exchange;
};

struct drop_lambda_server {
    int listener;
    uint16_t port;
    unsigned open;
    struct drop_lambda_connection connections[DROP_LAMBDA_CONNECTIONS];
};

/* Listens on a port of the kernel's choice. 0 or an errno. */
int drop_lambda_server_open(struct drop_lambda_server *server);

/* Fills in what to poll for, DROP_LAMBDA_CONNECTIONS + 1 entries. */
void drop_lambda_server_poll(const struct drop_lambda_server *server, struct pollfd *polled);

/* Does what poll found. */
void drop_lambda_server_turn(struct drop_lambda_server *server,
                             struct drop_lambda_invocation *invocation,
                             const struct pollfd *polled);

/* Gives a waiting event to whoever has waited longest, if anybody does. */
void drop_lambda_server_deliver(struct drop_lambda_server *server,
                                struct drop_lambda_invocation *invocation);

/* The report that came with an init error; empty when there was none. Borrowed. */
struct drop_lambda_slice drop_lambda_server_report(const struct drop_lambda_server *server);

void drop_lambda_server_close(struct drop_lambda_server *server,
                              struct drop_lambda_invocation *invocation);

#endif
