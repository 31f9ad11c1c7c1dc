#include "lambda_invocation.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "length.h"

static uint64_t number(const unsigned char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/* A random UUID: version 4 of RFC 9562. */
static void set_id(char *id, const unsigned char *random)
{
    uint64_t high = (number(random) & ~0xf000ull) | 0x4000u;
    uint64_t low = (number(random + 8) & ~(3ull << 62)) | 2ull << 62;
    snprintf(id, DROP_LAMBDA_ID_SIZE, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64
             "-%012" PRIx64, high >> 32, high >> 16 & 0xffff, high & 0xffff, low >> 48,
             low & 0xffffffffffff);
}

void drop_lambda_invocation_offer(struct drop_lambda_invocation *invocation, uint64_t now_ms,
                                  const unsigned char random[DROP_LAMBDA_RANDOM])
{
    assert(drop_lambda_invocation_is_free(invocation));
    set_id(invocation->id, random);
    snprintf(invocation->trace, sizeof invocation->trace,
             "Root=1-%08" PRIx64 "-%016" PRIx64 "%08" PRIx64 ";Parent=%016" PRIx64 ";Sampled=0",
             now_ms / 1000 & 0xffffffff, number(random + 16), number(random + 24) >> 32,
             number(random + 32));
    invocation->deadline_ms = now_ms + invocation->timeout_ms;
    invocation->state = DROP_LAMBDA_WAITING;
}

void drop_lambda_invocation_delivered(struct drop_lambda_invocation *invocation)
{
    assert(invocation->state == DROP_LAMBDA_DELIVERING);
    drop_lambda_bytes_close(&invocation->event);
    invocation->state = DROP_LAMBDA_RUNNING;
}

void drop_lambda_invocation_answer(struct drop_lambda_invocation *invocation,
                                   struct drop_lambda_bytes *body, bool failed)
{
    assert(invocation->answer.length == 0 && body->length >= DROP_LAMBDA_PREFIX);
    drop_lambda_bytes_close(&invocation->event);
    drop_lambda_bytes_close(&invocation->answer);
    drop_length_put(body->at, (uint32_t)(body->length - DROP_LAMBDA_PREFIX));
    invocation->answer = *body;
    *body = (struct drop_lambda_bytes){0};
    invocation->failed = failed;
    invocation->state = DROP_LAMBDA_NONE;
    memcpy(invocation->answered_id, invocation->id, sizeof invocation->id);
}

void drop_lambda_invocation_fail(struct drop_lambda_invocation *invocation,
                                 struct drop_lambda_slice type, const char *message)
{
    struct drop_lambda_bytes body = {0};
    struct drop_lambda_slice text = {message, strlen(message)};
    bool made = drop_lambda_bytes_print(&body, "    {\"errorMessage\":\"") &&
                drop_lambda_bytes_escape(&body, text) &&
                drop_lambda_bytes_print(&body, "\",\"errorType\":\"") &&
                drop_lambda_bytes_escape(&body, type) && drop_lambda_bytes_print(&body, "\"}");
    if (made)
        drop_lambda_invocation_answer(invocation, &body, true);
    else
        invocation->out_of_memory = true;
    drop_lambda_bytes_close(&body);
}

void drop_lambda_invocation_close(struct drop_lambda_invocation *invocation)
{
    drop_lambda_bytes_close(&invocation->event);
    drop_lambda_bytes_close(&invocation->answer);
}
