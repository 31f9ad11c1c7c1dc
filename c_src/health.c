/* See health.h. One block serves both: a worker that is not ready is not asked. */
#include "health.h"

#include <stdlib.h>

#include "pass.h"

/* bytes of a first line that may still become the ready line */
#define READY_LINE_MAX 4096u

static struct drop_health *create(const char *text, uint32_t length)
{
    struct drop_health *health = calloc(1, sizeof *health + length);
    if (health && length)
        memcpy(health->text, text, length);
    return health;
}

int drop_health_await(struct drop_worker *worker, const char *text, uint32_t length)
{
    worker->health = create(text, length);
    if (!worker->health)
        return -1;
    worker->health->ready_length = length;
    return 0;
}

size_t drop_health_ready(struct drop_worker *worker, const char *bytes, size_t length, bool *good)
{
    struct drop_health *health = worker->health;
    const char *newline = memchr(bytes, '\n', length);
    size_t end = newline ? (size_t)(newline - bytes) : length;
    size_t compared = end < health->ready_length ? end : health->ready_length;
    *good = memcmp(bytes, health->text, compared) == 0 && end <= READY_LINE_MAX
            && (!newline || end >= health->ready_length);
    if (!*good || !newline)
        return 0;
    free(health);
    worker->health = NULL;
    worker->unready = false;
    drop_reactor_tell(worker->reactor, DROP_WORKER_READY, worker->pool->id, worker->id, 0, NULL, 0);
    drop_worker_feed_own(worker);
    drop_pool_file_worker(worker->pool, worker);
    drop_pool_refill(worker->pool);
    return end + 1;
}

static void tell(struct drop_worker *worker, const char *outcome)
{
    drop_reactor_tell(worker->reactor, DROP_WORKER_HEALTH, worker->pool->id, worker->id, 0, outcome,
                      strlen(outcome));
}

void drop_health_probe(struct drop_worker *worker, const char *payload, uint32_t length,
                       const char *expect, uint32_t expect_length)
{
    struct drop_ticket ticket = {
        .accepted_ns = worker->reactor->now_ns,
        .deadline_ns = DROP_NEVER,
        .flags = DROP_TICKET_PROBE,
    };
    enum drop_kind kind = worker->pool->options.kind;
    bool askable = kind == DROP_KIND_LINE || kind == DROP_KIND_FRAME || kind == DROP_KIND_ASYNC;
    if (!askable || drop_worker_inflight(worker) || worker->own.first
        || !drop_worker_has_room(worker)) {
        tell(worker, "busy");
        return;
    }
    worker->health = create(expect, expect_length);
    if (!worker->health || drop_worker_give(worker, &ticket, payload, length)) {
        free(worker->health);
        worker->health = NULL;
        tell(worker, "busy");
        return;
    }
    worker->health->expect_length = expect_length;
    worker->health->any = !expect;
    worker->reactor->pending++;
}

void drop_health_answered(struct drop_worker *worker, const struct drop_answer *answer)
{
    struct drop_health *health = worker->health;
    bool good = health->any
                || (answer->length == health->expect_length
                    && memcmp(answer->bytes, health->text, answer->length) == 0);
    free(health);
    worker->health = NULL;
    tell(worker, good ? "ok" : "wrong");
}
