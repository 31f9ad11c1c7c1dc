/* Framing messages, matching answers with the oldest ticket, settling; see ordered.h. */
#include "ordered.h"

#include <assert.h>
#include <stdlib.h>

#include "health.h"
#include "length.h"
#include "line.h"
#include "pass.h"

static int grow_tickets(struct drop_worker *worker)
{
    uint32_t capacity = worker->ticket_mask + 1;
    struct drop_ticket *tickets = malloc(2 * capacity * sizeof *tickets);
    if (!tickets)
        return -1;
    for (uint32_t i = worker->head; i != worker->tail; i++)
        tickets[i & (2 * capacity - 1)] = worker->tickets[i & worker->ticket_mask];
    free(worker->tickets);
    worker->tickets = tickets;
    worker->ticket_mask = 2 * capacity - 1;
    return 0;
}

/* Appends the message as the worker's kind frames it; the framed length, or 0 without memory. */
static inline size_t append_framed(struct drop_worker *worker, const char *payload,
                                   uint32_t length)
{
    const struct drop_pool_options *options = &worker->pool->options;
    bool line = options->kind == DROP_KIND_LINE;
    size_t body = line && options->ncm ? drop_ncm_encoded_length(payload, length) : length;
    size_t before = line ? 0 : DROP_LENGTH_PREFIX;
    size_t behind = line;
    char *place = drop_worker_frame(worker, payload, length, body, before, behind);
    if (!place)
        return 0;
    if (line)
        place[body] = '\n';
    else
        drop_length_put(place, length);
    return before + body + behind;
}

int drop_ordered_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                      const char *payload, uint32_t length)
{
    if (drop_worker_inflight(worker) > worker->ticket_mask && grow_tickets(worker))
        return -1;
    size_t framed = append_framed(worker, payload, length);
    if (!framed)
        return -1;
    struct drop_ticket *mine = &worker->tickets[worker->tail & worker->ticket_mask];
    *mine = *ticket;
    mine->length = (uint32_t)framed;
    return 0;
}

static inline enum drop_found find_answer(struct drop_worker *worker, char *bytes, size_t length,
                                          size_t scanned, struct drop_answer *answer)
{
    size_t payload_max = worker->reactor->options.payload_max;
    if (worker->pool->options.kind == DROP_KIND_LINE)
        return drop_find_line(worker, bytes, length, scanned, payload_max, answer);
    uint64_t total = drop_length_total(bytes, length);
    if (total > payload_max + DROP_LENGTH_PREFIX)
        return DROP_TOO_LONG;
    if (total == 0 || total > length) {
        worker->needed = (size_t)total;
        return DROP_INCOMPLETE;
    }
    *answer = (struct drop_answer){bytes + DROP_LENGTH_PREFIX,
                                   (uint32_t)total - DROP_LENGTH_PREFIX, (size_t)total};
    return DROP_FOUND;
}

size_t drop_ordered_parse(struct drop_worker *worker, char *bytes, size_t length,
                          enum drop_pass *end)
{
    struct drop_pool *pool = worker->pool;
    struct drop_tally tally = {0};
    struct drop_buffer *lender = worker->reactor->lender;
    size_t at = 0;
    size_t scanned = worker->scanned;
    worker->scanned = worker->needed = 0;
    while (at < length) {
        struct drop_answer answer;
        /* Not only a whole answer: what has begun would become the beginning of the next one. */
        if (worker->head == worker->tail) {
            *end = DROP_PASS_UNASKED;
            break;
        }
        enum drop_found found = find_answer(worker, bytes + at, length - at, scanned, &answer);
        if (found != DROP_FOUND) {
            if (found == DROP_TOO_LONG)
                *end = DROP_PASS_TOO_LONG;
            break;
        }
        struct drop_ticket ticket = worker->tickets[worker->head & worker->ticket_mask];
        worker->early = tally.outgoing + ticket.length > worker->written;
        if (worker->early || !drop_pass_admit(pool, worker, &answer)) {
            *end = DROP_PASS_STOPPED;
            break;
        }
        if (pool->options.ncm)
            answer.length = (uint32_t)drop_ncm_decode(answer.bytes, answer.length);
        worker->head++;
        drop_pass_lend(worker, lender, at + answer.used == length);
        drop_pass_answered(worker, &tally, ticket, &answer);
        tally.outgoing += ticket.length;
        at += answer.used;
        scanned = 0;
    }
    drop_tally_close(worker, &tally);
    return at;
}

/* The payload that was framed in `bytes`; ncm is undone in place. */
static char *unframe(const struct drop_worker *worker, char *bytes, uint32_t framed,
                     uint32_t *length)
{
    if (worker->pool->options.kind == DROP_KIND_FRAME) {
        *length = framed - DROP_LENGTH_PREFIX;
        return bytes + DROP_LENGTH_PREFIX;
    }
    *length = framed - 1;
    if (worker->pool->options.ncm)
        *length = (uint32_t)drop_ncm_decode(bytes, *length);
    return bytes;
}

/* From the newest to the oldest, so that the mailbox has them in order again. */
void drop_ordered_settle(struct drop_worker *worker, enum drop_status status, const char *text)
{
    struct drop_pool *pool = worker->pool;
    char *bytes = worker->outgoing.bytes ? drop_buffer_data(&worker->outgoing) : NULL;
    size_t offset = drop_buffer_length(&worker->outgoing);
    /* A large message is alone in it, and its block may be taken back for it. */
    while (worker->tail != worker->head) {
        struct drop_ticket *ticket = &worker->tickets[--worker->tail & worker->ticket_mask];
        offset -= ticket->length;
        pool->inflight--;
        /* Of a message that waits for the pipe nothing was lost with the worker. */
        bool head = worker->tail == worker->head && worker->written;
        if (head
            && (status != DROP_ERROR || ticket->attempts >= pool->options.retries
                || !drop_ticket_is_wanted(ticket))) {
            drop_pool_fail_ticket(pool, ticket, status, text);
            continue;
        }
        if (head) {
            ticket->attempts++;
            pool->counters.retried++;
        }
        uint32_t length;
        char *payload = unframe(worker, bytes + offset, ticket->length, &length);
        drop_worker_give_back(worker, ticket, payload, length);
    }
    assert(offset == 0);
}
