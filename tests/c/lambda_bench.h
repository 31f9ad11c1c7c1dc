/* A runtime for the C tests of the Runtime API: two connections and one invocation, no sockets. */
#ifndef LAMBDA_BENCH_H
#define LAMBDA_BENCH_H

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "lambda_exchange.h"

#define RUNTIME "/2018-06-01/runtime/"
#define EMPTY "Content-Length: 0\r\n\r\n"

struct bench {
    struct drop_lambda_invocation invocation;
    struct drop_lambda_exchange exchange;
    struct drop_lambda_exchange other;
    char reply[4096]; /* what came out last */
};

static inline void open_bench(struct bench *bench)
{
    *bench = (struct bench){
        .invocation = {.payload_max = 1000, .timeout_ms = 5000, .arn = "arn:x"}};
}

static inline void close_bench(struct bench *bench)
{
    drop_lambda_exchange_close(&bench->exchange, &bench->invocation);
    drop_lambda_exchange_close(&bench->other, &bench->invocation);
    drop_lambda_invocation_close(&bench->invocation);
}

static inline void offer(struct bench *bench, const char *event)
{
    static const unsigned char random[DROP_LAMBDA_RANDOM] = {1, 2, 3};
    REQUIRE(drop_lambda_invocation_is_free(&bench->invocation));
    drop_lambda_bytes_append(&bench->invocation.event, event, strlen(event));
    drop_lambda_invocation_offer(&bench->invocation, 1700000000000, random);
}

/* Everything the exchange has to say, taken in pieces of 7 bytes. */
static inline void collect(struct bench *bench, struct drop_lambda_exchange *exchange)
{
    size_t length = 0;
    while (drop_lambda_exchange_has_output(exchange) && length < sizeof bench->reply - 8) {
        char both[16384];
        size_t out = exchange->out.length, event = exchange->event.length;
        REQUIRE(out + event < sizeof both);
        memcpy(both, exchange->out.at, out);
        if (event)
            memcpy(both + out, exchange->event.at, event);
        size_t count = out + event < 7 ? out + event : 7;
        memcpy(bench->reply + length, both, count);
        length += count;
        drop_lambda_exchange_sent(exchange, &bench->invocation, count);
    }
    bench->reply[length] = '\0';
}

/* Sends a request in pieces of `step` bytes. */
static inline void send_torn(struct bench *bench, struct drop_lambda_exchange *exchange,
                      const char *request, size_t step)
{
    for (size_t at = 0; at < strlen(request); at += step) {
        size_t length = strlen(request + at) < step ? strlen(request + at) : step;
        drop_lambda_bytes_append(&exchange->in, request + at, length);
        drop_lambda_exchange_advance(exchange, &bench->invocation);
    }
    collect(bench, exchange);
}

static inline int send_request(struct bench *bench, const char *request)
{
    send_torn(bench, &bench->exchange, request, 5);
    return strncmp(bench->reply, "HTTP/1.1 ", 9) == 0 ? atoi(bench->reply + 9) : 0;
}

static inline int send_post(struct bench *bench, const char *id, const char *what, const char *rest)
{
    char request[8192];
    snprintf(request, sizeof request, "POST " RUNTIME "invocation/%s/%s HTTP/1.1\r\n%s", id, what,
             rest);
    return send_request(bench, request);
}

static inline void poll_and_deliver(struct bench *bench)
{
    CHECK_EQUAL(send_request(bench, "GET " RUNTIME "invocation/next HTTP/1.1\r\n\r\n"), 0);
    REQUIRE(bench->exchange.state == DROP_LAMBDA_POLL);
    drop_lambda_exchange_deliver(&bench->exchange, &bench->invocation);
    collect(bench, &bench->exchange);
    CHECK_EQUAL(bench->invocation.state, DROP_LAMBDA_RUNNING);
}

static inline void check_answer(struct bench *bench, const char *expected)
{
    struct drop_lambda_bytes *answer = &bench->invocation.answer;
    REQUIRE(answer->length >= 4);
    CHECK_EQUAL((unsigned char)answer->at[3] + 256 * (unsigned char)answer->at[2],
                answer->length - 4);
    bool same = answer->length - 4 == strlen(expected) &&
                memcmp(answer->at + 4, expected, strlen(expected)) == 0;
    CHECK(same);
    if (!same)
        fprintf(stderr, "the answer is %.*s\n", (int)answer->length - 4, answer->at + 4);
    drop_lambda_bytes_close(answer);
}

#endif
