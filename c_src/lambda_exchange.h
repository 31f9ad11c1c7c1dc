/* One connection of a runtime: requests of the Lambda Runtime API in, replies out.
 *
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; statuses and texts are those of
 * the service. Knows no sockets: the caller puts what it received into `in`, calls advance, and
 * sends what is in `out` and, behind it, in `event`.
 *
 * One request at a time; what a client sends ahead waits in `in`, which the caller stops filling
 * while the exchange does not want_input. A request that is refused has its body read and thrown
 * away, so that the client reads the reply instead of a reset. */
#ifndef DROP_LAMBDA_EXCHANGE_H
#define DROP_LAMBDA_EXCHANGE_H

#include "lambda_http.h"
#include "lambda_invocation.h"

/* bytes of the report of an init error that are kept and logged */
#define DROP_LAMBDA_REPORT_MAX (64u << 10)
/* bytes of an error type that are kept */
#define DROP_LAMBDA_TYPE_SIZE 128u

enum drop_lambda_exchange_state {
    DROP_LAMBDA_HEAD,    /* a request is awaited or has begun */
    DROP_LAMBDA_BODY,    /* its body comes */
    DROP_LAMBDA_POLL,    /* it asked for the next event, and there is none */
    DROP_LAMBDA_REPLY,   /* what is in `out` and `event` has to be sent */
    DROP_LAMBDA_DISCARD, /* the reply was the last: what still comes is thrown away until EOF */
    DROP_LAMBDA_CLOSED,  /* out of memory */
};

enum drop_lambda_route {
    DROP_LAMBDA_NEXT,
    DROP_LAMBDA_RESPONSE,
    DROP_LAMBDA_ERROR,
    DROP_LAMBDA_INIT_ERROR,
    DROP_LAMBDA_REFUSED,
};

struct drop_lambda_exchange {
    enum drop_lambda_exchange_state state;
    enum drop_lambda_route route;
    struct drop_lambda_bytes in;
    struct drop_lambda_bytes out;
    struct drop_lambda_slice event; /* to be sent behind `out`; borrowed from the invocation */
    size_t scanned;
    uint64_t turn;

    bool keep_alive;
    bool chunked;
    uint64_t left; /* bytes of a body that is not chunked */
    struct drop_lambda_chunks chunks;
    uint64_t body_max;
    struct drop_lambda_bytes body; /* behind DROP_LAMBDA_PREFIX free bytes */
    struct drop_lambda_bytes trailers;
    char error_type[DROP_LAMBDA_TYPE_SIZE];

    int status; /* of a refusal */
    const char *refusal_type;
    const char *refusal;
};

/* Does what can be done with what is in `in`. */
void drop_lambda_exchange_advance(struct drop_lambda_exchange *exchange,
                                  struct drop_lambda_invocation *invocation);

/* POLL: hands the WAITING event over. */
void drop_lambda_exchange_deliver(struct drop_lambda_exchange *exchange,
                                  struct drop_lambda_invocation *invocation);

/* `count` bytes of `out` and `event` were sent; advances when that was all. */
void drop_lambda_exchange_sent(struct drop_lambda_exchange *exchange,
                               struct drop_lambda_invocation *invocation, size_t count);

/* The connection is gone: an event that was not sent whole waits for another one; a response that
 * did not come whole is an error. The init error of a runtime is in `body` until then. */
void drop_lambda_exchange_close(struct drop_lambda_exchange *exchange,
                                struct drop_lambda_invocation *invocation);

static inline bool drop_lambda_exchange_wants_input(const struct drop_lambda_exchange *exchange)
{
    return exchange->state == DROP_LAMBDA_HEAD || exchange->state == DROP_LAMBDA_BODY ||
           exchange->state == DROP_LAMBDA_DISCARD;
}

static inline bool drop_lambda_exchange_has_output(const struct drop_lambda_exchange *exchange)
{
    return exchange->out.length || exchange->event.length;
}

#endif
