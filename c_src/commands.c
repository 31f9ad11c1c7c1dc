/* Commands of other threads, carried out in the reactor's own; one function each, one table. The
 * fields of each are in channel.h. A command names things by id; what is gone by the time it is
 * read is passed over. */
#include "commands.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "exec.h"
#include "health.h"
#include "nursery.h"
#include "reactor.h"
#include "statistics.h"

static struct drop_worker *find_worker(struct drop_reactor *reactor, uint64_t id)
{
    struct drop_worker *worker = reactor->workers[id % DROP_WORKER_BUCKETS];
    while (worker && worker->id != id)
        worker = worker->next_by_id;
    return worker;
}

static void do_listen(struct drop_reactor *reactor, struct drop_record *record)
{
    drop_listener_create(reactor, record->a, (int)record->b, record->c != 0);
}

static void do_listen_stop(struct drop_reactor *reactor, struct drop_record *record)
{
    for (struct drop_listener *listener = reactor->listeners; listener; listener = listener->next)
        if (listener->id == record->a) {
            drop_listener_destroy(listener);
            return;
        }
}

static void do_pool_create(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool_options options;
    assert(record->length == sizeof options);
    memcpy(&options, record->bytes, sizeof options);
    drop_pool_create(reactor, record->a, &options);
}

static void do_pool_remove(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, record->a);
    if (pool)
        drop_pool_destroy(pool);
}

static void do_pool_drain(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, record->a);
    if (pool)
        drop_pool_drain(pool);
}

static void do_pool_refuse(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, record->a);
    if (pool)
        drop_pool_refuse(pool, record->length ? record->bytes : NULL);
}

static void do_worker_add(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, record->a);
    struct drop_worker *worker = NULL;
    struct drop_worker_parts parts;
    memcpy(&parts, record->bytes, sizeof parts);
    parts.ready = record->bytes + sizeof parts;
    assert(record->length == sizeof parts + parts.ready_length);
    if (pool && pool->options.kind != DROP_KIND_CONTROL && pool->options.kind != DROP_KIND_EXEC)
        worker = drop_worker_create(pool, record->b, &parts);
    if (worker) {
        drop_pool_refill(pool);
        return;
    }
    static const char reason[] = "memory";
    close(parts.stdin_fd);
    close(parts.stdout_fd);
    drop_callmark_release(parts.mark);
    drop_reactor_tell(reactor, DROP_WORKER_GONE, record->a, record->b, 0, reason,
                      sizeof reason - 1);
}

static void do_worker_remove(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_worker *worker = find_worker(reactor, record->a);
    if (!worker)
        return;
    if (record->b)
        drop_worker_drain(worker);
    else
        drop_worker_gone(worker, "removed", DROP_ERROR, "the worker was removed");
}

static void do_worker_exited(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_worker *worker = find_worker(reactor, record->a);
    if (worker)
        drop_worker_exited(worker, record->length ? record->bytes : "how is not known");
}

static void do_worker_probe(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_worker *worker = find_worker(reactor, record->a);
    if (worker)
        drop_health_probe(worker, record->bytes, (uint32_t)record->b,
                          record->c ? NULL : record->bytes + record->b,
                          (uint32_t)(record->length - record->b));
}

static void do_exec(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, record->a);
    struct drop_exec_options options;
    assert(record->length == sizeof options);
    memcpy(&options, record->bytes, sizeof options);
    if (!pool || pool->options.kind != DROP_KIND_EXEC) {
        drop_recipe_release(options.recipe);
        return;
    }
    static const char text[] = "there is no memory for its processes";
    if (drop_exec_configure(pool, &options))
        drop_reactor_tell(reactor, DROP_SPAWN_FAILED, pool->id, ENOMEM, DROP_SPAWN_CLONE, text,
                          sizeof text - 1);
}

static void do_exec_resume(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *pool = drop_pool_by_id(reactor, record->a);
    if (pool)
        drop_exec_resume(pool);
}

static void do_born(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_birth birth;
    assert(record->length == sizeof birth);
    memcpy(&birth, record->bytes, sizeof birth);
    /* The upper half of the numbers is ours; the control plane counts from 1. */
    drop_exec_born(reactor, drop_pool_by_id(reactor, record->a), &birth,
                   1ull << 63 | ++reactor->births);
}

