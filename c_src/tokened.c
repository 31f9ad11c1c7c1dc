/* The table of tokens; see tokened.h. */
#define _GNU_SOURCE
#include "tokened.h"

#include <assert.h>
#include <stdlib.h>

#include "answers.h"
#include "health.h"
#include "line.h"
#include "pass.h"

#define PLACES_FIRST 8u
#define PLACE_BITS 10 /* DROP_INFLIGHT_MAX places */
#define NONE UINT32_MAX
#define TOLD_EVERY_NS 1000000000ull /* about answers with unknown tokens, of one worker */

struct place {
    struct drop_ticket ticket;
    uint64_t given_ns;
    struct drop_message *kept; /* for another attempt; NULL: the pool does not retry */
    uint32_t uses;             /* how often it was given out before */
    uint32_t next_free;
    bool taken;
};

struct drop_tokens {
    struct place *places;
    uint32_t capacity;
    uint32_t first_free;
    uint64_t told_ns; /* when an unknown token was told of last */
    uint64_t untold;
};

struct drop_tokens *drop_tokens_create(void)
{
    struct drop_tokens *tokens = calloc(1, sizeof *tokens);
    if (tokens)
        tokens->first_free = NONE;
    return tokens;
}

void drop_tokens_destroy(struct drop_tokens *tokens)
{
    if (tokens)
        free(tokens->places);
    free(tokens);
}

static int grow(struct drop_tokens *tokens)
{
    uint32_t capacity = tokens->capacity ? 2 * tokens->capacity : PLACES_FIRST;
    assert(capacity <= 1u << PLACE_BITS);
    struct place *places = realloc(tokens->places, capacity * sizeof *places);
    if (!places)
        return -1;
    memset(places + tokens->capacity, 0, (capacity - tokens->capacity) * sizeof *places);
    for (uint32_t i = capacity; i-- > tokens->capacity;) {
        places[i].next_free = tokens->first_free;
        tokens->first_free = i;
    }
    tokens->places = places;
    tokens->capacity = capacity;
    return 0;
}

static void release(struct drop_tokens *tokens, struct place *place)
{
    place->taken = false;
    place->uses++;
    place->next_free = tokens->first_free;
    tokens->first_free = (uint32_t)(place - tokens->places);
}

/* Writes "TOKEN::"; returns its length. */
static size_t put_token(char *out, uint64_t token)
{
    static const char digits[16] = "0123456789abcdef";
    unsigned length = (unsigned)(67 - __builtin_clzll(token | 1)) / 4;
    for (unsigned i = length; i-- > 0; token >>= 4)
        out[i] = digits[token & 15];
    out[length] = out[length + 1] = ':';
    return length + 2;
}

/* The place that "TOKEN::" in front of a line names; NULL: none that waits for an answer. *used is
 * the length of the prefix. */
static struct place *find_place(struct drop_tokens *tokens, const char *line, size_t length,
                                size_t *used)
{
    uint64_t token = 0;
    size_t at = 0;
    for (; at < length && at < DROP_TOKEN_PREFIX_MAX - 2 && line[at] != ':'; at++) {
        unsigned char c = (unsigned char)line[at];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return NULL;
        token = token << 4 | (unsigned)digit;
    }
    /* No leading zeros: two spellings of one token would be two answers. */
    if (at == 0 || at + 2 > length || line[at] != ':' || line[at + 1] != ':'
        || (line[0] == '0' && at > 1))
        return NULL;
    *used = at + 2;
    uint64_t number = token & ((1u << PLACE_BITS) - 1);
    if (number >= tokens->capacity)
        return NULL;
    struct place *place = &tokens->places[number];
    return place->taken && place->uses == token >> PLACE_BITS ? place : NULL;
}

int drop_tokened_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                      const char *payload, uint32_t length)
{
    struct drop_tokens *tokens = worker->tokens;
    const struct drop_pool_options *options = &worker->pool->options;
    struct drop_memory *memory = &worker->reactor->memory;
    struct drop_message *kept = NULL;
    if (tokens->first_free == NONE && grow(tokens))
        return -1;
    struct place *place = &tokens->places[tokens->first_free];
    size_t body = options->ncm ? drop_ncm_encoded_length(payload, length) : length;
    if (options->retries && !(kept = drop_message_create(memory, ticket, payload, length, NULL)))
        return -1;
    char prefix[DROP_TOKEN_PREFIX_MAX];
    size_t prefix_length = put_token(
        prefix, (uint64_t)place->uses << PLACE_BITS | (uint64_t)(place - tokens->places));
    char *out = drop_worker_frame(worker, payload, length, body, prefix_length, 1);
    if (!out) {
        if (kept)
            drop_message_destroy(memory, kept);
        return -1;
    }
    memcpy(out, prefix, prefix_length);
    out[prefix_length + body] = '\n';
    tokens->first_free = place->next_free;
    place->ticket = *ticket;
    place->given_ns = worker->reactor->now_ns;
    place->kept = kept;
    place->taken = true;
    return 0;
}

