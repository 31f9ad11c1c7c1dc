#include "lambda_exchange.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "lambda_route.h"

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 202: return "Accepted";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Request Entity Too Large";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    default: return "HTTP Version Not Supported";
    }
}

static void reply(struct drop_lambda_exchange *exchange, int status, const char *extra,
                  size_t length)
{
    const char *connection = exchange->keep_alive ? "keep-alive" : "close";
    bool made = drop_lambda_bytes_print(
        &exchange->out,
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
        "Connection: %s\r\n%s\r\n",
        status, reason_of(status), length, connection, extra);
    exchange->state = made ? DROP_LAMBDA_REPLY : DROP_LAMBDA_CLOSED;
}

static void reply_text(struct drop_lambda_exchange *exchange, int status, const char *text)
{
    reply(exchange, status, "", strlen(text));
    if (!drop_lambda_bytes_append(&exchange->out, text, strlen(text)))
        exchange->state = DROP_LAMBDA_CLOSED;
}

static void reply_refusal(struct drop_lambda_exchange *exchange)
{
    struct drop_lambda_bytes text = {0};
    bool made = drop_lambda_bytes_print(&text, "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}\n",
                                        exchange->refusal, exchange->refusal_type) &&
                drop_lambda_bytes_append(&text, "", 1);
    if (made)
        reply_text(exchange, exchange->status, text.at);
    else
        exchange->state = DROP_LAMBDA_CLOSED;
    drop_lambda_bytes_close(&text);
}

static void refuse(struct drop_lambda_exchange *exchange, struct drop_lambda_refusal refusal)
{
    exchange->route = DROP_LAMBDA_REFUSED;
    exchange->status = refusal.status;
    exchange->refusal_type = refusal.type;
    exchange->refusal = refusal.text;
}

/* The bytes that follow cannot be told apart: the connection is of no more use. */
static void refuse_framing(struct drop_lambda_exchange *exchange, int status)
{
    exchange->keep_alive = false;
    refuse(exchange, drop_lambda_refusal_of(status));
    reply_refusal(exchange);
}

static bool holds_claim(const struct drop_lambda_exchange *exchange)
{
    return exchange->state == DROP_LAMBDA_BODY &&
           (exchange->route == DROP_LAMBDA_RESPONSE || exchange->route == DROP_LAMBDA_ERROR);
}

/* The response is not to be had: its caller gets an error, and this client a refusal, once its body
 * is over. */
static void give_up_response(struct drop_lambda_exchange *exchange,
                             struct drop_lambda_invocation *invocation, const char *type,
                             const char *message)
{
    struct drop_lambda_slice name = {type, strlen(type)};
    drop_lambda_bytes_close(&exchange->body);
    drop_lambda_invocation_fail(invocation, name, message);
}

static void refuse_oversize(struct drop_lambda_exchange *exchange,
                            struct drop_lambda_invocation *invocation)
{
    if (exchange->route != DROP_LAMBDA_INIT_ERROR) {
        give_up_response(exchange, invocation, "Function.ResponseSizeTooLarge",
                         "The response is larger than the payload limit.");
        refuse(exchange, drop_lambda_refusal_of(413));
    }
}

/* Keeps a piece of the body; of an init error only the beginning. */
static void keep(struct drop_lambda_exchange *exchange, struct drop_lambda_invocation *invocation,
                 struct drop_lambda_slice piece)
{
    if (exchange->route == DROP_LAMBDA_REFUSED)
        return;
    uint64_t room = exchange->body_max + DROP_LAMBDA_PREFIX - exchange->body.length;
    if (piece.length > room) {
        refuse_oversize(exchange, invocation);
        if (exchange->route == DROP_LAMBDA_REFUSED)
            return;
        piece.length = (size_t)room;
    }
    if (!drop_lambda_bytes_append(&exchange->body, piece.at, piece.length))
        invocation->out_of_memory = true;
}