static void do_tail(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_worker *worker = find_worker(reactor, record->a);
    if (worker && worker->execution)
        drop_exec_tail(worker, record->bytes, record->length);
}

static void do_subscribe(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_pool *source = drop_pool_by_id(reactor, record->b);
    struct drop_pool *target = drop_pool_by_id(reactor, record->c >> 1);
    if (!source || !target || target->options.kind == DROP_KIND_CONTROL)
        return; /* the control plane answers requests, which events are not */
    struct drop_subscription *subscription = drop_subscription_create(
        source, record->a, record->bytes, (uint32_t)record->length);
    if (!subscription)
        return;
    subscription->target = target;
    /* Processes of kind exec are not there to be told all the same thing. */
    subscription->broadcast = (record->c & 1) && target->options.kind != DROP_KIND_EXEC;
}

static void do_unsubscribe(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_subscription *subscription = drop_subscription_find(reactor, record->a);
    if (!subscription)
        return;
    struct drop_pool *target = subscription->target;
    drop_subscription_destroy(subscription);
    /* A source that waits for room there may not have to any more. */
    drop_waitlist_serve(reactor, &target->waitlist, NULL, NULL);
}

static void do_answer(struct drop_reactor *reactor, struct drop_record *record)
{
    drop_pool_answer_token(reactor, record->a, (enum drop_status)record->b, record->bytes,
                           record->length);
}

static void do_statistics(struct drop_reactor *reactor, struct drop_record *record)
{
    struct drop_buffer json = {0};
    if (drop_statistics_write(reactor, NULL, &json))
        drop_reactor_tell(reactor, DROP_STATISTICS_READY, record->a, 0, 0, "{}", 2);
    else
        drop_reactor_tell(reactor, DROP_STATISTICS_READY, record->a, 0, 0, drop_buffer_data(&json),
                          drop_buffer_length(&json));
    drop_buffer_release(&json, &reactor->memory);
}

static void do_drain(struct drop_reactor *reactor, struct drop_record *record)
{
    (void)record;
    drop_reactor_drain(reactor);
}

static void do_stop(struct drop_reactor *reactor, struct drop_record *record)
{
    (void)record;
    reactor->stopping = true;
}

static void (*const table[DROP_COMMAND_COUNT])(struct drop_reactor *, struct drop_record *) = {
    [DROP_COMMAND_LISTEN] = do_listen,
    [DROP_COMMAND_LISTEN_STOP] = do_listen_stop,
    [DROP_COMMAND_POOL_CREATE] = do_pool_create,
    [DROP_COMMAND_POOL_REMOVE] = do_pool_remove,
    [DROP_COMMAND_POOL_DRAIN] = do_pool_drain,
    [DROP_COMMAND_POOL_REFUSE] = do_pool_refuse,
    [DROP_COMMAND_WORKER_ADD] = do_worker_add,
    [DROP_COMMAND_WORKER_REMOVE] = do_worker_remove,
    [DROP_COMMAND_WORKER_EXITED] = do_worker_exited,
    [DROP_COMMAND_WORKER_PROBE] = do_worker_probe,
    [DROP_COMMAND_EXEC] = do_exec,
    [DROP_COMMAND_EXEC_RESUME] = do_exec_resume,
    [DROP_COMMAND_BORN] = do_born,
    [DROP_COMMAND_TAIL] = do_tail,
    [DROP_COMMAND_SUBSCRIBE] = do_subscribe,
    [DROP_COMMAND_UNSUBSCRIBE] = do_unsubscribe,
    [DROP_COMMAND_ANSWER] = do_answer,
    [DROP_COMMAND_STATISTICS] = do_statistics,
    [DROP_COMMAND_DRAIN] = do_drain,
    [DROP_COMMAND_STOP] = do_stop,
};

void drop_commands_run(struct drop_reactor *reactor)
{
    struct drop_record *record = drop_channel_take(&reactor->commands);
    while (record) {
        struct drop_record *next = record->next;
        if (record->kind == DROP_COMMAND_PUBLISH) {
            drop_batch_start(reactor, record); /* keeps the record */
        } else {
            table[record->kind](reactor, record);
            free(record);
        }
        record = next;
    }
}
