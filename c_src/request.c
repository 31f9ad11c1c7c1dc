/* What each frame of a client means; see docs/protocol.md section 2. One function per type, one
 * table. */
#include <assert.h>
#include <stdio.h>

#include "output.h"
#include "reactor.h"
#include "similar.h"
#include "statistics.h"

#define TEXT_MAX 2048u /* bytes: a refusal carries a command, a PATH and the name of a log */

static bool answer_refusal(struct drop_connection *connection, const struct drop_frame *frame,
                           struct drop_pool *pool, enum drop_status status, const char *text)
{
    char full[TEXT_MAX];
    size_t length = 0;
    if (frame->type == DROP_CAST)
        return true;
    if (pool)
        length = (size_t)snprintf(full, sizeof full, "pool %.*s: %s",
                                  (int)pool->options.name_length, pool->options.name, text);
    else
        length = (size_t)snprintf(full, sizeof full, "%s", text);
    if (length >= sizeof full)
        length = sizeof full - 1;
    drop_connection_answer(connection, frame->id, status, full, length);
    return true;
}

/* A request that does not come as far as to a pool's books; `pool` is only named. */
static bool refuse(struct drop_connection *connection, const struct drop_frame *frame,
                   struct drop_pool *pool, enum drop_status status, const char *text)
{
    connection->reactor->counters.refused[status]++;
    return answer_refusal(connection, frame, pool, status, text);
}

void drop_request_refuse(struct drop_connection *connection, const struct drop_frame *frame,
                         enum drop_status status, const char *text)
{
    refuse(connection, frame, NULL, status, text);
}

static bool fault(struct drop_connection *connection, const char *text)
{
    connection->reactor->counters.malformed++;
    drop_connection_goaway(connection, DROP_BAD_REQUEST, text);
    return false;
}

/* The pool of a request; NULL: the request was answered (or the connection ended), `*go_on` says
 * whether to continue. */
static struct drop_pool *find_pool(struct drop_connection *connection,
                                   const struct drop_frame *frame,
                                   const struct drop_request *request, bool *go_on)
{
    struct drop_reactor *reactor = connection->reactor;
    struct drop_pool *pool = connection->recent_pool;
    if (pool && connection->recent_epoch == reactor->pool_epoch
        && pool->options.name_length == request->name_length
        && memcmp(pool->options.name, request->name, request->name_length) == 0)
        return pool;
    if (!drop_name_valid(request->name, request->name_length)) {
        *go_on = fault(connection, "the pool's name has bytes other than A-Z a-z 0-9 _ . : - / $");
        return NULL;
    }
    pool = drop_pool_find(reactor, request->name, request->name_length);
    *go_on = true;
    if (!pool) {
        char text[TEXT_MAX];
        drop_similar_names(reactor, request->name, request->name_length, text, sizeof text);
        refuse(connection, frame, NULL, DROP_NO_POOL, text);
        return NULL;
    }
    if (request->name[0] == '$' && !connection->authenticated) {
        refuse(connection, frame, pool, DROP_UNAUTHORIZED,
                    "it may be used over the node's Unix socket, or with a token");
        return NULL;
    }
    connection->recent_pool = pool;
    connection->recent_epoch = reactor->pool_epoch;
    return pool;
}

static bool on_message(struct drop_connection *connection, const struct drop_frame *frame)
{
    struct drop_reactor *reactor = connection->reactor;
    struct drop_request request;
    bool go_on;
    const char *wrong = drop_frame_message(frame, &request);
    if (wrong)
        return fault(connection, wrong);
    if (frame->type == DROP_CALL && connection->outstanding >= reactor->options.calls_max) {
        connection->stops |= DROP_STOP_CALLS;
        return false;
    }
    struct drop_pool *pool = find_pool(connection, frame, &request, &go_on);
    if (!pool)
        return go_on;
    struct drop_ticket ticket = {
        .id = frame->id,
        .connection = frame->type == DROP_CALL ? connection : NULL,
        .flags = frame->type == DROP_CALL && frame->flags & DROP_FLAG_PARTS ? DROP_TICKET_PARTS : 0,
        .accepted_ns = reactor->now_ns,
        .deadline_ns = request.timeout_ms ? reactor->now_ns + request.timeout_ms * DROP_NS_PER_MS
                                          : DROP_NEVER,
    };
    struct drop_outcome outcome =
        drop_pool_offer(pool, &ticket, request.payload, request.payload_length);
    switch (outcome.verdict) {
    case DROP_TAKEN:
        if (frame->type == DROP_CALL)
            connection->outstanding++;
        else if (frame->type == DROP_PUBLISH)
            drop_connection_answer(connection, frame->id, DROP_OK, NULL, 0);
        return true;
    case DROP_WAIT:
        drop_waiter_join(&connection->waiter, &pool->waitlist);
        return false;
    case DROP_REFUSED:
        break;
    }
    uint64_t *counters =
        frame->type == DROP_CAST ? pool->counters.dropped : pool->counters.failed;
    counters[outcome.status]++;
    return answer_refusal(connection, frame, pool, outcome.status, outcome.text);
}

/* Compares in a time that depends on the lengths only. */
static bool same_secret(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned char difference = a_length != b_length;
    for (size_t i = 0; i < b_length; i++)
        difference |= (unsigned char)(b[i] ^ (i < a_length ? a[i] : 0));
    return difference == 0;
}