static void keep_trailer(struct drop_lambda_exchange *exchange,
                         struct drop_lambda_invocation *invocation, struct drop_lambda_slice piece)
{
    if (exchange->route == DROP_LAMBDA_REFUSED)
        return;
    if (piece.length > DROP_LAMBDA_HEAD_MAX - exchange->trailers.length) {
        refuse_oversize(exchange, invocation);
    } else if (!drop_lambda_bytes_append(&exchange->trailers, piece.at, piece.length)) {
        invocation->out_of_memory = true;
    }
}

/* A runtime that streams tells of an error behind what it has sent: the error is the answer then,
 * since half a response is none. */
static bool take_streamed_error(struct drop_lambda_exchange *exchange,
                                struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_trailers trailers;
    const struct drop_lambda_bytes *bytes = &exchange->trailers;
    if (drop_lambda_trailers_parse(bytes->at, bytes->length, &trailers) != 0 ||
        (!trailers.error_type.length && !trailers.error_body.length))
        return false;
    exchange->body.length = DROP_LAMBDA_PREFIX;
    if (trailers.error_type.length > DROP_LAMBDA_TYPE_SIZE - 1)
        trailers.error_type.length = DROP_LAMBDA_TYPE_SIZE - 1;
    if (trailers.error_body.length &&
        drop_lambda_bytes_decode(&exchange->body, trailers.error_body) &&
        exchange->body.length - DROP_LAMBDA_PREFIX <= exchange->body_max)
        drop_lambda_invocation_answer(invocation, &exchange->body, true);
    else
        drop_lambda_invocation_fail(invocation, trailers.error_type,
                                    "The response ended with an error.");
    return true;
}

static void finish_error(struct drop_lambda_exchange *exchange,
                         struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_slice type = {exchange->error_type, strlen(exchange->error_type)};
    if (exchange->body.length > DROP_LAMBDA_PREFIX)
        drop_lambda_invocation_answer(invocation, &exchange->body, true);
    else
        drop_lambda_invocation_fail(invocation, type, "");
}

/* The request is complete: what it asks for happens. */
static void finish(struct drop_lambda_exchange *exchange, struct drop_lambda_invocation *invocation)
{
    static const char accepted[] = "{\"status\":\"OK\"}\n";
    switch (exchange->route) {
    case DROP_LAMBDA_NEXT:
        invocation->started = true;
        exchange->turn = ++invocation->turns;
        exchange->state = DROP_LAMBDA_POLL;
        break;
    case DROP_LAMBDA_RESPONSE:
        if (!take_streamed_error(exchange, invocation))
            drop_lambda_invocation_answer(invocation, &exchange->body, false);
        reply_text(exchange, 202, accepted);
        break;
    case DROP_LAMBDA_ERROR:
        finish_error(exchange, invocation);
        reply_text(exchange, 202, accepted);
        break;
    case DROP_LAMBDA_INIT_ERROR:
        invocation->init_failed = true;
        reply_text(exchange, 202, accepted);
        break;
    case DROP_LAMBDA_REFUSED: reply_refusal(exchange); break;
    }
}

/* A body with a length: what is there of it. */
static void advance_body(struct drop_lambda_exchange *exchange,
                         struct drop_lambda_invocation *invocation)
{
    size_t available = exchange->in.length;
    size_t length = available < exchange->left ? available : (size_t)exchange->left;
    keep(exchange, invocation, (struct drop_lambda_slice){exchange->in.at, length});
    drop_lambda_bytes_consume(&exchange->in, length);
    exchange->left -= length;
    if (exchange->left == 0)
        finish(exchange, invocation);
}

