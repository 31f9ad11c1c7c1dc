/* Beacons of 130 bytes from memory: decoded, looked up among 1000 peers, authenticated, noted.
 *
 * A packet is good once: what a peer's window has seen is taken back before each round, which costs
 * two stores of the hundreds of instructions that are measured. */
#include "beacons.h"

#include <stdlib.h>
#include <string.h>

#include "beacon.h"
#include "peers.h"

#define PEERS 1000u
#define PACKET 130u
#define TEXT "worker-07.example" "default" "0.4.0" "\x04\x0a\x00\x00\x01"

static struct drop_peers peers;
static struct drop_beacon_keys keys;
static uint8_t good[PEERS][PACKET], forged[PEERS][PACKET], foreign[PEERS][PACKET];
static struct drop_place place = {.address.v4.sin_family = AF_INET};
static uint8_t ids[PEERS][DROP_BEACON_ID];

static enum drop_beacon_verdict receive(const uint8_t *bytes, struct drop_peers_outcome *outcome)
{
    return drop_peers_receive(&peers, &keys, bytes, PACKET, &place, 1, outcome);
}

static void encode(uint32_t number, uint64_t sequence, uint64_t nonce, uint8_t *bytes)
{
    struct drop_beacon beacon = {
        .type = DROP_BEACON_BEACON, .port = 8085, .load = 50, .cpus = 8, .workers = 40,
        .memory_mib = 16000, .incarnation = 1, .session = 77, .sequence = sequence,
        .nonce = nonce, .node_id = ids[number], .name_length = 17, .namespace_length = 7,
        .version_length = 5, .addresses = 1, .text_length = sizeof TEXT - 1,
        .text = (const uint8_t *)TEXT,
    };
    if (drop_beacon_encode(&beacon, &keys, bytes) != PACKET)
        abort();
}

/* Every peer is met and verified; then its second packet is made, as it is and spoilt. */
static void set_up(void)
{
    static const uint8_t secret[32] = "a secret of thirty-two bytes !!!";
    struct drop_peers_options options = {.node_id = (const uint8_t *)"our own node id",
                                         .incarnation = 1, .session = 1,
                                         .interval = 500000000, .capacity = 4096,
                                         .secret = secret};
    struct drop_peers_outcome outcome;
    uint8_t bytes[PACKET];
    if (peers.entries)
        return;
    if (!drop_beacon_keys_add(&keys, secret) || drop_peers_init(&peers, &options) != 0)
        abort();
    for (uint32_t i = 0; i < PEERS; i++) {
        uint64_t words[2] = {(i + 1) * UINT64_C(0x9e3779b97f4a7c15), i};
        memcpy(ids[i], words, sizeof words);
        encode(i, 1, 0, bytes);
        receive(bytes, &outcome);
        encode(i, 2, outcome.nonce, bytes);
        receive(bytes, &outcome);
        encode(i, 3, 0, good[i]);
        memcpy(forged[i], good[i], PACKET);
        forged[i][PACKET - 1] ^= 1;
        memcpy(foreign[i], good[i], PACKET);
        foreign[i][8] ^= 1;
    }
}

static void take_back(void)
{
    for (uint32_t i = 0; i < PEERS; i++)
        peers.entries[i].life.top = peers.entries[i].life.seen = 1;
}

static uint64_t run(uint8_t packets[PEERS][PACKET], uint64_t count, bool fresh,
                    enum drop_beacon_verdict expected)
{
    struct drop_peers_outcome outcome;
    uint64_t seen = 0;
    set_up();
    for (uint64_t i = 0; i < count; i++) {
        if (i % PEERS == 0 && fresh)
            take_back();
        seen += receive(packets[i % PEERS], &outcome) == expected ? PACKET : 0;
    }
    return seen;
}

uint64_t bench_beacons(uint64_t packets)
{
    return run(good, packets, true, DROP_BEACON_ACCEPTED);
}

uint64_t bench_beacons_forged(uint64_t packets)
{
    set_up();
    take_back();
    return run(forged, packets, false, DROP_BEACON_FORGED);
}

uint64_t bench_beacons_foreign(uint64_t packets)
{
    return run(foreign, packets, false, DROP_BEACON_FOREIGN);
}

uint64_t bench_beacons_replayed(uint64_t packets)
{
    run(good, PEERS, true, DROP_BEACON_ACCEPTED);
    return run(good, packets, false, DROP_BEACON_REPLAYED);
}

/* The floor of a good one: its tag alone. */
uint64_t bench_beacons_tag(uint64_t packets)
{
    uint64_t seen = 0;
    set_up();
    for (uint64_t i = 0; i < packets; i++) {
        struct drop_beacon beacon = {.key = 0};
        seen += drop_beacon_verify(good[i % PEERS], PACKET, &keys, &beacon) ? PACKET : 0;
    }
    return seen;
}
