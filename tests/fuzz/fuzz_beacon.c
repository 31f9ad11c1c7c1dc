/* Packets of discovery: any bytes, as they are and with a right tag, given to a table of peers.
 *
 * What is decoded is encoded again to the same bytes, the table stays within its bounds, and a life
 * that never echoed is never there. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "beacon.h"
#include "peers.h"

#define CAPACITY 4u

static const uint8_t secret[32] = "a secret of thirty-two bytes !!!";

static void check_decoded(const uint8_t *bytes, size_t length, const struct drop_beacon_keys *keys)
{
    struct drop_beacon beacon;
    uint8_t again[DROP_BEACON_MAX];
    if (drop_beacon_decode(bytes, length, keys, &beacon) != DROP_BEACON_ACCEPTED)
        return;
    if (drop_beacon_encode(&beacon, keys, again) != length)
        abort();
    bool same = memcmp(again, bytes, length) == 0;
    if (same != drop_beacon_verify(bytes, length, keys, &beacon))
        abort();
}

/* Gives the bytes magic, version, length, key id and tag, so that the rest is looked at. */
static void make_ours(uint8_t *bytes, size_t length, const struct drop_beacon_keys *keys)
{
    memcpy(bytes, "DRPB\x01", 5);
    bytes[6] = (uint8_t)(length >> 8);
    bytes[7] = (uint8_t)length;
    memcpy(bytes + 8, keys->keys[0].id, 4);
    size_t end = length - DROP_BEACON_TAG;
    drop_blake2s_finish(&keys->keys[0].state, bytes, end, bytes + end);
}

static void receive(struct drop_peers *peers, const struct drop_beacon_keys *keys,
                    const uint8_t *bytes, size_t length, uint64_t now)
{
    struct drop_place place = {.address.v4.sin_family = AF_INET};
    struct drop_peers_outcome outcome;
    enum drop_beacon_verdict verdict =
        drop_peers_receive(peers, keys, bytes, length, &place, now, &outcome);
    if (verdict != DROP_BEACON_ACCEPTED && (outcome.asks || outcome.challenge || outcome.solicits))
        abort();
    if (outcome.challenge && outcome.nonce == 0)
        abort();
    if (peers->used > CAPACITY || drop_peers_has_news(peers))
        abort(); /* nobody has echoed: the secret is not in the inputs */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct drop_beacon_keys keys = {.count = 0};
    struct drop_peers peers;
    struct drop_peers_options options = {.node_id = (const uint8_t *)"our own node id",
                                         .incarnation = 1,
                                         .session = 2,
                                         .interval = 1000,
                                         .capacity = CAPACITY,
                                         .secret = secret};
    drop_beacon_keys_add(&keys, secret);
    if (drop_peers_init(&peers, &options) != 0)
        return 0;
    uint8_t *bytes = malloc(size ? size : 1); /* of exactly this size */
    uint32_t cursor = 0;
    uint64_t nonce;
    if (bytes) {
        if (size)
            memcpy(bytes, data, size);
        check_decoded(bytes, size, &keys);
        receive(&peers, &keys, bytes, size, 1);
        if (size >= DROP_BEACON_MIN && size <= DROP_BEACON_MAX)
            for (unsigned i = 0; i < 2 * CAPACITY; i++) {
                bytes[31] = (uint8_t)i;
                make_ours(bytes, size, &keys);
                check_decoded(bytes, size, &keys);
                receive(&peers, &keys, bytes, size, 100 + 600 * i);
                receive(&peers, &keys, bytes, size, 200 + 600 * i);
            }
    }
    while (drop_peers_next_asked(&peers, 1000000, &cursor, &nonce))
        if (nonce == 0)
            abort();
    free(bytes);
    drop_peers_close(&peers);
    return 0;
}
