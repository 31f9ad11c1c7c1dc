#include "peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "peerlife.h"
#include "peertable.h"

/* ---- its life ---- */

int drop_peers_init(struct drop_peers *peers, const struct drop_peers_options *options)
{
    memset(peers, 0, sizeof *peers);
    if (options->capacity == 0 || options->capacity > DROP_PEERS_MAX || options->interval == 0 ||
        options->incarnation == 0)
        return EINVAL;
    memcpy(peers->node_id, options->node_id, DROP_BEACON_ID);
    peers->incarnation = options->incarnation;
    peers->session = options->session;
    peers->interval = options->interval;
    drop_blake2s_start(&peers->challenges, sizeof(uint64_t), options->secret,
                       DROP_BLAKE2S_KEY_MAX, "DROPasks");
    memcpy(&peers->seed, options->secret, sizeof peers->seed);
    return drop_peertable_open(peers, options->capacity);
}

void drop_peers_close(struct drop_peers *peers)
{
    drop_peertable_close(peers);
}

void drop_peers_set_identity(struct drop_peers *peers, const uint8_t *node_id, uint64_t incarnation,
                             uint64_t session)
{
    drop_peers_forget(peers, drop_peers_find(peers, peers->node_id));
    drop_peers_forget(peers, drop_peers_find(peers, node_id));
    memcpy(peers->node_id, node_id, DROP_BEACON_ID);
    peers->incarnation = incarnation;
    peers->session = session;
}

/* ---- challenges ---- */

static uint64_t nonce_of(const struct drop_peers *peers, const uint8_t *node_id,
                         uint64_t incarnation, uint64_t session, uint64_t epoch)
{
    char said[DROP_BEACON_ID + 24];
    uint64_t nonce;
    memcpy(said, node_id, DROP_BEACON_ID);
    drop_put_u64(said + DROP_BEACON_ID, incarnation);
    drop_put_u64(said + DROP_BEACON_ID + 8, session);
    drop_put_u64(said + DROP_BEACON_ID + 16, epoch);
    drop_blake2s_finish(&peers->challenges, said, sizeof said, &nonce);
    return nonce ? nonce : 1; /* 0 says that nothing is echoed */
}

static uint64_t epoch_of(const struct drop_peers *peers, uint64_t now)
{
    return now / (DROP_PEERS_EPOCH * peers->interval) + 1;
}

static bool has_echoed(const struct drop_peers *peers, const struct drop_beacon *beacon,
                       uint64_t now)
{
    if (beacon->type != DROP_BEACON_BEACON || beacon->nonce == 0)
        return false;
    uint64_t epoch = epoch_of(peers, now);
    for (unsigned back = 0; back < 2; back++)
        if (beacon->nonce == nonce_of(peers, beacon->node_id, beacon->incarnation,
                                      beacon->session, epoch - back))
            return true;
    return false;
}

uint64_t drop_peers_ask(struct drop_peers *peers, struct drop_peer *peer, uint64_t now)
{
    const struct drop_life *life = peer->candidate.incarnation ? &peer->candidate : &peer->life;
    peer->asked_at = now;
    if (peer->asks < DROP_PEERS_ASKS_MAX)
        peer->asks++;
    return nonce_of(peers, peer->node_id, life->incarnation, life->session, epoch_of(peers, now));
}

/* Nobody has answered: an unverified entry goes, of a verified one only the question. */
static void give_up(struct drop_peers *peers, struct drop_peer *peer)
{
    peer->asks = 0;
    peer->candidate.incarnation = 0;
    if (peer->life.incarnation)
        return;
    peers->evicted++;
    drop_peers_forget(peers, peer);
}

struct drop_peer *drop_peers_next_asked(struct drop_peers *peers, uint64_t now, uint32_t *cursor,
                                        uint64_t *nonce)
{
    while (*cursor < peers->high) {
        struct drop_peer *peer = &peers->entries[(*cursor)++];
        if (!peer->is_used || peer->asks == 0 || now - peer->asked_at < peers->interval)
            continue;
        if (peer->asks >= DROP_PEERS_ASKS_MAX) {
            give_up(peers, peer);
            continue;
        }
        *nonce = drop_peers_ask(peers, peer, now);
        return peer;
    }
    return NULL;
}

/* ---- packets ---- */

/* Whether the life of a packet is over or the packet has come before. Changes nothing, so it may be
 * asked before the tag is looked at, which costs ten times as much. */
static enum drop_beacon_verdict look_up(const struct drop_peer *peer,
                                        const struct drop_beacon *beacon)
{
    const struct drop_life *life = &peer->life;
    if (drop_life_is_same(life, beacon)) {
        if (drop_life_has_seen(life, beacon->sequence))
            return DROP_BEACON_REPLAYED;
        return peer->has_left && beacon->type != DROP_BEACON_LEAVE ? DROP_BEACON_STALE
                                                                   : DROP_BEACON_ACCEPTED;
    }
    if (!drop_life_is_later(beacon, life) ||
        (peer->has_left && beacon->incarnation == life->incarnation))
        return DROP_BEACON_STALE;
    return drop_life_is_same(&peer->candidate, beacon) &&
                   drop_life_has_seen(&peer->candidate, beacon->sequence)
               ? DROP_BEACON_REPLAYED
               : DROP_BEACON_ACCEPTED;
}

