/* A runtime that says anything on two connections, in pieces of any size, with events in between
 * and connections that end anywhere: every event has one answer or is under way, no answer exceeds
 * the limit, and nothing grows beyond its bound.
 *
 * The input is a list of steps: a byte that says what to do (and how much), then its bytes. The
 * sequence @@ in what is sent stands for the id of the current invocation. */
#include <stdlib.h>
#include <string.h>

#include "lambda_exchange.h"

#define DEMAND(condition) ((condition) ? (void)0 : abort())
#define PAYLOAD_MAX 200u

struct world {
    struct drop_lambda_invocation invocation;
    struct drop_lambda_exchange exchanges[2];
    unsigned offered;
    unsigned answered;
};

static void take_answer(struct world *world)
{
    struct drop_lambda_bytes *answer = &world->invocation.answer;
    if (!answer->length)
        return;
    DEMAND(answer->length >= DROP_LAMBDA_PREFIX);
    DEMAND(world->invocation.failed || answer->length <= PAYLOAD_MAX + DROP_LAMBDA_PREFIX);
    DEMAND(answer->length < 4096);
    DEMAND(++world->answered <= world->offered);
    drop_lambda_bytes_close(answer);
    world->invocation.failed = false;
}

static void check(struct world *world)
{
    take_answer(world);
    unsigned open = world->invocation.state != DROP_LAMBDA_NONE;
    DEMAND(world->answered + open == world->offered);
    for (int i = 0; i < 2; i++) {
        const struct drop_lambda_exchange *exchange = &world->exchanges[i];
        DEMAND(exchange->body.length <= DROP_LAMBDA_REPORT_MAX + DROP_LAMBDA_PREFIX);
        DEMAND(exchange->state != DROP_LAMBDA_CLOSED);
        DEMAND(exchange->state != DROP_LAMBDA_REPLY || drop_lambda_exchange_has_output(exchange));
    }
}

static void offer(struct world *world, const uint8_t *bytes, size_t length)
{
    static const unsigned char random[DROP_LAMBDA_RANDOM] = {7};
    if (!drop_lambda_invocation_is_free(&world->invocation))
        return;
    DEMAND(drop_lambda_bytes_append(&world->invocation.event, bytes, length));
    drop_lambda_invocation_offer(&world->invocation, length, random);
    world->offered++;
}

/* All of it, or all but the last byte. */
static void drain(struct world *world, struct drop_lambda_exchange *exchange, bool all)
{
    while (drop_lambda_exchange_has_output(exchange)) {
        size_t length = exchange->out.length + exchange->event.length;
        if (!all && length == 1)
            return;
        drop_lambda_exchange_sent(exchange, &world->invocation, all ? length : length - 1);
        if (!all)
            return;
    }
}

static void receive(struct world *world, struct drop_lambda_exchange *exchange,
                    const uint8_t *bytes, size_t length)
{
    if (!drop_lambda_exchange_wants_input(exchange))
        return;
    for (size_t at = 0; at < length; at++) {
        bool id = at + 1 < length && bytes[at] == '@' && bytes[at + 1] == '@';
        const char *text = id ? world->invocation.id : (const char *)bytes + at;
        DEMAND(drop_lambda_bytes_append(&exchange->in, text, id ? strlen(text) : 1));
        at += id;
    }
    drop_lambda_exchange_advance(exchange, &world->invocation);
}

static void step(struct world *world, uint8_t what, const uint8_t *bytes, size_t length)
{
    struct drop_lambda_exchange *exchange = &world->exchanges[what >> 3 & 1];
    switch (what & 7) {
    case 0: offer(world, bytes, length); break;
    case 1:
        if (exchange->state == DROP_LAMBDA_POLL && world->invocation.state == DROP_LAMBDA_WAITING)
            drop_lambda_exchange_deliver(exchange, &world->invocation);
        break;
    case 2: drain(world, exchange, true); break;
    case 3: drain(world, exchange, false); break;
    case 4:
        if (length % 4 == 0)
            drop_lambda_exchange_close(exchange, &world->invocation);
        break;
    default: receive(world, exchange, bytes, length); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {.invocation = {.payload_max = PAYLOAD_MAX, .timeout_ms = 1, .arn = "a"}};
    for (size_t at = 0; at + 1 < size;) {
        uint8_t what = data[at], length = data[at + 1];
        at += 2;
        size_t taken = size - at < length ? size - at : length;
        step(&world, what, data + at, taken);
        check(&world);
        at += taken;
    }
    for (int i = 0; i < 2; i++) {
        drop_lambda_exchange_close(&world.exchanges[i], &world.invocation);
        take_answer(&world);
    }
    drop_lambda_invocation_close(&world.invocation);
    return 0;
}