static void welcome(struct drop_connection *connection)
{
    const struct drop_reactor_options *options = &connection->reactor->options;
    char body[12 + DROP_NODE_NAME_MAX];
    size_t name_length = strlen(options->node_name);
    body[0] = (char)DROP_FRAME_VERSION;
    body[1] = (char)connection->authenticated;
    body[2] = body[3] = 0;
    drop_put_u32(body + 4, options->payload_max);
    drop_put_u32(body + 8, options->calls_max);
    memcpy(body + 12, options->node_name, name_length);
    drop_output_frame(connection, DROP_WELCOME, 0, 0, 0, body, 12 + name_length);
}

static bool on_hello(struct drop_connection *connection, const struct drop_frame *frame)
{
    struct drop_reactor *reactor = connection->reactor;
    const struct drop_reactor_options *options = &reactor->options;
    struct drop_hello hello;
    if (connection->state != DROP_CONNECTION_NEW)
        return fault(connection, "HELLO came a second time");
    const char *wrong = drop_frame_hello(frame, &hello);
    if (wrong)
        return fault(connection, wrong);
    if (hello.version_min > DROP_FRAME_VERSION || hello.version_max < DROP_FRAME_VERSION)
        return fault(connection, "the node speaks version 1 of the protocol only");
    if (options->token_length && !connection->trusted) {
        if (!same_secret(hello.token, hello.token_length, options->token, options->token_length)) {
            reactor->counters.unauthorized++;
            drop_connection_goaway(connection, DROP_UNAUTHORIZED,
                                   "the token is not the node's; see DROP_TOKEN or --token-file");
            return false;
        }
        connection->authenticated = true;
    }
    connection->state = DROP_CONNECTION_OPEN;
    drop_timer_disarm(&reactor->timers, &connection->timer);
    welcome(connection);
    return true;
}

static bool on_subscribe(struct drop_connection *connection, const struct drop_frame *frame)
{
    struct drop_request request;
    bool go_on;
    const char *wrong = drop_frame_named(frame, &request);
    if (wrong)
        return fault(connection, wrong);
    struct drop_pool *pool = find_pool(connection, frame, &request, &go_on);
    if (!pool)
        return go_on;
    if (request.payload_length > DROP_FILTER_MAX)
        return refuse(connection, frame, pool, DROP_BAD_REQUEST,
                           "the filter is longer than 1024 bytes");
    struct drop_subscription *subscription = NULL;
    if (connection->subscription_count < DROP_SUBSCRIPTIONS_MAX)
        subscription = drop_subscription_create(pool, frame->id, request.payload,
                                                request.payload_length);
    if (!subscription)
        return refuse(connection, frame, pool, DROP_OVERLOADED,
                           "the connection has as many subscriptions as it may have (1024)");
    subscription->connection = connection;
    subscription->wait = frame->flags & DROP_FLAG_WAIT;
    subscription->next_of_connection = connection->subscriptions;
    connection->subscriptions = subscription;
    connection->subscription_count++;
    drop_connection_answer(connection, frame->id, DROP_OK, NULL, 0);
    return true;
}

static bool on_unsubscribe(struct drop_connection *connection, const struct drop_frame *frame)
{
    struct drop_subscription *subscription = connection->subscriptions;
    while (subscription && subscription->id != frame->id)
        subscription = subscription->next_of_connection;
    if (!subscription) {
        static const char unknown[] = "there is no subscription with this id";
        drop_connection_answer(connection, frame->id, DROP_BAD_REQUEST, unknown,
                               sizeof unknown - 1);
        return true;
    }
    drop_subscription_destroy(subscription);
    drop_connection_answer(connection, frame->id, DROP_OK, NULL, 0);
    return true;
}

static bool on_cancel(struct drop_connection *connection, const struct drop_frame *frame)
{
    struct drop_request request;
    const char *wrong = drop_frame_named(frame, &request);
    if (wrong)
        return fault(connection, wrong);
    struct drop_pool *pool =
        drop_pool_find(connection->reactor, request.name, request.name_length);
    if (pool)
        drop_pool_cancel(pool, connection, frame->id);
    return true;
}

static bool on_ping(struct drop_connection *connection, const struct drop_frame *frame)
{
    drop_output_frame(connection, DROP_PONG, 0, 0, frame->id, frame->body, frame->body_length);
    return true;
}

static bool on_statistics(struct drop_connection *connection, const struct drop_frame *frame)
{
    struct drop_reactor *reactor = connection->reactor;
    struct drop_request request;
    struct drop_pool *pool = NULL;
    bool go_on;
    const char *wrong = drop_frame_named(frame, &request);
    if (wrong)
        return fault(connection, wrong);
    if (request.name_length) {
        pool = find_pool(connection, frame, &request, &go_on);
        if (!pool)
            return go_on;
    }
    struct drop_buffer json = {0};
    if (drop_statistics_write(reactor, pool, &json))
        refuse(connection, frame, pool, DROP_OVERLOADED,
                    "the node's memory for messages is used up");
    else
        drop_connection_answer(connection, frame->id, DROP_OK, drop_buffer_data(&json),
                               drop_buffer_length(&json));
    drop_buffer_release(&json, &reactor->memory);
    return true;
}

static bool (*const handlers[])(struct drop_connection *, const struct drop_frame *) = {
    [DROP_HELLO] = on_hello,
    [DROP_CALL] = on_message,
    [DROP_CAST] = on_message,
    [DROP_PUBLISH] = on_message,
    [DROP_SUBSCRIBE] = on_subscribe,
    [DROP_UNSUBSCRIBE] = on_unsubscribe,
    [DROP_CANCEL] = on_cancel,
    [DROP_PING] = on_ping,
    [DROP_STATISTICS] = on_statistics,
};

bool drop_request_handle(struct drop_connection *connection, const struct drop_frame *frame)
{
    assert(frame->type < sizeof handlers / sizeof handlers[0] && handlers[frame->type]);
    return handlers[frame->type](connection, frame);
}
