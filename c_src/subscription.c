/* Who gets the answers of a pool; see subscription.h. */
#define _GNU_SOURCE
#include "subscription.h"

#include <stdlib.h>
#include <string.h>

#include "reactor.h"

struct drop_subscription *drop_subscription_create(struct drop_pool *source, uint64_t id,
                                                   const char *filter, uint32_t length)
{
    struct drop_subscription *subscription = calloc(1, sizeof *subscription + length);
    if (!subscription)
        return NULL;
    if (source->subscription_count == source->subscription_capacity) {
        uint32_t capacity = source->subscription_capacity ? 2 * source->subscription_capacity : 4;
        struct drop_subscription **grown =
            realloc(source->subscriptions, capacity * sizeof(struct drop_subscription *));
        if (!grown) {
            free(subscription);
            return NULL;
        }
        source->subscriptions = grown;
        source->subscription_capacity = capacity;
    }
    subscription->id = id;
    subscription->source = source;
    subscription->filter_length = length;
    memcpy(subscription->filter, filter, length);
    source->subscriptions[source->subscription_count++] = subscription;
    return subscription;
}

void drop_subscription_destroy(struct drop_subscription *subscription)
{
    struct drop_pool *source = subscription->source;
    uint32_t i = 0;
    while (source->subscriptions[i] != subscription)
        i++;
    /* The order of the others stays: flows expect events in the order in which they were
     * declared. */
    source->subscription_count--;
    memmove(&source->subscriptions[i], &source->subscriptions[i + 1],
            (source->subscription_count - i) * sizeof(struct drop_subscription *));
    if (subscription->connection) {
        struct drop_subscription **link = &subscription->connection->subscriptions;
        while (*link != subscription)
            link = &(*link)->next_of_connection;
        *link = subscription->next_of_connection;
        subscription->connection->subscription_count--;
    }
    free(subscription);
}

/* The subscription of the first pool that has one which fits; both are rare operations of the
 * control plane. */
static struct drop_subscription *find(struct drop_reactor *reactor, uint64_t id,
                                      const struct drop_pool *target)
{
    for (uint32_t bucket = 0; bucket < DROP_POOL_BUCKETS; bucket++)
        for (struct drop_pool *pool = reactor->pools_by_id[bucket]; pool; pool = pool->next_by_id)
            for (uint32_t i = 0; i < pool->subscription_count; i++) {
                struct drop_subscription *subscription = pool->subscriptions[i];
                if (subscription->target
                    && (target ? subscription->target == target : subscription->id == id))
                    return subscription;
            }
    return NULL;
}

struct drop_subscription *drop_subscription_find(struct drop_reactor *reactor, uint64_t id)
{
    return find(reactor, id, NULL);
}

void drop_subscriptions_forget_target(struct drop_reactor *reactor, struct drop_pool *pool)
{
    struct drop_subscription *subscription;
    while ((subscription = find(reactor, 0, pool)))
        drop_subscription_destroy(subscription);
}

static inline bool matches(const struct drop_subscription *subscription, const char *bytes,
                           uint32_t length)
{
    return !subscription->filter_length
           || memmem(bytes, length, subscription->filter, subscription->filter_length);
}

/* Of an answer as it came: its newlines are still ncm, so a filter with one cannot be judged. */
static bool may_match(const struct drop_pool *pool, const struct drop_subscription *subscription,
                      const char *bytes, uint32_t length)
{
    return matches(subscription, bytes, length)
           || (pool->options.ncm
               && memchr(subscription->filter, '\n', subscription->filter_length));
}

/* The line to stand in when this subscription must not lose the event and has no room; NULL: go
 * on. */
static struct drop_waitlist *obstacle(const struct drop_subscription *subscription)
{
    struct drop_pool *target = subscription->target;
    if (!target)
        return subscription->wait && !drop_connection_has_room(subscription->connection)
                   ? &subscription->connection->waitlist
                   : NULL;
    if (!drop_pool_slows_sources(target))
        return NULL;
    bool room = subscription->broadcast ? drop_pool_has_broadcast_room(target)
                                        : drop_pool_has_room(target);
    return room ? NULL : &target->waitlist;
}

bool drop_events_admit(struct drop_pool *pool, struct drop_waiter *waiter, const char *bytes,
                       uint32_t length)
{
    for (uint32_t i = 0; i < pool->subscription_count; i++) {
        struct drop_subscription *subscription = pool->subscriptions[i];
        struct drop_waitlist *list = obstacle(subscription);
        if (list && may_match(pool, subscription, bytes, length)) {
            drop_waiter_join(waiter, list);
            return false;
        }
    }
    return true;
}

void drop_events_emit(struct drop_pool *pool, uint64_t id, const char *bytes, uint32_t length)
{
    if (pool->subscription_count > 1)
        pool->reactor->lender = NULL; /* each needs it */
    for (uint32_t i = 0; i < pool->subscription_count; i++) {
        struct drop_subscription *subscription = pool->subscriptions[i];
        if (!matches(subscription, bytes, length))
            continue;
        pool->counters.events++;
        if (subscription->target)
            drop_pool_take_event(subscription->target, id, bytes, length, subscription->broadcast);
        else
            drop_connection_event(subscription->connection, subscription, bytes, length);
    }
}