/* Whether the packet says what the entry has; load and the like change all the time. */
static bool says_the_same(const struct drop_peer *peer, const struct drop_beacon *beacon)
{
    const struct drop_beacon_text *text = &peer->text;
    return peer->port == beacon->port && text->length == beacon->text_length &&
           text->name_length == beacon->name_length &&
           text->namespace_length == beacon->namespace_length &&
           text->version_length == beacon->version_length &&
           text->addresses == beacon->addresses &&
           memcmp(text->bytes, beacon->text, text->length) == 0;
}

static void note(struct drop_peer *peer, const struct drop_beacon *beacon,
                 const struct drop_beacon_keys *keys, const struct drop_place *source)
{
    peer->source = *source;
    memcpy(peer->key_id, keys->keys[beacon->key].id, sizeof peer->key_id);
    peer->port = beacon->port;
    peer->load = beacon->load;
    peer->cpus = beacon->cpus;
    peer->workers = beacon->workers;
    peer->memory_mib = beacon->memory_mib;
    peer->text.name_length = beacon->name_length;
    peer->text.namespace_length = beacon->namespace_length;
    peer->text.version_length = beacon->version_length;
    peer->text.addresses = beacon->addresses;
    peer->text.length = beacon->text_length;
    memcpy(peer->text.bytes, beacon->text, beacon->text_length);
}

/* What a packet comes with. */
struct arrival {
    const struct drop_beacon *beacon;
    const struct drop_beacon_keys *keys;
    const struct drop_place *source;
    uint64_t now;
};

static bool is_clone(const struct drop_peers *peers, const struct drop_peer *peer)
{
    return memcmp(peer->node_id, peers->node_id, DROP_BEACON_ID) == 0;
}

static void hear(struct drop_peers *peers, struct drop_peer *peer, const struct arrival *arrival,
                 bool is_news)
{
    bool changed = is_news || !says_the_same(peer, arrival->beacon);
    note(peer, arrival->beacon, arrival->keys, arrival->source);
    peer->heard_at = arrival->now;
    if (changed) {
        peer->is_new = true;
        drop_peertable_queue(peers, peer);
    }
}

static void leave(struct drop_peers *peers, struct drop_peer *peer)
{
    if (peer->has_left)
        return;
    peer->has_left = true;
    peer->asks = 0;
    peer->is_gone = true;
    drop_peertable_queue(peers, peer);
}

/* A packet of the life that we know. One that is not the newest says nothing about now (it was held
 * back, by the network or by somebody), unless it echoes. */
static void go_on(struct drop_peers *peers, struct drop_peer *peer, const struct arrival *arrival,
                  struct drop_peers_outcome *outcome)
{
    const struct drop_beacon *beacon = arrival->beacon;
    bool is_doubted = arrival->now - peer->heard_at > DROP_PEERS_DOUBT * peers->interval;
    bool is_newest = beacon->sequence > peer->life.top;
    bool echoes = has_echoed(peers, beacon, arrival->now);
    drop_life_mark_seen(&peer->life, beacon->sequence);
    outcome->is_verified = echoes || !is_doubted;
    if (beacon->type == DROP_BEACON_LEAVE) {
        leave(peers, peer);
        return;
    }
    if (echoes && peer->candidate.incarnation == 0)
        peer->asks = 0;
    if (is_newest && (echoes || !is_doubted)) {
        hear(peers, peer, arrival, is_doubted);
    } else if (echoes) {
        peer->heard_at = arrival->now;
    } else if (is_doubted && peer->asks == 0) {
        outcome->challenge = true;
        outcome->nonce = drop_peers_ask(peers, peer, arrival->now);
    }
}

/* It lives, and has our id. It is told and forgotten: whichever of the two takes another id, the
 * next clone is met anew. */
static void tell_conflict(struct drop_peers *peers, struct drop_peer *peer,
                          const struct arrival *arrival)
{
    peers->conflict = (struct drop_peers_conflict){.is_new = true,
                                                   .incarnation = arrival->beacon->incarnation,
                                                   .session = arrival->beacon->session,
                                                   .source = *arrival->source};
    drop_peers_forget(peers, peer);
}

/* A life has echoed: from here on it is this node's. */
static void verify_life(struct drop_peers *peers, struct drop_peer *peer,
                        const struct arrival *arrival)
{
    const struct drop_beacon *beacon = arrival->beacon;
    if (is_clone(peers, peer)) {
        tell_conflict(peers, peer, arrival);
        return;
    }
    if (drop_life_is_same(&peer->candidate, beacon)) {
        peer->life = peer->candidate;
        drop_life_mark_seen(&peer->life, beacon->sequence);
    } else {
        drop_life_begin(&peer->life, beacon);
    }
    peer->candidate.incarnation = 0;
    peer->asks = 0;
    peer->has_left = peer->is_gone = false;
    hear(peers, peer, arrival, true);
}