static void advance_chunks(struct drop_lambda_exchange *exchange,
                           struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_slice rest = {exchange->in.at, exchange->in.length}, piece;
    enum drop_lambda_piece kind;
    do {
        kind = drop_lambda_chunks_next(&exchange->chunks, &rest, &piece);
        if (kind == DROP_LAMBDA_DATA)
            keep(exchange, invocation, piece);
        else if (kind == DROP_LAMBDA_TRAILER)
            keep_trailer(exchange, invocation, piece);
    } while (kind == DROP_LAMBDA_DATA || kind == DROP_LAMBDA_TRAILER);
    drop_lambda_bytes_consume(&exchange->in, exchange->in.length - rest.length);
    if (kind == DROP_LAMBDA_END) {
        finish(exchange, invocation);
    } else if (kind == DROP_LAMBDA_BAD) {
        if (holds_claim(exchange))
            give_up_response(exchange, invocation, "Runtime.TruncatedResponse",
                             "The runtime sent a response that is not well formed.");
        refuse_framing(exchange, 400);
    }
}

static void begin_body(struct drop_lambda_exchange *exchange,
                       struct drop_lambda_invocation *invocation,
                       const struct drop_lambda_head *head)
{
    bool init = exchange->route == DROP_LAMBDA_INIT_ERROR;
    size_t type_length = head->error_type.length < DROP_LAMBDA_TYPE_SIZE - 1
                             ? head->error_type.length
                             : DROP_LAMBDA_TYPE_SIZE - 1;
    exchange->state = DROP_LAMBDA_BODY;
    exchange->chunked = head->chunked;
    exchange->left = head->content_length;
    exchange->chunks = (struct drop_lambda_chunks){0};
    exchange->body_max = init ? DROP_LAMBDA_REPORT_MAX : invocation->payload_max;
    exchange->trailers.length = 0;
    exchange->body.length = 0;
    if (type_length)
        memcpy(exchange->error_type, head->error_type.at, type_length);
    exchange->error_type[type_length] = '\0';
    if (!drop_lambda_bytes_append(&exchange->body, "\0\0\0\0", DROP_LAMBDA_PREFIX))
        exchange->state = DROP_LAMBDA_CLOSED;
}

/* The head is complete; decides before the body is there. */
static void begin(struct drop_lambda_exchange *exchange, struct drop_lambda_invocation *invocation,
                  const struct drop_lambda_head *head)
{
    struct drop_lambda_refusal refusal = {0};
    exchange->keep_alive = head->keep_alive;
    exchange->route = drop_lambda_route_of(head, invocation, &refusal);
    bool has_body = head->chunked || head->content_length;
    begin_body(exchange, invocation, head);
    if (exchange->route == DROP_LAMBDA_RESPONSE || exchange->route == DROP_LAMBDA_ERROR) {
        invocation->state = DROP_LAMBDA_RECEIVING;
        if (head->content_length > invocation->payload_max)
            refuse_oversize(exchange, invocation);
    }
    if (refusal.status)
        refuse(exchange, refusal);
    if (refusal.answer)
        give_up_response(exchange, invocation, refusal.answer, refusal.text);
    if (exchange->route == DROP_LAMBDA_REFUSED && has_body && head->expects_continue) {
        /* The client may send the body or not: what comes next is anyone's guess. */
        exchange->keep_alive = false;
        finish(exchange, invocation);
    } else if (!has_body) {
        finish(exchange, invocation);
    } else if (head->expects_continue &&
               !drop_lambda_bytes_print(&exchange->out, "HTTP/1.1 100 Continue\r\n\r\n")) {
        exchange->state = DROP_LAMBDA_CLOSED;
    }
}

/* False: the head is not complete yet. */
static bool advance_head(struct drop_lambda_exchange *exchange,
                         struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_bytes *in = &exchange->in;
    if (exchange->scanned == 0)
        drop_lambda_bytes_consume(in, drop_lambda_head_skip(in->at, in->length));
    size_t end = drop_lambda_head_end(in->at, in->length, &exchange->scanned);
    if ((end ? end : in->length) > DROP_LAMBDA_HEAD_MAX) {
        refuse_framing(exchange, 431);
        return true;
    }
    if (end == 0)
        return false;
    struct drop_lambda_head head;
    int status = drop_lambda_head_parse(in->at, end, &head);
    if (status == 0)
        begin(exchange, invocation, &head);
    else
        refuse_framing(exchange, status);
    exchange->scanned = 0;
    drop_lambda_bytes_consume(in, end);
    return true;
}

