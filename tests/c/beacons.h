/* Packets for the tests of beacons: a node with a text, and keys, put into bytes. */
#ifndef BEACONS_H
#define BEACONS_H

#include <string.h>

#include "beacon.h"

#define BEACON_TEXT "node-1default0.4.0\x04\x0a\x00\x00\x01"
#define BEACON_TEXT_LENGTH (sizeof BEACON_TEXT - 1)

struct packet {
    size_t length;
    uint8_t bytes[DROP_BEACON_MAX + 16];
};

/* Keys made of one byte each; 0: none. */
static inline struct drop_beacon_keys keys_of(uint8_t first, uint8_t second)
{
    struct drop_beacon_keys keys = {.count = 0};
    uint8_t key[DROP_BEACON_KEY];
    for (unsigned i = 0; i < 2; i++) {
        uint8_t byte = i ? second : first;
        memset(key, byte, sizeof key);
        if (byte)
            drop_beacon_keys_add(&keys, key);
    }
    return keys;
}

/* A beacon of the node `id`; what a test is about is changed in it. */
static inline struct drop_beacon beacon_of(const uint8_t *id)
{
    return (struct drop_beacon){
        .type = DROP_BEACON_BEACON,
        .port = 8085,
        .load = 123,
        .cpus = 8,
        .workers = 40,
        .memory_mib = 2000,
        .incarnation = 10,
        .session = 77,
        .sequence = 1,
        .node_id = id,
        .name_length = 6,
        .namespace_length = 7,
        .version_length = 5,
        .addresses = 1,
        .text_length = BEACON_TEXT_LENGTH,
        .text = (const uint8_t *)BEACON_TEXT,
    };
}

static inline struct packet packet_of(const struct drop_beacon *beacon,
                                      const struct drop_beacon_keys *keys)
{
    struct packet packet;
    memset(&packet, 0, sizeof packet);
    packet.length = drop_beacon_encode(beacon, keys, packet.bytes);
    return packet;
}

/* Makes the tag right again after a byte was changed. */
static inline void reseal(struct packet *packet, const struct drop_beacon_keys *keys)
{
    size_t length = packet->length - DROP_BEACON_TAG;
    drop_blake2s_finish(&keys->keys[0].state, packet->bytes, length, packet->bytes + length);
}

#endif