/* A packet of a life that has not echoed. One of several such is the candidate, which is asked
 * again until it answers: the latest. The others are asked when they are heard, at most four in an
 * interval. */
static void meet(struct drop_peers *peers, struct drop_peer *peer, const struct arrival *arrival,
                 struct drop_peers_outcome *outcome)
{
    const struct drop_beacon *beacon = arrival->beacon;
    if (drop_life_is_same(&peer->candidate, beacon)) {
        drop_life_mark_seen(&peer->candidate, beacon->sequence);
    } else if (drop_life_is_later(beacon, &peer->candidate)) {
        drop_life_begin(&peer->candidate, beacon);
        peer->asks = 0;
    } else if (arrival->now - peer->asked_at >= peers->interval / 4) {
        peer->asked_at = arrival->now;
        outcome->challenge = true;
        outcome->nonce = nonce_of(peers, beacon->node_id, beacon->incarnation, beacon->session,
                                  epoch_of(peers, arrival->now));
        return;
    }
    if (peer->life.incarnation == 0)
        note(peer, beacon, arrival->keys, arrival->source);
    if (peer->asks == 0) {
        outcome->challenge = true;
        outcome->nonce = drop_peers_ask(peers, peer, arrival->now);
    }
}

static enum drop_beacon_verdict admit(struct drop_peers *peers, struct drop_peer *peer,
                                      const struct arrival *arrival,
                                      struct drop_peers_outcome *outcome)
{
    const struct drop_beacon *beacon = arrival->beacon;
    outcome->solicits = beacon->flags & DROP_BEACON_SOLICIT;
    outcome->asks = beacon->type == DROP_BEACON_PROBE;
    outcome->echo = beacon->nonce;
    if (peer && drop_life_is_same(&peer->life, beacon)) {
        go_on(peers, peer, arrival, outcome);
        return DROP_BEACON_ACCEPTED;
    }
    if (beacon->type == DROP_BEACON_LEAVE)
        return DROP_BEACON_ACCEPTED; /* of somebody whom we had not met */
    bool echoed = has_echoed(peers, beacon, arrival->now);
    if (!peer)
        peer = drop_peertable_add(peers, beacon->node_id, arrival->now);
    if (!peer) {
        *outcome = (struct drop_peers_outcome){.asks = false};
        return DROP_BEACON_FULL;
    }
    outcome->is_verified = echoed;
    if (echoed)
        verify_life(peers, peer, arrival);
    else
        meet(peers, peer, arrival, outcome);
    return DROP_BEACON_ACCEPTED;
}

enum drop_beacon_verdict drop_peers_receive(struct drop_peers *peers,
                                            const struct drop_beacon_keys *keys,
                                            const uint8_t *bytes, size_t length,
                                            const struct drop_place *source, uint64_t now,
                                            struct drop_peers_outcome *outcome)
{
    struct drop_beacon beacon;
    *outcome = (struct drop_peers_outcome){.asks = false};
    enum drop_beacon_verdict verdict = drop_beacon_decode(bytes, length, keys, &beacon);
    if (verdict != DROP_BEACON_ACCEPTED)
        return verdict;
    if (beacon.session == peers->session &&
        memcmp(beacon.node_id, peers->node_id, DROP_BEACON_ID) == 0)
        return DROP_BEACON_OWN;
    struct drop_peer *peer = drop_peers_find(peers, beacon.node_id);
    if (peer)
        verdict = look_up(peer, &beacon);
    if (verdict != DROP_BEACON_ACCEPTED)
        return verdict;
    if (!drop_beacon_verify(bytes, length, keys, &beacon))
        return DROP_BEACON_FORGED;
    struct arrival arrival = {.beacon = &beacon, .keys = keys, .source = source, .now = now};
    return admit(peers, peer, &arrival, outcome);
}

/* ---- news ---- */

bool drop_peers_has_news(const struct drop_peers *peers)
{
    return peers->first_queued != 0 || peers->conflict.is_new;
}

enum drop_peers_happening drop_peers_take(struct drop_peers *peers, struct drop_peer **peer)
{
    if (peers->first_queued == 0)
        return DROP_PEERS_NOTHING;
    struct drop_peer *first = *peer = &peers->entries[peers->first_queued - 1];
    enum drop_peers_happening happening = first->is_new    ? DROP_PEERS_HEARD
                                          : first->is_gone ? DROP_PEERS_LEFT
                                                           : DROP_PEERS_NOTHING;
    if (happening == DROP_PEERS_LEFT)
        first->is_gone = false;
    first->is_new = false;
    if (!first->is_gone)
        drop_peertable_unqueue(peers);
    return happening;
}

bool drop_peers_take_conflict(struct drop_peers *peers, struct drop_peers_conflict *conflict)
{
    *conflict = peers->conflict;
    peers->conflict.is_new = false;
    return conflict->is_new;
}
