/* The one invocation that a runtime works on: from the message on stdin to the answer on stdout.
 *
 *     NONE --offer--> WAITING --take--> DELIVERING --delivered--> RUNNING --claim--> RECEIVING
 *       ^                 ^-----back off----'                         (answer, failure)  |
 *       '------------------------------------------------------------------------------- '
 *
 * Pure: no I/O; the time and random bytes come from the caller. Every offered event gets exactly
 * one answer, whatever the runtime does, except when the program ends first. */
#ifndef DROP_LAMBDA_INVOCATION_H
#define DROP_LAMBDA_INVOCATION_H

#include "lambda_bytes.h"

#define DROP_LAMBDA_ID_SIZE 37u      /* a UUID as text, with its terminator */
#define DROP_LAMBDA_RANDOM 40u       /* bytes of randomness for the names of one invocation */
#define DROP_LAMBDA_TRACE_SIZE 80u   /* Root=1-8-24;Parent=16;Sampled=0 */
#define DROP_LAMBDA_PREFIX 4u        /* bytes of the length in front of an answer */

enum drop_lambda_invocation_state {
    DROP_LAMBDA_NONE,
    DROP_LAMBDA_WAITING,
    DROP_LAMBDA_DELIVERING,
    DROP_LAMBDA_RUNNING,
    DROP_LAMBDA_RECEIVING,
};

struct drop_lambda_invocation {
    enum drop_lambda_invocation_state state;
    uint64_t payload_max; /* bytes of an event, and of an answer */
    uint32_t timeout_ms;
    const char *arn; /* of the function; borrowed */

    uint64_t deadline_ms; /* since 1970 */
    char id[DROP_LAMBDA_ID_SIZE];
    char answered_id[DROP_LAMBDA_ID_SIZE]; /* of the one before; empty at first */
    char trace[DROP_LAMBDA_TRACE_SIZE];
    struct drop_lambda_bytes event;  /* while WAITING or DELIVERING */
    struct drop_lambda_bytes answer; /* with its length in front; the caller writes it and closes */
    bool failed;                     /* the answer tells of an error */

    bool started;     /* the runtime has asked for an event */
    bool init_failed; /* the runtime gave up before it did */
    bool out_of_memory;
    uint64_t turns; /* who waited first is served first */
};

/* Whether the next event may be read: nothing is under way and the last answer has been written. */
static inline bool drop_lambda_invocation_is_free(const struct drop_lambda_invocation *invocation)
{
    return invocation->state == DROP_LAMBDA_NONE && invocation->answer.length == 0;
}

/* NONE -> WAITING with the event that the caller has put into `event`. */
void drop_lambda_invocation_offer(struct drop_lambda_invocation *invocation, uint64_t now_ms,
                                  const unsigned char random[DROP_LAMBDA_RANDOM]);

/* DELIVERING -> RUNNING; the event's memory is freed. */
void drop_lambda_invocation_delivered(struct drop_lambda_invocation *invocation);

/* RECEIVING -> NONE with `body` as the answer, whose first DROP_LAMBDA_PREFIX bytes are free; it is
 * emptied. */
void drop_lambda_invocation_answer(struct drop_lambda_invocation *invocation,
                                   struct drop_lambda_bytes *body, bool failed);

/* Any state -> NONE with an error of ours as the answer, formed like those of a runtime. */
void drop_lambda_invocation_fail(struct drop_lambda_invocation *invocation,
                                 struct drop_lambda_slice type, const char *message);

void drop_lambda_invocation_close(struct drop_lambda_invocation *invocation);

#endif
