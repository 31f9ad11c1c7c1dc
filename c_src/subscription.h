/* Subscriptions: the answers of a pool, as messages of another pool or as events of a client. */
#ifndef DROP_SUBSCRIPTION_H
#define DROP_SUBSCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"
#include "waiter.h"

struct drop_pool;
struct drop_connection;
struct drop_reactor;

struct drop_subscription {
    uint64_t id; /* of the control plane, or the client's */
    struct drop_pool *source;
    struct drop_pool *target; /* NULL: a client's */
    struct drop_connection *connection;
    struct drop_subscription *next_of_connection;
    uint64_t lost; /* events a slow client did not get and was not told of yet */
    bool broadcast; /* to every worker of the target */
    bool wait;      /* a client that must not lose */
    uint32_t filter_length;
    char filter[];
};

struct drop_subscription *drop_subscription_create(struct drop_pool *source, uint64_t id,
                                                   const char *filter, uint32_t length);
/* Takes it out of its source and its connection, and frees it. */
void drop_subscription_destroy(struct drop_subscription *subscription);
struct drop_subscription *drop_subscription_find(struct drop_reactor *reactor, uint64_t id);
/* Ends all subscriptions whose events go to `pool`. */
void drop_subscriptions_forget_target(struct drop_reactor *reactor, struct drop_pool *pool);

/* Whether the event can go everywhere it must. False: `waiter` stands in the line of one that has
 * no room. */
bool drop_events_admit(struct drop_pool *pool, struct drop_waiter *waiter, const char *bytes,
                       uint32_t length);
/* Hands the event to every subscription whose filter matches. `id`: of the message that caused it,
 * by which a call is followed through a flow. */
void drop_events_emit(struct drop_pool *pool, uint64_t id, const char *bytes, uint32_t length);

#endif