void drop_tokened_written(struct drop_worker *worker, size_t before)
{
    const char *bytes = worker->written > before ? drop_buffer_data(&worker->outgoing) : NULL;
    const char *last = bytes ? memrchr(bytes + before, '\n', worker->written - before) : NULL;
    if (!last)
        return;
    size_t whole = (size_t)(last - bytes) + 1;
    drop_buffer_consume(&worker->outgoing, &worker->reactor->memory, whole);
    worker->written -= whole;
}

static void drop_kept(struct drop_worker *worker, struct place *place)
{
    if (place->kept)
        drop_message_destroy(&worker->reactor->memory, place->kept);
    place->kept = NULL;
}

/* Takes the ticket out of its place; the message is nobody's then. */
static struct drop_ticket leave(struct drop_worker *worker, struct place *place)
{
    struct drop_ticket ticket = place->ticket;
    drop_kept(worker, place);
    release(worker->tokens, place);
    worker->head++;
    worker->pool->inflight--;
    return ticket;
}

/* The worker goes because of this message's answer. */
static void fail_too_large(struct drop_worker *worker, struct place *place)
{
    struct drop_ticket ticket = leave(worker, place);
    drop_pool_fail_ticket(worker->pool, &ticket, DROP_TOO_LARGE,
                          "the function's answer is larger than the node's payload_max");
}

/* An answer that nobody waits for is counted, and told of now and then: a function that repeats
 * itself a million times must not fill the journal. */
static void tell_unknown(struct drop_worker *worker, const struct drop_answer *answer)
{
    struct drop_tokens *tokens = worker->tokens;
    struct drop_reactor *reactor = worker->reactor;
    worker->pool->counters.unasked++;
    tokens->untold++;
    if (tokens->told_ns && tokens->told_ns + TOLD_EVERY_NS > reactor->now_ns)
        return;
    drop_reactor_tell(reactor, DROP_UNKNOWN_TOKEN, worker->pool->id, worker->id, tokens->untold,
                      answer->bytes, answer->length < 64 ? answer->length : 64);
    tokens->told_ns = reactor->now_ns;
    tokens->untold = 0;
}

size_t drop_tokened_parse(struct drop_worker *worker, char *bytes, size_t length,
                          enum drop_pass *end)
{
    struct drop_pool *pool = worker->pool;
    struct drop_tally tally = {0};
    struct drop_buffer *lender = worker->reactor->lender;
    size_t payload_max = worker->reactor->options.payload_max;
    size_t line_max = payload_max + DROP_TOKEN_PREFIX_MAX;
    size_t at = 0;
    size_t scanned = worker->scanned;
    worker->scanned = worker->needed = 0;
    while (at < length) {
        struct drop_answer answer;
        enum drop_found found =
            drop_find_line(worker, bytes + at, length - at, scanned, line_max, &answer);
        if (found == DROP_INCOMPLETE)
            break;
        size_t prefix = 0;
        struct place *place =
            find_place(worker->tokens, bytes + at,
                       found == DROP_FOUND ? answer.length : DROP_TOKEN_PREFIX_MAX, &prefix);
        if (found == DROP_TOO_LONG || (place && answer.length - prefix > payload_max)) {
            if (place)
                fail_too_large(worker, place);
            *end = DROP_PASS_TOO_LONG;
            break;
        }
        if (place) {
            answer.bytes += prefix;
            answer.length -= (uint32_t)prefix;
            if (!drop_pass_admit(pool, worker, &answer)) {
                *end = DROP_PASS_STOPPED;
                break;
            }
            if (pool->options.ncm)
                answer.length = (uint32_t)drop_ncm_decode(answer.bytes, answer.length);
            struct drop_ticket ticket = place->ticket;
            drop_kept(worker, place);
            release(worker->tokens, place);
            worker->head++;
            drop_pass_lend(worker, lender, at + answer.used == length);
            drop_pass_answered(worker, &tally, ticket, &answer);
        } else {
            tell_unknown(worker, &answer);
        }
        at += answer.used;
        scanned = 0;
    }
    drop_tally_close(worker, &tally);
    return at;
}