void drop_lambda_exchange_advance(struct drop_lambda_exchange *exchange,
                                  struct drop_lambda_invocation *invocation)
{
    bool goes_on = true;
    while (goes_on && exchange->in.length) {
        if (exchange->state == DROP_LAMBDA_HEAD) {
            goes_on = advance_head(exchange, invocation);
        } else if (exchange->state == DROP_LAMBDA_BODY && exchange->chunked) {
            advance_chunks(exchange, invocation);
        } else if (exchange->state == DROP_LAMBDA_BODY) {
            advance_body(exchange, invocation);
        } else {
            goes_on = false;
        }
    }
    if (exchange->state == DROP_LAMBDA_DISCARD || exchange->state == DROP_LAMBDA_CLOSED)
        drop_lambda_bytes_close(&exchange->in);
}

void drop_lambda_exchange_deliver(struct drop_lambda_exchange *exchange,
                                  struct drop_lambda_invocation *invocation)
{
    assert(exchange->state == DROP_LAMBDA_POLL && invocation->state == DROP_LAMBDA_WAITING);
    struct drop_lambda_bytes extra = {0};
    bool made = drop_lambda_bytes_print(&extra,
                                        "Lambda-Runtime-Aws-Request-Id: %s\r\n"
                                        "Lambda-Runtime-Deadline-Ms: %" PRIu64 "\r\n"
                                        "Lambda-Runtime-Invoked-Function-Arn: %s\r\n"
                                        "Lambda-Runtime-Trace-Id: %s\r\n",
                                        invocation->id, invocation->deadline_ms, invocation->arn,
                                        invocation->trace);
    exchange->state = DROP_LAMBDA_CLOSED;
    if (made)
        reply(exchange, 200, extra.at, invocation->event.length);
    if (exchange->state == DROP_LAMBDA_REPLY) {
        exchange->event =
            (struct drop_lambda_slice){invocation->event.at, invocation->event.length};
        invocation->state = DROP_LAMBDA_DELIVERING;
    }
    drop_lambda_bytes_close(&extra);
}

void drop_lambda_exchange_sent(struct drop_lambda_exchange *exchange,
                               struct drop_lambda_invocation *invocation, size_t count)
{
    size_t head = count < exchange->out.length ? count : exchange->out.length;
    drop_lambda_bytes_consume(&exchange->out, head);
    if (exchange->event.length) {
        exchange->event.at += count - head;
        exchange->event.length -= count - head;
    }
    if (exchange->state != DROP_LAMBDA_REPLY || drop_lambda_exchange_has_output(exchange))
        return;
    if (exchange->route == DROP_LAMBDA_NEXT && invocation->state == DROP_LAMBDA_DELIVERING)
        drop_lambda_invocation_delivered(invocation);
    exchange->event = (struct drop_lambda_slice){0};
    exchange->state = exchange->keep_alive ? DROP_LAMBDA_HEAD : DROP_LAMBDA_DISCARD;
    drop_lambda_exchange_advance(exchange, invocation);
}

void drop_lambda_exchange_close(struct drop_lambda_exchange *exchange,
                                struct drop_lambda_invocation *invocation)
{
    if (holds_claim(exchange))
        give_up_response(exchange, invocation, "Runtime.TruncatedResponse",
                         "The runtime closed the connection in the middle of its response.");
    if (exchange->state == DROP_LAMBDA_REPLY && exchange->route == DROP_LAMBDA_NEXT &&
        invocation->state == DROP_LAMBDA_DELIVERING)
        invocation->state = DROP_LAMBDA_WAITING;
    drop_lambda_bytes_close(&exchange->in);
    drop_lambda_bytes_close(&exchange->out);
    drop_lambda_bytes_close(&exchange->body);
    drop_lambda_bytes_close(&exchange->trailers);
    *exchange = (struct drop_lambda_exchange){0};
}
