#include "peertable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- its life ---- */

int drop_peertable_open(struct drop_peers *peers, uint32_t capacity)
{
    uint32_t places = 2;
    while (places < 2 * capacity) /* at most half full: a look-up is one or two places */
        places *= 2;
    peers->index = calloc(places, sizeof *peers->index);
    peers->entries = calloc(capacity, sizeof *peers->entries);
    peers->mask = places - 1;
    peers->capacity = capacity;
    if (peers->index && peers->entries)
        return 0;
    drop_peertable_close(peers);
    return ENOMEM;
}

void drop_peertable_close(struct drop_peers *peers)
{
    free(peers->index);
    free(peers->entries);
    peers->index = NULL;
    peers->entries = NULL;
}

/* ---- the index ---- */

/* Seeded, so that nobody can choose ids that collide. */
static uint32_t home_of(const struct drop_peers *peers, const uint8_t *node_id)
{
    uint64_t words[2];
    memcpy(words, node_id, sizeof words);
    uint64_t hash = (words[0] ^ peers->seed) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ hash >> 32 ^ words[1]) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(hash >> 32) & peers->mask;
}

static uint32_t number_of(const struct drop_peers *peers, const struct drop_peer *peer)
{
    return (uint32_t)(peer - peers->entries) + 1;
}

struct drop_peer *drop_peers_find(const struct drop_peers *peers, const uint8_t *node_id)
{
    for (uint32_t at = home_of(peers, node_id);; at = (at + 1) & peers->mask) {
        uint32_t number = peers->index[at];
        if (number == 0)
            return NULL;
        if (memcmp(peers->entries[number - 1].node_id, node_id, DROP_BEACON_ID) == 0)
            return &peers->entries[number - 1];
    }
}

static void enter(struct drop_peers *peers, const struct drop_peer *peer)
{
    uint32_t at = home_of(peers, peer->node_id);
    while (peers->index[at] != 0)
        at = (at + 1) & peers->mask;
    peers->index[at] = number_of(peers, peer);
}

/* Closes the gap, so that no mark of a deleted entry is needed: what follows moves up, unless it
 * would come before its home. */
static void erase(struct drop_peers *peers, const struct drop_peer *peer)
{
    uint32_t gap = home_of(peers, peer->node_id), number = number_of(peers, peer);
    while (peers->index[gap] != number)
        gap = (gap + 1) & peers->mask;
    for (uint32_t at = (gap + 1) & peers->mask; peers->index[at] != 0;
         at = (at + 1) & peers->mask) {
        uint32_t home = home_of(peers, peers->entries[peers->index[at] - 1].node_id);
        if (((at - home) & peers->mask) >= ((at - gap) & peers->mask)) {
            peers->index[gap] = peers->index[at];
            gap = at;
        }
    }
    peers->index[gap] = 0;
}

/* ---- news ---- */

void drop_peertable_queue(struct drop_peers *peers, struct drop_peer *peer)
{
    if (peer->is_queued)
        return;
    uint32_t number = number_of(peers, peer);
    peer->is_queued = true;
    peer->next = 0;
    if (peers->first_queued == 0)
        peers->first_queued = number;
    else
        peers->entries[peers->last_queued - 1].next = number;
    peers->last_queued = number;
}

void drop_peertable_unqueue(struct drop_peers *peers)
{
    struct drop_peer *first = &peers->entries[peers->first_queued - 1];
    peers->first_queued = first->next;
    first->is_queued = false;
}

/* Rare, so the list is walked. */
static void cut_from_queue(struct drop_peers *peers, const struct drop_peer *peer)
{
    uint32_t number = number_of(peers, peer), before = 0;
    for (uint32_t at = peers->first_queued; at != number; at = peers->entries[at - 1].next)
        before = at;
    if (before == 0)
        peers->first_queued = peer->next;
    else
        peers->entries[before - 1].next = peer->next;
    if (peers->last_queued == number)
        peers->last_queued = before;
}

/* ---- entries ---- */

void drop_peers_forget(struct drop_peers *peers, struct drop_peer *peer)
{
    if (!peer)
        return;
    erase(peers, peer);
    if (peer->is_queued)
        cut_from_queue(peers, peer);
    memset(peer, 0, sizeof *peer);
    peer->next = peers->first_free;
    peers->first_free = number_of(peers, peer);
    peers->used--;
}

/* Lower is sooner to go. */
static unsigned worth_of(const struct drop_peer *peer)
{
    if (peer->life.incarnation == 0)
        return 0;
    return peer->has_left ? 1 : 2;
}

static bool make_room(struct drop_peers *peers)
{
    struct drop_peer *worst = &peers->entries[0];
    for (uint32_t i = 1; i < peers->high; i++) {
        struct drop_peer *peer = &peers->entries[i];
        unsigned worth = worth_of(peer), least = worth_of(worst);
        if (worth < least || (worth == least && peer->heard_at < worst->heard_at))
            worst = peer;
    }
    if (worth_of(worst) == 2)
        return false;
    peers->evicted += worth_of(worst) == 0;
    peers->lost += worst->is_queued;
    drop_peers_forget(peers, worst);
    return true;
}

struct drop_peer *drop_peertable_add(struct drop_peers *peers, const uint8_t *node_id,
                                     uint64_t now)
{
    if (peers->used == peers->capacity && !make_room(peers))
        return NULL;
    struct drop_peer *peer;
    if (peers->first_free != 0) {
        peer = &peers->entries[peers->first_free - 1];
        peers->first_free = peer->next;
    } else {
        peer = &peers->entries[peers->high++];
    }
    peer->is_used = true;
    peer->next = 0;
    peer->heard_at = now;
    memcpy(peer->node_id, node_id, DROP_BEACON_ID);
    enter(peers, peer);
    peers->used++;
    return peer;
}