/* What was not sent whole goes back, the newest first so that the mailbox has them in order. */
static void give_back_unsent(struct drop_worker *worker)
{
    size_t length = drop_buffer_length(&worker->outgoing);
    char *bytes = length ? drop_buffer_data(&worker->outgoing) : NULL;
    while (length) {
        char *before = memrchr(bytes, '\n', length - 1);
        char *line = before ? before + 1 : bytes;
        size_t used = 0;
        uint32_t line_length = (uint32_t)(bytes + length - 1 - line);
        struct place *place = find_place(worker->tokens, line, line_length, &used);
        length = (size_t)(line - bytes);
        if (!place)
            continue; /* timed out meanwhile */
        struct drop_ticket ticket = leave(worker, place);
        uint32_t payload_length = line_length - (uint32_t)used;
        if (worker->pool->options.ncm)
            payload_length = (uint32_t)drop_ncm_decode(line + used, payload_length);
        drop_worker_give_back(worker, &ticket, line + used, payload_length);
    }
}

static void settle_sent(struct drop_worker *worker, struct place *place, enum drop_status status,
                        const char *text)
{
    struct drop_pool *pool = worker->pool;
    uint64_t timeout_ns = pool->options.timeout_ns;
    struct drop_message *kept = place->kept;
    place->kept = NULL;
    struct drop_ticket ticket = leave(worker, place);
    /* Those whose own time is not over only shared the worker. */
    if (status == DROP_TIMEOUT && place->given_ns + timeout_ns > pool->reactor->now_ns) {
        status = DROP_ERROR;
        text = "its worker was killed, as it had answered nothing within the function's timeout";
    }
    if (status == DROP_TOO_LARGE) { /* the one whose answer it was has failed already */
        status = DROP_ERROR;
        text = "its worker was killed, as an answer of it was larger than the node's payload_max";
    }
    if (kept && status == DROP_ERROR && ticket.attempts < pool->options.retries
        && drop_ticket_is_wanted(&ticket)) {
        ticket.attempts++;
        pool->counters.retried++;
        kept->ticket = ticket;
        drop_pool_requeue(pool, kept);
        return;
    }
    drop_pool_fail_ticket(pool, &ticket, status, text);
    if (kept)
        drop_message_destroy(&pool->reactor->memory, kept);
}

void drop_tokened_settle(struct drop_worker *worker, enum drop_status status, const char *text)
{
    give_back_unsent(worker);
    for (uint32_t i = worker->tokens->capacity; i-- > 0;)
        if (worker->tokens->places[i].taken)
            settle_sent(worker, &worker->tokens->places[i], status, text);
    assert(worker->head == worker->tail);
}

bool drop_tokened_cancel(struct drop_worker *worker, struct drop_connection *connection,
                         uint64_t id)
{
    for (uint32_t i = 0; i < worker->tokens->capacity; i++) {
        struct place *place = &worker->tokens->places[i];
        if (!place->taken || place->ticket.connection != connection || place->ticket.id != id)
            continue;
        drop_worker_abandon(worker, &place->ticket, DROP_CANCELLED, "cancelled by the caller");
        return true;
    }
    return false;
}

/* The message took longer than the function may; its place is free for another one. */
static void time_out(struct drop_worker *worker, struct place *place)
{
    struct drop_ticket ticket = leave(worker, place);
    drop_pool_fail_ticket(worker->pool, &ticket, DROP_TIMEOUT,
                          "the function did not answer within its timeout");
}

void drop_tokened_expire(struct drop_worker *worker, uint64_t now_ns)
{
    struct drop_pool *pool = worker->pool;
    uint64_t timeout_ns = pool->options.timeout_ns;
    uint64_t earliest = DROP_NEVER;
    bool freed = false;
    for (uint32_t i = 0; i < worker->tokens->capacity; i++) {
        struct place *place = &worker->tokens->places[i];
        if (!place->taken)
            continue;
        uint64_t end_ns = timeout_ns ? place->given_ns + timeout_ns : DROP_NEVER;
        if (end_ns <= now_ns && place->ticket.flags & DROP_TICKET_PROBE) {
            drop_worker_gone(worker, "timeout", DROP_ERROR,
                             "its worker was killed, as it did not say in time that it is well");
            return;
        }
        if (end_ns <= now_ns) {
            time_out(worker, place);
            freed = true;
            continue;
        }
        uint64_t deadline_ns = drop_worker_check_deadline(worker, &place->ticket, now_ns);
        if (deadline_ns < end_ns)
            end_ns = deadline_ns;
        if (end_ns < earliest)
            earliest = end_ns;
    }
    drop_timer_arm_coarse(&worker->reactor->timers, &worker->timer, earliest, now_ns);
    if (!freed)
        return;
    if (worker->mark)
        drop_callmark_answered(worker->mark, drop_worker_inflight(worker));
    drop_pool_file_worker(pool, worker);
    drop_pool_refill(pool);
    if (worker->draining)
        drop_worker_check_drained(worker);
}
