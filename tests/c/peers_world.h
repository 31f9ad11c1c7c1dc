/* A table of peers, its keys, a clock and a packet that tests change and send. */
#ifndef PEERS_WORLD_H
#define PEERS_WORLD_H

#include "peers.h"
#include "beacons.h"
#include "check.h"

#define MS UINT64_C(1000000)
#define INTERVAL (100 * MS)
#define CAPACITY 8

static const uint8_t own[DROP_BEACON_ID] = "our own node id";

static struct {
    struct drop_peers peers;
    struct drop_beacon_keys keys;
    struct drop_place place;
    struct drop_beacon beacon;
    struct drop_peers_outcome outcome;
    uint64_t now;
    uint8_t id[DROP_BEACON_ID];
} world;

static inline void set_up(void)
{
    static const uint8_t secret[32] = "a secret of thirty-two bytes !!!";
    struct drop_peers_options options = {.node_id = own,
                                         .incarnation = 50,
                                         .session = 51,
                                         .interval = INTERVAL,
                                         .capacity = CAPACITY,
                                         .secret = secret};
    memset(&world, 0, sizeof world);
    CHECK_EQUAL(drop_peers_init(&world.peers, &options), 0);
    world.keys = keys_of(1, 0);
    world.place.address.v4.sin_family = AF_INET;
    world.now = 1000 * INTERVAL;
    memset(world.id, 'a', sizeof world.id);
    world.beacon = beacon_of(world.id);
}

static inline void tear_down(void)
{
    drop_peers_close(&world.peers);
}

static inline enum drop_beacon_verdict receive(const struct packet *packet)
{
    return drop_peers_receive(&world.peers, &world.keys, packet->bytes, packet->length,
                              &world.place, world.now, &world.outcome);
}

/* Sends the packet as it is now, and the next one is the next of its sequence. */
static inline enum drop_beacon_verdict say(void)
{
    struct packet packet = packet_of(&world.beacon, &world.keys);
    world.beacon.sequence++;
    return receive(&packet);
}

static inline enum drop_beacon_verdict say_sequence(uint64_t sequence)
{
    world.beacon.sequence = sequence;
    return say();
}

/* Echoes the challenge that has just been made. */
static inline enum drop_beacon_verdict echo(void)
{
    world.beacon.nonce = world.outcome.nonce;
    enum drop_beacon_verdict verdict = say();
    world.beacon.nonce = 0;
    return verdict;
}

/* A life is met and proves itself. */
static inline void meet(uint64_t incarnation, uint64_t session)
{
    world.beacon.incarnation = incarnation;
    world.beacon.session = session;
    world.beacon.sequence = 1;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(world.outcome.challenge);
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    CHECK(world.outcome.is_verified);
}

static inline struct drop_peer *peer(void)
{
    return drop_peers_find(&world.peers, world.id);
}

static inline bool is_there(void)
{
    return peer() && drop_peers_is_there(peer());
}

/* Takes one happening and says of which kind it is. */
static inline enum drop_peers_happening taken(void)
{
    struct drop_peer *who;
    return drop_peers_take(&world.peers, &who);
}

#endif
