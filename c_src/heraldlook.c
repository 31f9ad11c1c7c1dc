/* What others ask the herald about its peers; each call under the mutex, each result a copy. */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "heraldthread.h"

bool drop_herald_probe(struct drop_herald *herald, const uint8_t *node_id)
{
    pthread_mutex_lock(&herald->mutex);
    struct drop_peer *peer = drop_peers_find(&herald->peers, node_id);
    if (peer) {
        drop_heraldsend_probe(herald, peer, drop_clock_ns());
        drop_heraldsend_flush(herald);
    }
    pthread_mutex_unlock(&herald->mutex);
    return peer != NULL;
}

bool drop_herald_forget(struct drop_herald *herald, const uint8_t *node_id)
{
    pthread_mutex_lock(&herald->mutex);
    struct drop_peer *peer = drop_peers_find(&herald->peers, node_id);
    drop_peers_forget(&herald->peers, peer);
    pthread_mutex_unlock(&herald->mutex);
    return peer != NULL;
}

/* Under the mutex: nothing is left to take. */
static void clear_event(const struct drop_herald *herald)
{
    uint64_t ignored;
    if (drop_peers_has_news(&herald->peers))
        return;
    ssize_t length = read(herald->event, &ignored, sizeof ignored);
    (void)length; /* EAGAIN: it was not set */
}

enum drop_peers_happening drop_herald_take(struct drop_herald *herald, struct drop_peer *peer,
                                           uint64_t *silent_ns)
{
    struct drop_peer *taken;
    pthread_mutex_lock(&herald->mutex);
    enum drop_peers_happening happening = drop_peers_take(&herald->peers, &taken);
    if (happening != DROP_PEERS_NOTHING) {
        *peer = *taken;
        *silent_ns = drop_clock_ns() - taken->heard_at;
    }
    clear_event(herald);
    pthread_mutex_unlock(&herald->mutex);
    return happening;
}

bool drop_herald_take_conflict(struct drop_herald *herald, struct drop_peers_conflict *conflict)
{
    pthread_mutex_lock(&herald->mutex);
    bool is_new = drop_peers_take_conflict(&herald->peers, conflict);
    clear_event(herald);
    pthread_mutex_unlock(&herald->mutex);
    return is_new;
}

static bool is_asked_for(const struct drop_peer *peer, bool verified)
{
    return verified ? drop_peers_is_there(peer) : peer->is_used && peer->life.incarnation == 0;
}

bool drop_herald_next(struct drop_herald *herald, bool verified, uint32_t *cursor,
                      struct drop_peer *peer, uint64_t *silent_ns)
{
    bool found = false;
    pthread_mutex_lock(&herald->mutex);
    while (!found && *cursor < herald->peers.high) {
        const struct drop_peer *at = &herald->peers.entries[(*cursor)++];
        found = is_asked_for(at, verified);
        if (found) {
            *peer = *at;
            *silent_ns = drop_clock_ns() - at->heard_at;
        }
    }
    pthread_mutex_unlock(&herald->mutex);
    return found;
}

bool drop_herald_next_silent(struct drop_herald *herald, uint64_t least, uint32_t *cursor,
                             uint8_t *node_id, uint64_t *silent_ns)
{
    bool found = false;
    pthread_mutex_lock(&herald->mutex);
    uint64_t now = drop_clock_ns();
    while (!found && *cursor < herald->peers.high) {
        const struct drop_peer *at = &herald->peers.entries[(*cursor)++];
        *silent_ns = now - at->heard_at;
        found = drop_peers_is_there(at) && *silent_ns >= least;
        if (found)
            memcpy(node_id, at->node_id, DROP_BEACON_ID);
    }
    pthread_mutex_unlock(&herald->mutex);
    return found;
}

void drop_herald_statistics(struct drop_herald *herald, struct drop_herald_statistics *statistics)
{
    pthread_mutex_lock(&herald->mutex);
    uint64_t now = drop_clock_ns();
    *statistics = herald->counters;
    statistics->evicted = herald->peers.evicted;
    statistics->lost = herald->peers.lost;
    statistics->peers = herald->peers.used;
    statistics->is_deaf =
        herald->dropped_at != 0 && now - herald->dropped_at < DROP_HERALD_DEAF_NS;
    statistics->is_hung =
        herald->is_running && now - herald->vouched_at > DROP_HERALD_VOUCH_NS;
    pthread_mutex_unlock(&herald->mutex);
}
